"""The rules that hold for any body, in this process: from its bytes to the event that a handler would get."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from urllib.parse import urljoin, urlsplit

from fuzz.failure import Failure
from fuzz.mutate import Mutator, small
from fuzz.trail import Trail
from support.corpus import load_corpus

from router.cli.output.rows import event_json, quarantined_json
from router.cloudevents import from_cloudevent, to_cloudevent_json
from router.events import fields, identify, normalise, resource, ticks
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.store import record
from workers.operations.quarantined import Quarantined

__all__ = ["check", "fuzz"]

NOW = datetime(2025, 10, 22, tzinfo=UTC)
REASONS = {
    *("empty body", "not valid JSON", "not valid UTF-8", "not a JSON object", "nested too deeply", "too many items"),
    *("no event name", "event name too long"),
}
PUBLISHER = "visma-net-financial"


def fuzz(cases: int, seed: int, told: Callable[[str], None] = lambda _text: None) -> None:
    """Check so many bodies; what takes a new step through the code is mutated further. Raises Failure."""
    catalogue = Catalogue.load()
    streams = frozenset(catalogue.streams())
    mutator = Mutator(Random(seed), small(case.body for case in load_corpus()))
    trail = Trail([str(module.__file__) for module in (fields, identify, normalise, resource, ticks)])
    for number in range(cases):
        body = mutator.next()
        try:
            if trail.is_new(lambda body=body: _derive(catalogue, body)):
                mutator.keep(body)
                told(f"case {number}: {len(trail)} steps known")
            check(catalogue, streams, body)
        except Exception as error:
            raise Failure("normaliser", seed, number, f"{type(error).__name__}: {error}", body) from error


def check(catalogue: Catalogue, streams: frozenset[str], body: bytes) -> None:
    """Assert every rule for one body: nothing raises, nothing is lost, and all that shows events can show it."""
    found = identify.identify(catalogue, PUBLISHER, body, None)
    assert found == identify.identify(catalogue, PUBLISHER, body, None), "not the same twice"
    for item in found:
        assert item.raw in body, "the raw bytes are not the sender's"
        if isinstance(item, identify.Unreadable):
            assert item.reason in REASONS, item.reason
            row = quarantined_json(Quarantined("1-0", PUBLISHER, "sha256:0", NOW, item.reason, item.raw), reveal=True)
            json.dumps(row, ensure_ascii=False).encode()
            continue
        assert item.stream in streams, item.stream
        assert item.id == item.id.strip().lower(), item.id
        assert 0 < len(item.id) <= 128, item.id
        assert item.id.isprintable(), item.id
        event = normalise.normalise(catalogue, item.stream, item.id, item.raw, NOW)
        _check_event(event)
        assert item.normalised is not None, "ingress cannot normalise it"
        fields = {record.ID: item.id.encode(), record.RAW: item.raw}
        fields[record.EVENT] = record.write_event({**item.normalised, "received_at": NOW})
        assert fields[record.EVENT], "it cannot be written"
        assert record.read_event(catalogue, item.stream, fields) == event, "read, it is another"


def _check_event(event: Event) -> None:
    assert Event.model_validate(event.model_dump()) == event, "the model refuses it"
    assert from_cloudevent(to_cloudevent_json(event)) == event, "as a CloudEvent it is another"
    json.dumps(event_json(event, reveal=True), ensure_ascii=False).encode()
    path = event.resource_path
    if path is not None:
        joined = urlsplit(urljoin("https://api.example/base/", path))
        assert (joined.netloc, joined.query, joined.fragment) == ("api.example", "", ""), path
        assert joined.path.startswith("/base/"), path
        assert path.isascii(), path


def _derive(catalogue: Catalogue, body: bytes) -> None:
    for item in identify.identify(catalogue, PUBLISHER, body, None):
        if isinstance(item, identify.Identified):
            normalise.normalise(catalogue, item.stream, item.id, item.raw, NOW)
