"""Reading, replaying and purging dead letters."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from support.filling import CUSTOMERS, FINANCIAL, history, put_dead, put_group

from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreUnavailable
from workers.failure import fold_message
from workers.operations.change import Tally
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.letters import DeadLetters, Pile, grouped
from workers.operations.dead_letters.selector import Selector

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


@pytest.fixture
async def dead(store: Store, catalogue: Catalogue) -> DeadLetters:
    """Return the dead letters of a store that has the subscriptions `sync` (two streams) and `audit`."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await put_group(store, "audit", CUSTOMERS)
    return DeadLetters(store, catalogue)


async def _newest(dead: DeadLetters, **given: Any) -> list[DeadLetterEntry]:
    return [letter async for letter in dead.newest(Selector(**given))]


async def _oldest(dead: DeadLetters, **given: Any) -> list[DeadLetterEntry]:
    selector = Selector(**given)
    return [letter async for letter in dead.oldest(selector, await dead.freeze(selector))]


async def _inbox(store: Store, subscription: str, stream: str = CUSTOMERS) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in await store.client.xrange(store.keys.inbox(stream, subscription))]


async def test_entry(store: Store, dead: DeadLetters) -> None:
    """A dead letter tells its event, why and when it died, and every attempt."""
    entry_id = await put_dead(store, "e1", entry_id="1750000000000-0", resource="customer/55", fields={"crashes": 1})
    (letter,) = await _newest(dead)
    assert (letter.entry_id, letter.event_id, letter.stream, letter.subscription) == (entry_id, "e1", CUSTOMERS, "sync")
    assert letter.event is not None
    assert letter.event.id == "e1"
    assert (letter.publisher, letter.type, letter.resource) == (FINANCIAL, "customer_changed", "customer/55")
    assert letter.died_at == datetime.fromtimestamp(1_750_000_000, UTC)
    assert letter.first_failed_at == datetime(2025, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert letter.last_failed_at == datetime(2025, 1, 1, 0, 0, 3, tzinfo=UTC)
    assert [attempt.message for attempt in letter.attempts] == ["no customer 1", "no customer 2", "no customer 3"]
    assert (letter.error, letter.message, letter.used, letter.crashes) == ("ValueError", "no customer 3", 4, 1)
    assert letter.reason == "failed 3 of 3 attempts"
    assert letter.raw == letter.event.raw


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"raw": b"\xff", b"id": b"\xff", b"reason": b"\xff"},
        {b"id": b"x", b"raw": b"{}", b"at": b"999999999999999"},
        {b"id": b"x", b"raw": b"[]", b"at": b"-1", b"history": b"[]\n{\n7", b"attempts": b"many"},
    ],
)
def test_hostile_entry(catalogue: Catalogue, fields: dict[bytes, bytes]) -> None:
    """An entry that somebody wrote by hand is shown as far as it can be read."""
    letter = DeadLetterEntry(catalogue, CUSTOMERS, "sync", b"1-0", fields)
    assert letter.event is None
    assert letter.resource is None
    assert (letter.error, letter.used, letter.attempts) == ("", 0, ())
    assert letter.message == letter.reason
    assert letter.first_failed_at == letter.last_failed_at == letter.died_at


async def test_newest_first(store: Store, dead: DeadLetters) -> None:
    """The list is newest first over all streams and subscriptions."""
    await put_dead(store, "a", entry_id="1-0")
    await put_dead(store, "b", entry_id="2-0", stream=SUPPLIERS)
    await put_dead(store, "c", entry_id="3-0", subscription="audit")
    await put_dead(store, "d", entry_id="4-0")
    assert [letter.event_id for letter in await _newest(dead)] == ["d", "c", "b", "a"]
    assert [letter.event_id for letter in await _newest(dead, subscription="sync")] == ["d", "b", "a"]
    assert [letter.event_id for letter in await _newest(dead, events="supplier_*")] == ["b"]


async def test_subscriptions_without_a_group(store: Store, dead: DeadLetters) -> None:
    """Only subscriptions that exist are looked at: nothing scans the keys."""
    await put_dead(store, "a", subscription="never-made")
    assert await _newest(dead) == []


async def test_frozen(store: Store, dead: DeadLetters) -> None:
    """What dies after the command has started is left for the next command."""
    await put_dead(store, "a")
    piles = await dead.freeze(Selector())
    await put_dead(store, "b")
    await put_dead(store, "c", subscription="audit")
    assert [letter.event_id async for letter in dead.oldest(Selector(), piles)] == ["a"]
    assert [(pile.stream, pile.subscription) for pile in piles] == [(CUSTOMERS, "sync")]
    assert isinstance(piles[0], Pile)


async def test_many_pages(store: Store, dead: DeadLetters) -> None:
    """More dead letters than a page holds are all found, both ways."""
    for number in range(1, 1203):
        await put_dead(store, f"e{number}", entry_id=f"{number}-0", fields={"history": b""})
    expected = [f"e{number}" for number in range(1, 1203)]
    assert [letter.event_id for letter in await _oldest(dead)] == expected
    assert [letter.event_id for letter in await _newest(dead)] == expected[::-1]


