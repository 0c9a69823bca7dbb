"""Pauses, as the store keeps them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.filling import CUSTOMERS, put_events, put_group
from support.keyed import KeyedBench
from support.waiting import eventually

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.store.keys import LINES
from workers.operations import audit
from workers.operations.pauses import pause, pause_company, resume, resume_company
from workers.operations.removal import Removal
from workers.state.companies import CompanyPause, keyed_ones, paused_companies
from workers.state.pauses import confirm, confirmed, paused


async def test_nothing_is_paused(store: Store) -> None:
    """Nobody is paused unless somebody said so."""
    assert await paused(store, []) == {}
    assert await paused(store, ["sync", "audit"]) == {}


async def test_pause_and_resume(store: Store) -> None:
    """A pause is that of one subscription, says who, why and since when, and holds until it is resumed."""
    made = await pause(store, "sync", None, by="ann@host", reason="the ERP is closed")
    assert await paused(store, ["audit", "sync"]) == {"sync": made}
    assert abs(made.since - datetime.now(UTC)) < timedelta(minutes=1)
    assert made.text().endswith(" UTC by ann@host: the ERP is closed")
    assert (made.until, made.seconds_left) == (None, None)
    await resume(store, "sync", by="bob@host")
    assert await paused(store, ["sync"]) == {}


async def test_a_pause_with_an_end(store: Store) -> None:
    """One with an end says when that is, and is over then by itself."""
    await pause(store, "sync", 600, by="ann")
    found = (await paused(store, ["sync"]))["sync"]
    assert found.until is not None
    assert 590 < (found.until - found.since).total_seconds() < 610
    assert f" until {found.until:%Y-%m-%d %H:%M:%S} UTC by ann" in found.text()
    await pause(store, "sync", 0.05, by="ann")

    async def over() -> bool:
        return await paused(store, ["sync"]) == {}

    await eventually(over)


async def test_the_last_word_counts(store: Store) -> None:
    """A pause takes the place of another: one without an end goes on after the end of the one before."""
    await pause(store, "sync", 60, by="ann")
    await pause(store, "sync", None, by="bob")
    found = (await paused(store, ["sync"]))["sync"]
    assert (found.by, found.until) == ("bob", None)
    assert await store.client.pttl(store.keys.pause("sync")) == -1
    for _ in range(10):
        await pause(store, "sync", 60, by="ann")
    assert await store.client.xlen(store.keys.pause("sync")) <= 4


async def test_confirmations(store: Store) -> None:
    """What a worker has confirmed is one pause, and not the next one."""
    first = await pause(store, "sync", None, by="ann")
    await confirm(store, "sync", "w1", first)
    assert await confirmed(store, "sync", first) == {"w1"}
    second = await pause(store, "sync", None, by="ann")
    assert await confirmed(store, "sync", second) == set()
    await confirm(store, "sync", "w1", first)
    assert await confirmed(store, "sync", second) == set()
    assert await store.client.ttl(store.keys.halted("sync")) > 0


async def test_words_of_any_bytes(store: Store) -> None:
    """A reason that is no text, as an argument of a command may be, pauses all the same, and can be shown."""
    made = await pause(store, "sync", None, by="ann", reason="caf\udce9")
    assert await paused(store, ["sync"]) == {"sync": made}
    assert made.reason == "caf\\udce9"
    await resume(store, "sync", by="ann", reason="caf\udce9")


async def test_a_removed_subscription_is_not_paused(store: Store, catalogue: Catalogue) -> None:
    """One that is made again under the name of one that was removed begins without its pause."""
    await put_group(store, "sync")
    await pause(store, "sync", None, by="ann")
    await Removal(store, catalogue, Settings(), "sync").run()
    assert await paused(store, ["sync"]) == {}


async def test_what_a_paused_subscription_has_not_had_is_not_trimmed(store: Store) -> None:
    """For retention a pause changes nothing: what is not finished stays, however old."""
    await put_group(store, "sync")
    await put_group(store, "audit")
    await put_events(store, "e1", "e2")
    events = store.keys.events(CUSTOMERS)
    await pause(store, "sync", None, by="ann")
    await store.client.execute_command("XREADGROUP", "GROUP", "audit", "w1", "STREAMS", events, ">")
    for entry_id, _ in await store.client.xrange(events):
        await store.client.execute_command("XACK", events, "audit", entry_id)

    async def old_enough() -> bool:
        (last,) = await store.client.xrevrange(events, count=1)
        seconds, micros = await store.client.execute_command("TIME", **_anywhere(store))
        return bool(int(seconds) * 1000 + int(micros) // 1000 > int(last[0].partition(b"-")[0]) + 1)

    await eventually(old_enough)
    assert await store.call(scripts.trim(events, store.keys.archived(CUSTOMERS), 1)) == 0
    await store.client.execute_command("XREADGROUP", "GROUP", "sync", "w1", "STREAMS", events, ">")
    for entry_id, _ in await store.client.xrange(events):
        await store.client.execute_command("XACK", events, "sync", entry_id)
    assert await store.call(scripts.trim(events, store.keys.archived(CUSTOMERS), 1)) == 2


def _anywhere(store: Store) -> dict[str, Any]:
    return {"target_nodes": store.client.get_random_node()} if store.cluster else {}  # type: ignore[union-attr]


async def test_store_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away does not say that nothing is paused."""

    async def away(commands: Any) -> list[Any]:
        return [ConnectionError("refused")] * len(commands)

    monkeypatch.setattr(store, "commands", away)
    with pytest.raises(StoreUnavailable):
        await paused(store, ["sync"])


