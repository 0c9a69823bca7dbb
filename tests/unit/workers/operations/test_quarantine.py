"""The quarantine: reading it, trying again, and removing what never will be an event."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_quarantined, raw_of

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.identify import identify
from router.ingress.app import Ingress
from router.ingress.metrics import IngressMetrics
from router.intake.entry import entry_of
from router.intake.writer import Batch
from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.store.keys import Keys
from workers.operations.change import Tally
from workers.operations.criteria import Ids
from workers.operations.quarantine import Quarantine
from workers.operations.quarantined import Quarantined, QuarantineSelector

JOURNAL = "visma-net-journal-transaction"
WINDOW = 60_000
AT = datetime.fromtimestamp(1_760_000_000, UTC)


async def _all(quarantine: Quarantine, **given: Any) -> list[Quarantined]:
    selector = QuarantineSelector(**given)
    return [item async for item in quarantine.oldest(selector, await quarantine.freeze(selector))]


async def _retry(store: Store, quarantine: Quarantine, **given: Any) -> list[tuple[str, str]]:
    retried = await quarantine.retry(await _all(quarantine, **given), Batch(store, window=WINDOW))
    return [(done.outcome, done.why) for done in retried]


@pytest.fixture
def quarantine(store: Store, catalogue: Catalogue) -> Quarantine:
    """Return the quarantine of a store."""
    return Quarantine(store, catalogue)


async def test_it_is_listed(store: Store, quarantine: Quarantine) -> None:
    """What was quarantined tells why and when, and keeps the bytes as they came, over all publishers."""
    await put_quarantined(store, b"{", reason="not valid JSON")
    await put_quarantined(store, b"\xff\xfe", publisher=JOURNAL, reason="not valid UTF-8")
    found = [item async for item in quarantine.newest(QuarantineSelector())]
    assert sorted((item.publisher, item.reason, item.raw) for item in found) == [
        (FINANCIAL, "not valid JSON", b"{"),
        (JOURNAL, "not valid UTF-8", b"\xff\xfe"),
    ]
    assert found[0].received_at == AT
    only = QuarantineSelector(frozenset([FINANCIAL]))
    assert [item.publisher async for item in quarantine.newest(only)] == [FINANCIAL]


async def test_what_can_be_read_becomes_an_event(store: Store, quarantine: Quarantine) -> None:
    """A body that the catalogue understands by now is in its stream as if it had just come, and nowhere else."""
    await put_quarantined(store, raw_of("e1"), reason="no event")
    assert await _retry(store, quarantine) == [("stored", "")]
    ((_, fields),) = await store.client.xrange(store.keys.events(CUSTOMERS))
    assert json.loads(fields.pop(b"event"))["resource"] == "customer/1"
    assert fields == {b"id": b"e1", b"at": b"1760000000000", b"raw": raw_of("e1")}
    assert await store.client.exists(store.keys.seen(CUSTOMERS, "e1"))
    assert await _all(quarantine) == []


async def test_hints_go_along(store: Store, quarantine: Quarantine) -> None:
    """An event made of a quarantined body keeps the hints, and has the id that the header gave its only item."""
    raw, hints = b'{"event": "customer_changed"}', b'{"x-vwd-notification-id":"N1","orderref":"17"}'
    fields = {"id": "x", "at": 1_760_000_000_000, "reason": "no event", "raw": raw, "hints": hints}
    await store.client.xadd(store.keys.quarantine(FINANCIAL), fields)
    assert await _retry(store, quarantine) == [("stored", "")]
    ((_, stored),) = await store.client.xrange(store.keys.events(CUSTOMERS))
    assert json.loads(stored.pop(b"event"))["id"] == "n1"
    assert stored == {b"id": b"n1", b"at": b"1760000000000", b"raw": raw, b"hints": hints}


async def test_what_came_meanwhile_is_a_duplicate(store: Store, quarantine: Quarantine) -> None:
    """An event that is in its stream already is not appended once more, and the body leaves the quarantine."""
    for _ in range(3):
        await put_quarantined(store, raw_of("e1"))
    assert [outcome for outcome, _ in await _retry(store, quarantine)] == ["stored", "duplicate", "duplicate"]
    assert await store.client.xlen(store.keys.events(CUSTOMERS)) == 1
    assert await _all(quarantine) == []


async def test_what_cannot_be_read_stays(store: Store, quarantine: Quarantine) -> None:
    """A body that is still no event stays as it is, and the reason of today is told."""
    await put_quarantined(store, b"{", reason="something else")
    await put_quarantined(store, b'[{"a": 1}, 7]')
    before = await _all(quarantine)
    (first, second) = await _retry(store, quarantine)
    assert first == ("unreadable", "not valid JSON")
    assert second[0] == "unreadable"
    assert "; " in second[1]
    assert await _all(quarantine) == before


async def test_a_whole_body_is_cut(store: Store, quarantine: Quarantine) -> None:
    """Of a body with several items the good ones become events, and each other one is quarantined on its own."""
    await put_quarantined(store, b"[" + raw_of("e1") + b", 7," + raw_of("e2") + b"]", reason="too many items")
    assert await _retry(store, quarantine) == [("stored", "")]
    events = await store.client.xrange(store.keys.events(CUSTOMERS))
    assert [fields[b"id"] for _, fields in events] == [b"e1", b"e2"]
    (left,) = await _all(quarantine)
    assert (left.raw, left.id, left.received_at) == (b"7", f"sha256:{sha256(b'7').hexdigest()}", AT)


async def test_an_empty_body_has_nothing_to_store(store: Store, quarantine: Quarantine) -> None:
    """A list without items, which only a hand can have put there, goes."""
    await put_quarantined(store, b"[]")
    assert await _retry(store, quarantine) == [("duplicate", "")]
    assert await _all(quarantine) == []


async def test_what_is_refused_stays(store: Store, quarantine: Quarantine) -> None:
    """A body whose stream the server refuses stays, with the server's words; the others go on."""
    await put_quarantined(store, raw_of("e1"))
    await put_quarantined(store, raw_of("s1", f"{FINANCIAL}/supplier_changed"))
    await store.client.set(store.keys.events(CUSTOMERS), "no stream")
    (first, second) = await _retry(store, quarantine)
    assert first[0] == "refused"
    assert "WRONGTYPE" in first[1]
    assert second == ("stored", "")
    assert [item.raw for item in await _all(quarantine)] == [raw_of("e1")]


