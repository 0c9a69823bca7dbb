"""How long events waited: `Waited` of `workers/consuming/attempt.py`."""

from functools import cache

from prometheus_client import CollectorRegistry
from support.filling import CUSTOMERS

from router.events.catalogue import Catalogue
from router.telemetry.fast_metrics import FastHistogram
from workers.consuming.attempt import Waited
from workers.delivery import Held

NOW = 1_800_000_000.0
catalogue = cache(Catalogue.load)


def held(**fields: bytes) -> Held:
    """Return a delivery with these fields of its entry."""
    entry = {b"id": b"a", b"raw": b'{"event":"customer_changed"}'}
    entry |= {name.encode(): value for name, value in fields.items()}
    made = Held(CUSTOMERS, b"1-0", entry, inbox=False, touched=0.0)
    made.event(catalogue())
    return made


def observed(*deliveries: Held) -> tuple[float | None, float | None]:
    """Return the number and the sum of the waits of deliveries that start now."""
    registry = CollectorRegistry()
    timing = FastHistogram("wait_seconds", "How long.", (1, 10), registry, "subscription").labels("s")
    Waited(timing, lambda: NOW).starting(deliveries)
    names = ("wait_seconds_count", "wait_seconds_sum")
    return tuple(registry.get_sample_value(name, {"subscription": "s"}) for name in names)  # type: ignore[return-value]


def at(seconds_ago: float) -> bytes:
    """Return a time of receipt as an entry has it."""
    return str(int((NOW - seconds_ago) * 1000)).encode()


def test_each_event_counts_from_its_receipt() -> None:
    """The wait is the time since ingress got the event, each of a batch for itself."""
    assert observed(held(at=at(2)), held(at=at(0.5))) == (2, 2.5)


def test_what_failed_before_does_not_count() -> None:
    """Retries and what a dead worker left wait on purpose, or are counted already."""
    assert observed(held(at=at(9), attempts=b"1"), held(at=at(9), crashes=b"1")) == (0, 0)


def test_a_clock_that_is_behind_and_an_entry_without_a_time() -> None:
    """An event from the future waited for nothing; one that does not say when it came is left out."""
    assert observed(held(at=at(-5)), held(), held(at=b"yesterday")) == (1, 0)