async def test_a_pause_that_ends_while_it_is_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause that expires between the two questions is over; it is none without an end, which nobody would look at."""
    await pause(store, "sync", 60, by="ann")
    commands = store.commands

    async def expired(asked: Sequence[Any]) -> list[Any]:
        replies = await commands(asked)
        return [-2 if one[0] == "PTTL" else reply for one, reply in zip(asked, replies, strict=True)]

    monkeypatch.setattr(store, "commands", expired)
    assert await paused(store, ["sync"]) == {}


async def test_a_company_is_paused(store: Store) -> None:
    """A pause of a company is that of one keyed subscription, with an end or without; the audit has a line of it."""
    bench = KeyedBench(store)
    assert await keyed_ones(store, ["sync", "audit"]) == []
    await bench.bring("e1")
    (other,) = await bench.bring("e2", customer="2", company="8")
    assert await keyed_ones(store, ["sync", "audit"]) == ["sync"]
    made = await pause_company(store, "sync", "7", None, by="ann", reason="import")
    assert (made.company, made.until, made.by, made.reason) == ("7", None, "ann", "import")
    assert made.since is not None
    assert await paused_companies(store, ["audit", "sync"]) == {"sync": {"7": made}}
    assert await bench.handled() == [other]
    assert await keyed_ones(store, ["sync", "audit"]) == ["sync"]
    made = await pause_company(store, "sync", "7", 600, by="ann")
    assert made.until is not None
    assert 590 < (made.until - datetime.now(UTC)).total_seconds() <= 600
    assert await paused_companies(store, ["sync"]) == {"sync": {"7": made}}
    assert await resume_company(store, "sync", "7", by="bob")
    assert not await resume_company(store, "sync", "7", by="bob")
    assert await paused_companies(store, ["sync"]) == {}
    assert len(await bench.handled()) == 1
    lines = [line async for line in audit.lines(store)]
    assert [(line.verb, line.selector.get("company"), line.changed) for line in reversed(lines)] == [
        ("subscriptions pause", "7", 1),
        ("subscriptions pause", "7", 1),
        ("subscriptions resume", "7", 1),
        ("subscriptions resume", "7", 0),
    ]


async def test_a_pause_of_a_company_that_is_over_is_none(store: Store) -> None:
    """Where no worker runs that would end it, a pause whose time is over is not shown any more."""
    bench = KeyedBench(store)
    await bench.bring("e1")
    await pause_company(store, "sync", "7", 600, by="ann")
    stopped = store.keys.lines("sync")[LINES.index("stopped")]
    await store.client.zadd(stopped, {"7": 1})
    assert await paused_companies(store, ["sync"]) == {}
    assert len(await bench.handled()) == 1
    assert not await store.client.exists(store.keys.lines("sync")[LINES.index("pauses")])


async def test_a_pause_of_which_only_the_end_is_known(store: Store) -> None:
    """Where who paused a company, and why, was deleted manually, the pause is shown without."""
    bench = KeyedBench(store)
    await bench.bring("e1")
    await pause_company(store, "sync", "7", None, by="ann", reason="import")
    await store.client.delete(store.keys.lines("sync")[LINES.index("pauses")])
    assert await paused_companies(store, ["sync"]) == {"sync": {"7": CompanyPause("7", None, None)}}
    assert CompanyPause("7", None, None).text() == "company 7 is paused by somebody"