async def test_a_lost_reply_is_made_up_for(
    store: Store, quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the store is lost after the append, the body is in both places; the next try finds a duplicate."""
    await put_quarantined(store, raw_of("e1"))
    commands = store.commands

    async def lost(sent: Any) -> list[Any]:
        return [RedisConnectionError("reset")] * len(sent) if sent[0][0] == "XDEL" else await commands(sent)

    with monkeypatch.context() as patch:
        patch.setattr(store, "commands", lost)
        with pytest.raises(StoreUnavailable):
            await _retry(store, quarantine)
    assert len(await _all(quarantine)) == await store.client.xlen(store.keys.events(CUSTOMERS)) == 1
    assert await _retry(store, quarantine) == [("duplicate", "")]
    assert await store.client.xlen(store.keys.events(CUSTOMERS)) == 1


async def test_a_store_that_is_away_ends_it(
    store: Store, quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the append gets no answer nothing leaves the quarantine."""
    await put_quarantined(store, raw_of("e1"))
    batch = Batch(store, window=WINDOW)

    async def away(entries: Any) -> list[Any]:
        return [RedisConnectionError("reset")] * len(entries)

    monkeypatch.setattr(batch, "append", away)
    with pytest.raises(StoreUnavailable, match="reset"):
        await quarantine.retry(await _all(quarantine), batch)
    assert len(await _all(quarantine)) == 1


async def test_many_at_once(store: Store, quarantine: Quarantine) -> None:
    """However often and by how many at once it is tried, each event is in its stream once."""
    for number in range(130):
        await put_quarantined(store, raw_of(f"e{number}"))
    items = await _all(quarantine)
    batch = Batch(store, window=WINDOW)
    await asyncio.gather(*(quarantine.retry(items, batch) for _ in range(3)))
    assert await store.client.xlen(store.keys.events(CUSTOMERS)) == 130
    assert await _all(quarantine) == []


async def test_purge(store: Store, quarantine: Quarantine) -> None:
    """Purging removes what was selected and nothing else."""
    await put_quarantined(store, b"{")
    await put_quarantined(store, b"[", publisher=JOURNAL)
    items = await _all(quarantine, publishers=frozenset({JOURNAL}))
    assert await quarantine.purge(items) == Tally(1, 0)
    assert await quarantine.purge(items) == Tally(0, 0)
    assert [item.publisher for item in await _all(quarantine)] == [FINANCIAL]
    await store.client.delete(store.keys.quarantine(JOURNAL))
    await store.client.set(store.keys.quarantine(JOURNAL), "no stream")
    done = await quarantine.purge([*items, *await _all(quarantine, publishers=frozenset({FINANCIAL}))])
    assert done[:2] == (1, 1)
    assert "WRONGTYPE" in done.refusal


ITEM = Quarantined("1760000001000-0", FINANCIAL, "sha256:abcdef", AT, "Not valid JSON", b"{")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, True),
        ({"text": "VALID json"}, True),
        ({"text": "no event"}, False),
        ({"ids": Ids.of(["SHA256:abcdef"])}, True),
        ({"ids": Ids.of(["1760000001000-0"])}, True),
        ({"ids": Ids.of(["sha2…cdef"])}, True),
        ({"ids": Ids.of(["other"])}, False),
        ({"since": AT, "until": AT}, True),
        ({"since": AT.replace(year=2030)}, False),
        ({"until": AT.replace(year=2020)}, False),
    ],
)
def test_selector(given: dict[str, Any], wanted: bool) -> None:  # noqa: FBT001
    """A body is selected when it is as wanted in every respect that is given."""
    selector = QuarantineSelector(**given)
    assert selector.matches(ITEM) is wanted
    assert selector.is_empty is (not given)
    assert bool(selector.describe()) is bool(given)