async def test_replay(store: Store, dead: DeadLetters) -> None:
    """A replayed event goes to the inbox of the subscription that failed and no other, its attempts fresh."""
    await put_dead(store, "a", fields={"crashes": 1})
    await put_dead(store, "b", subscription="audit")
    assert await dead.replay(await _oldest(dead, subscription="sync"), "fixed") == Tally(1, 0)
    (fields,) = await _inbox(store, "sync")
    assert fields[b"id"] == b"a"
    assert b"attempts" not in fields
    assert b"crashes" not in fields
    line = json.loads(fields[b"history"].splitlines()[-1])
    assert line["replayed"] == "fixed"
    assert datetime.fromisoformat(line["at"]).tzinfo is not None
    assert await _inbox(store, "audit") == []
    assert await store.client.xlen(store.keys.events(CUSTOMERS)) == 0
    assert [letter.event_id for letter in await _newest(dead)] == ["b"]


async def test_replay_is_safe_to_repeat(store: Store, dead: DeadLetters) -> None:
    """However often and at how many places at once it is replayed, an event is moved once."""
    for number in range(250):
        await put_dead(store, f"e{number}", subscription="sync" if number % 2 else "audit")
    letters = await _oldest(dead)
    results = await asyncio.gather(dead.replay(letters), dead.replay(letters), dead.replay(letters))
    assert sum(result.changed for result in results) == 250
    assert len(await _inbox(store, "sync")) == len(await _inbox(store, "audit")) == 125
    assert await dead.replay(letters) == Tally(0, 0)
    assert await dead.replay([]) == Tally(0, 0)


async def test_replay_refused(store: Store, dead: DeadLetters) -> None:
    """Dead letters that the server refuses to move stay where they are and are counted; the others are moved."""
    await put_dead(store, "a")
    await put_dead(store, "b", subscription="audit")
    await store.client.set(store.keys.inbox(CUSTOMERS, "audit"), "no stream")
    done = await dead.replay(await _oldest(dead))
    assert done[:2] == (1, 1)
    assert "WRONGTYPE" in done.refusal
    assert [letter.event_id for letter in await _newest(dead)] == ["b"]


async def test_purge(store: Store, dead: DeadLetters) -> None:
    """Purging removes exactly what was selected."""
    for number in range(120):
        await put_dead(store, f"e{number}")
    await put_dead(store, "kept", subscription="audit")
    letters = await _oldest(dead, subscription="sync")
    assert await dead.purge(letters) == Tally(120, 0)
    assert await dead.purge(letters) == Tally(0, 0)
    assert await dead.purge([]) == Tally(0, 0)
    assert [letter.event_id for letter in await _newest(dead)] == ["kept"]


async def test_stats(store: Store, dead: DeadLetters) -> None:
    """Dead letters that failed alike, details of the message aside, are one group with first, last and a sample."""
    for number, message in enumerate(["customer 1 is 'blocked'", "customer 22 is 'new'", "customer 3 is 'x'"], 1):
        await put_dead(store, f"e{number}", entry_id=f"{number}000-0", fields={"history": history(message)})
    await put_dead(store, "other", entry_id="9000-0", fields={"history": history("boom", error="KeyError")})
    await put_dead(store, "audited", subscription="audit", fields={"history": history("customer 5 is 'x'")})
    groups = await grouped(dead.newest(Selector(subscription="sync")))
    assert [(group.error, group.message, group.count, group.sample) for group in groups] == [
        ("ValueError", "customer # is '…'", 3, "e3"),
        ("KeyError", "boom", 1, "other"),
    ]
    assert (groups[0].first_seen.timestamp(), groups[0].last_seen.timestamp()) == (1, 3)
    assert len(await grouped(dead.newest(Selector()))) == 3


@pytest.mark.parametrize(
    ("message", "folded"),
    [
        ("no customer 55555", "no customer #"),
        ("took 1.5 s at 12:30:01", "took # s at #"),
        ("""unknown 'abc' and "d 7" """, "unknown '…' and '…'"),
        ("id 0e4d3a5c-1f2b-4c3d-8e9f-a0b1c2d3e4f5 gone", "id # gone"),
        ("hash deadbeef01 differs", "hash # differs"),
        ("at <Client object at 0x7f2553331410>", "at <Client object at #>"),
        ("defaced facade", "defaced facade"),
        ("first\nsecond 2", "first"),
        ("x" * 500, "x" * 200),
        ("", ""),
    ],
)
def test_fold_message(message: str, folded: str) -> None:
    """Numbers, ids and quoted texts are details; words are not."""
    assert fold_message(message) == folded


async def test_store_away(store: Store, dead: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away is said so in one line, whatever is done."""

    async def away(commands: Any) -> list[Any]:
        return [ConnectionError("refused")] * len(commands)

    await put_dead(store, "a")
    letters = await _newest(dead)
    monkeypatch.setattr(store, "commands", away)
    with pytest.raises(StoreUnavailable, match="ConnectionError: refused"):
        await _newest(dead)
    with pytest.raises(StoreUnavailable):
        await dead.purge(letters)