def test_selector_of_publishers() -> None:
    """Only the publishers that are wanted are looked at."""
    assert QuarantineSelector(frozenset({JOURNAL})).of([FINANCIAL, JOURNAL]) == [JOURNAL]
    assert QuarantineSelector(frozenset({JOURNAL}), "x", Ids.of(["B", "a…b"]), since=AT).describe() == {
        "publishers": [JOURNAL],
        "text": "x",
        "ids": ["a…b", "b"],
        "since": str(AT),
    }


@pytest.mark.parametrize("body", [raw_of("e1"), b"{", b'{"event": "new_event", "notificationId": "E2"}', b"[7,{}]"])
def test_an_item_is_stored_as_ingress_stores_it(catalogue: Catalogue, body: bytes) -> None:
    """What is tried again is appended to the same stream, under the same marker, with the same fields."""
    ingress = Ingress(Settings(), catalogue, None, IngressMetrics(CollectorRegistry()))  # type: ignore[arg-type]
    for item in identify(catalogue, FINANCIAL, body, None):
        assert entry_of(Keys(), FINANCIAL, item, 5) == ingress._entry(FINANCIAL, item, 5, b"")


Fill = Callable[[Store], Any]


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return a command line with three bodies: two that are events by now, one that is none."""

    async def fill(store: Store) -> None:
        await put_quarantined(store, raw_of("e1"), reason="no event name")
        await put_quarantined(store, b"{")
        await put_quarantined(store, raw_of("e2"), publisher=JOURNAL, reason="no event name")

    cli.fill(fill)
    return cli


def _left(cli: Cli) -> list[str]:
    return [row["reason"] for row in cli.json("quarantine", "list")]


def _events(cli: Cli, stream: str = CUSTOMERS) -> int:
    async def count(store: Store) -> int:
        return int(await store.client.xlen(store.keys.events(stream)))

    return cli.fill(count)


def test_retry(filled: Cli) -> None:
    """`retry` says what became events, what stays and why, and ends with 1 while something stays."""
    assert "add --yes to retry these 3" in filled.fails(2, "quarantine", "retry")
    result = filled.run("quarantine", "retry", "--yes", "--json", "--reason", "new catalogue")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"matched": 3, "stored": 2, "duplicates": 0, "unreadable": 1, "failed": 0}
    assert "stays: not valid JSON" in result.stderr
    assert _events(filled) == 1
    assert _events(filled, f"{JOURNAL}/unlisted") == 1
    assert _left(filled) == ["not valid JSON"]
    (line,) = filled.json("audit")
    assert (line["verb"], line["matched"], line["changed"], line["failed"]) == ("quarantine retry", 3, 2, 1)
    assert line["reason"] == "new catalogue"


def test_retry_of_some(filled: Cli) -> None:
    """A single one goes at once; a publisher, a reason, ids and times select; a dry run changes nothing."""
    assert filled.json("quarantine", "retry", JOURNAL, "--dry-run")["stored"] == 0
    assert filled.json("quarantine", "retry", "--publisher", JOURNAL)["stored"] == 1
    assert "stored 1 of 1" in filled.ok("quarantine", "retry", "--text", "no event", "--until", "2025-10-10")
    (row,) = filled.json("quarantine", "list")
    assert "stored 0 of 1" in filled.run("quarantine", "retry", "-", stdin=row["entry_id"]).stdout
    assert "quarantine list" in filled.fails(3, "quarantine", "retry", "--since", "1h")
    assert "no ids on stdin" in filled.fails(2, "quarantine", "retry", "-", stdin="")


def test_many_that_stay_are_not_all_told(cli: Cli) -> None:
    """A hundred reasons do not fill the screen."""

    async def fill(store: Store) -> None:
        for number in range(30):
            await put_quarantined(store, b"{" * (number + 1))

    cli.fill(fill)
    said = cli.fails(1, "quarantine", "retry", "--yes", "--rate", "1000")
    assert said.count(" stays: ") == 20
    assert "more stay" in said


def test_purge_command(filled: Cli) -> None:
    """`purge` needs something that selects, and a yes for more than one."""
    assert "never removes everything" in filled.fails(2, "quarantine", "purge", "--yes")
    assert "never removes everything" in filled.fails(2, "quarantine", "purge", "--text", "", "--yes")
    assert "add --yes to purge these 2" in filled.fails(2, "quarantine", "purge", FINANCIAL)
    assert filled.json("quarantine", "purge", FINANCIAL, "--yes", "--max", "1") == {
        "matched": 1,
        "purged": 1,
        "failed": 0,
    }
    assert "purged 1 of 1" in filled.ok("quarantine", "purge", "--text", "not valid")
    assert filled.json("quarantine", "purge", JOURNAL)["purged"] == 1
    assert _left(filled) == []


def test_show_masks_the_body(filled: Cli) -> None:
    """People see the structure of a body, and its values only where they ask for them, which the audit says."""

    async def fill(store: Store) -> str:
        return await put_quarantined(store, b'{"customerName": "Ms Smith", "event": 7}')

    entry_id = filled.fill(fill)
    shown = filled.ok("quarantine", "show", entry_id)
    assert "customerName" in shown
    assert "Smith" not in shown
    assert "Smith" not in filled.ok("quarantine", "show", entry_id, "--json")
    assert filled.json("audit") == []
    assert "Smith" in filled.ok("quarantine", "show", entry_id, "--reveal")
    (line,) = filled.json("audit")
    assert (line["verb"], line["subject"]) == ("reveal", f"quarantined {entry_id} of {FINANCIAL}")


def test_an_entry_without_a_time(catalogue: Catalogue) -> None:
    """An entry that somebody wrote by hand is found whatever its time."""
    odd = replace(ITEM, received_at=datetime.fromtimestamp(0, UTC))
    assert QuarantineSelector().matches(odd)
    assert not QuarantineSelector(since=AT).matches(odd)
