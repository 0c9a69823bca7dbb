"""Changing dead letters in the console: what is seen before is what is changed, and all of it is audited."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import pytest
from support.console import Visitor, picks, visiting
from support.filling import CUSTOMERS, FINANCIAL, history, put_dead, put_group, put_quarantined, raw_of
from support.waiting import eventually

from router.console.jobs import Job, Jobs
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations import audit
from workers.operations.audit import AuditLine
from workers.operations.dead_letters.changes import DeadLetterChange
from workers.operations.dead_letters.letters import DeadLetters
from workers.operations.dead_letters.selector import Selector
from workers.state.filters import note_filter
from workers.where import Where

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


@pytest.fixture
async def visitor(store: Store, catalogue: Catalogue) -> AsyncIterator[Visitor]:
    """Yield somebody who is signed in, on every kind of store, with dead letters of two streams."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await put_group(store, "other")
    for stream in (CUSTOMERS, SUPPLIERS):
        for number in range(3):
            # The same ids on both streams: a pick is of one stream.
            await put_dead(store, f"{stream}-{number}", stream=stream, entry_id=f"17600000000{number}0-1")
    await put_dead(store, "rare", subscription="other", fields={"history": history("x", error="Rare")})
    async with visiting(store, catalogue) as found:
        yield found


async def left(store: Store, stream: str = CUSTOMERS, name: str = "sync") -> int:
    """Return how many dead letters there are."""
    return int(await store.client.xlen(store.keys.dead(stream, name)))


async def waiting(store: Store, stream: str = CUSTOMERS, name: str = "sync") -> int:
    """Return how many deliveries wait to be handled again."""
    return int(await store.client.xlen(store.keys.inbox(stream, name)))


async def audited(store: Store) -> list[AuditLine]:
    """Return the audit, newest first."""
    return [line async for line in audit.lines(store)]


def fields_of(page: str) -> list[tuple[str, str]]:
    """Return what the form of a page sends that nobody types."""
    form = re.findall(r'<form method="post" action="/dead-letters/change".*?</form>', page, re.DOTALL)[0]
    hidden = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form)
    return [(name, unescape(value)) for name, value in hidden if name != "csrf"]


async def test_replay_one(store: Store, visitor: Visitor) -> None:
    """A single letter goes at once, with its reason, to where it failed, and no other goes."""
    pick = picks(await visitor.get("/dead-letters", subscription="sync", event="customer_changed"))[0]
    fields = {"verb": "replay", "which": "picked", "pick": pick, "reason": " mended\n the CRM "}
    page = await visitor.follow(await visitor.post("/dead-letters/change", fields))
    assert "1 replayed" in page
    assert (await left(store), await left(store, SUPPLIERS), await waiting(store)) == (2, 3, 1)
    ((_, entry),) = await store.client.xrange(store.keys.inbox(CUSTOMERS, "sync"))
    assert b"mended the CRM" in entry[b"history"]
    (line,) = await audited(store)
    assert (line.verb, line.actor, line.reason) == ("dlq replay", "kari@127.0.0.1", "mended the CRM")
    assert (line.matched, line.changed, line.failed) == (1, 1, 0)
    again = await visitor.follow(await visitor.post("/dead-letters/change", fields))
    assert "0 replayed" in again


async def test_replay_those_selected(store: Store, visitor: Visitor) -> None:
    """What is ticked is shown and then replayed, and nothing beside it, though another stream has its ids."""
    chosen = picks(await visitor.get("/dead-letters", event="supplier_changed"))[:2]
    pairs = [("verb", "replay"), ("which", "picked"), *(("pick", pick) for pick in chosen)]
    preview = await (await visitor.post("/dead-letters/preview", pairs)).text()
    assert "Replay 2 dead letters?" in preview
    assert "No worker runs for sync now" in preview
    assert await waiting(store, SUPPLIERS) == 0
    page = await visitor.follow(await visitor.post("/dead-letters/change", fields_of(preview)))
    assert "2 replayed" in page
    assert (await left(store, SUPPLIERS), await left(store)) == (1, 3)


@pytest.mark.parametrize(
    ("narrowed", "said"), [({}, "judges them again, and may skip some"), ({"resource": "*"}, "skips 3 of these")]
)
async def test_what_a_filter_will_skip(store: Store, visitor: Visitor, narrowed: dict[str, str], said: str) -> None:
    """A preview says how many the filter of the subscription skips, or that it may skip some where none is read."""
    await note_filter(store, "sync", Where({"entity": "<supplier>"}), [CUSTOMERS])
    fields = {"verb": "replay", "which": "all", "subscription": "sync", "event": "customer_changed", **narrowed}
    preview = await (await visitor.post("/dead-letters/preview", fields)).text()
    assert f"The filter of sync {said}: where {{&#34;entity&#34;: &#34;&lt;supplier&gt;&#34;}}" in preview


async def test_replay_all_that_match(store: Store, visitor: Visitor) -> None:
    """All that the filter selects go, but for those that die after they were counted."""
    fields = {"verb": "replay", "which": "all", "subscription": "sync", "since": "9999d"}
    preview = await (await visitor.post("/dead-letters/preview", fields)).text()
    assert "Replay 6 dead letters?" in preview
    assert 'name="since" value="9999d"' not in preview
    await put_dead(store, "later")
    pairs = [*fields_of(preview), ("rate", "1000")]
    page = await visitor.follow(await visitor.post("/dead-letters/change", pairs))
    assert "6 replayed" in page
    assert (await left(store), await left(store, name="other")) == (1, 1)
    (line,) = await audited(store)
    assert line.selector["subscription"] == "sync"
    assert (line.matched, line.changed) == (6, 6)


async def test_replay_what_is_made_anew(store: Store, visitor: Visitor) -> None:
    """Renormalised, what the catalogue of today makes of the bytes is selected, shown and handed to the worker."""
    stored = {"id": "old", "publisher": FINANCIAL, "type": "customer_changed", "wire_event": "customer_changed"}
    stored |= {"resource": "customer/before", "received_at": "2025-10-09T08:53:20Z"}
    await put_dead(store, "old", fields={"event": json.dumps(stored)})
    fields = {"verb": "replay", "which": "all", "subscription": "sync", "event": CUSTOMERS, "resource": "customer/1"}
    assert "Replay 3 dead" in await (await visitor.post("/dead-letters/preview", fields)).text()
    preview = await (await visitor.post("/dead-letters/preview", {**fields, "renormalise": "true"})).text()
    assert "Replay 4 dead" in preview
    assert "made again from the bytes" in preview
    assert "4 replayed" in await visitor.follow(await visitor.post("/dead-letters/change", fields_of(preview)))
    inbox = [entry for _, entry in await store.client.xrange(store.keys.inbox(CUSTOMERS, "sync"))]
    assert [b"event" in entry for entry in inbox] == [False] * 4
    assert (await audited(store))[0].selector["renormalise"] == "true"


async def test_those_of_a_company(store: Store, visitor: Visitor) -> None:
    """The console keeps to a company as the command line does, from the list to the change."""
    await put_dead(store, "other", company=77)
    page = await visitor.get("/dead-letters", company="77")
    assert len(picks(page)) == 1
    fields = {"verb": "replay", "which": "all", "company": "77"}
    preview = await (await visitor.post("/dead-letters/preview", fields)).text()
    assert "Replay 1 dead letter?" in preview
    await visitor.follow(await visitor.post("/dead-letters/change", fields_of(preview)))
    assert (await waiting(store), await left(store)) == (1, 3)
    assert (await audited(store))[0].selector["company"] == "77"


async def test_purge_asks_first(store: Store, visitor: Visitor) -> None:
    """Purging says that it is for good, and removes what was shown; the link back keeps the filter."""
    fields = {"verb": "purge", "which": "all", "error": "Rare"}
    preview = await (await visitor.post("/dead-letters/preview", fields)).text()
    assert "Purge 1 dead letter?" in preview
    assert "gone for good" in preview
    page = await visitor.follow(await visitor.post("/dead-letters/change", fields_of(preview)))
    assert "1 purged" in page
    assert 'href="/dead-letters?error=Rare"' in page
    assert (await left(store, name="other"), await left(store)) == (0, 3)
    assert [line.verb for line in await audited(store)] == ["dlq purge"]


@pytest.mark.parametrize("path", ["/dead-letters/preview", "/dead-letters/change"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"verb": "eat", "which": "all", "subscription": "sync"},
        {"verb": "replay", "which": "picked"},
        {"verb": "replay", "which": "picked", "pick": "1-1"},
        {"verb": "purge", "which": "all"},
        {"verb": "purge", "which": "all", "since": "long ago"},
    ],
)
async def test_what_is_not_clear_changes_nothing(
    store: Store, visitor: Visitor, path: str, fields: dict[str, str]
) -> None:
    """An empty choice never means everything, and a purge takes a filter."""
    assert (await visitor.post(path, fields)).status == 400
    assert (await left(store), await left(store, SUPPLIERS), await left(store, name="other")) == (3, 3, 1)
    assert await audited(store) == []


@pytest.mark.parametrize("rate", ["fast", "0", "-1", "nan", "inf", "1e9"])
async def test_a_rate_that_is_none(visitor: Visitor, rate: str) -> None:
    """A rate that makes no sense is told, and nothing begins."""
    fields = {"verb": "replay", "which": "all", "subscription": "sync", "rate": rate}
    response = await visitor.post("/dead-letters/change", fields)
    assert (response.status, "is no rate" in await response.text()) == (400, True)


async def test_a_slow_change_can_be_stopped(store: Store, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change with a low rate goes on behind its page until somebody stops it; what it did is audited."""
    monkeypatch.setattr("router.console.pages.changes._SETTLED", 0.01)
    fields = {"verb": "replay", "which": "all", "subscription": "sync", "rate": "0.02"}
    response = await visitor.post("/dead-letters/change", fields)
    url = response.headers["Location"]
    (job,) = visitor.console.jobs._jobs.values()
    await eventually(lambda: job.result.changed == 1)
    assert "Stop here" in await visitor.get(url)
    page = await visitor.follow(await visitor.post("/job/stop", {"id": job.id}))
    assert "Stopped" in page
    (line,) = await audited(store)
    assert (line.changed, await left(store) + await left(store, SUPPLIERS)) == (1, 5)
    assert (line.matched, line.error, line.finished) == (6, "interrupted", True)
    assert "1 of 6" in page


async def test_a_change_that_is_stopped_twice(store: Store, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch under way is finished and counted, and the audit says so, however often somebody stops it."""
    begun, go_on, replay = asyncio.Event(), asyncio.Event(), DeadLetters.replay

    async def slow(*given: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await replay(*given)

    monkeypatch.setattr(DeadLetters, "replay", slow)
    asking = asyncio.create_task(
        visitor.post("/dead-letters/change", {"verb": "replay", "which": "all", "subscription": "sync"})
    )
    await begun.wait()
    (job,) = visitor.console.jobs._jobs.values()
    stops = [asyncio.create_task(visitor.console.jobs.stop(job.id)) for _ in range(3)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*stops, asking)
    assert job.state == "stopped"
    (line,) = await audited(store)
    assert (line.matched, line.error) == (6, "interrupted")
    assert line.changed == job.result.changed == await waiting(store) + await waiting(store, SUPPLIERS) > 0


async def test_a_change_that_the_server_refuses(store: Store, visitor: Visitor) -> None:
    """What the server refused is counted, with its words."""
    for stream in (CUSTOMERS, SUPPLIERS):
        await store.client.delete(store.keys.inbox(stream, "sync"))
        await store.client.set(store.keys.inbox(stream, "sync"), "no stream")
    fields = {"verb": "replay", "which": "all", "subscription": "sync"}
    page = await visitor.follow(await visitor.post("/dead-letters/change", fields))
    assert "WRONGTYPE" in page


async def test_a_change_that_breaks(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that cannot be finished says why, and that repeating it is safe."""

    async def refuse(*_: object) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(DeadLetters, "replay", refuse)
    fields = {"verb": "replay", "which": "all", "subscription": "sync"}
    page = await visitor.follow(await visitor.post("/dead-letters/change", fields))
    assert "It could not be finished" in page
    assert "connection refused" in page
    assert "connection refused" in (await audited(visitor.console.operations.store))[0].error
    await visitor.get("/job", status=404, id="none")


async def test_counting_takes_no_longer_than_somebody_waits(
    store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count that would take too long is ended, and said to be the least."""

    async def endless(self: DeadLetters, *_: object) -> AsyncIterator[object]:
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(DeadLetters, "oldest", endless)
    change = DeadLetterChange(store, catalogue, "replay", Selector(error="*"))
    await put_group(store, "sync")
    await put_dead(store, "e1")
    assert not (await change.preview(patience=0.01)).complete


async def test_changes_are_forgotten_in_the_end() -> None:
    """Of the changes that have ended only the newest are remembered, and one that runs always is."""
    jobs, hold = Jobs(), asyncio.Event()

    async def wait() -> None:
        await hold.wait()

    async def nothing() -> None: ...

    running = jobs.start(Job("t", "done", "/"), wait)
    for _ in range(60):
        await jobs.settle(jobs.start(Job("t", "done", "/"), nothing), 1)
    assert len(jobs._jobs) <= 51
    assert jobs.find(running.id) is running
    await jobs.stop()
    assert running.state == "stopped"


# The quarantine


async def test_retry_of_a_body(store: Store, visitor: Visitor) -> None:
    """A body that can be read now becomes an event; one that cannot stays, and it is told why."""
    good = await put_quarantined(store, raw_of("late"), reason="no such event")
    await put_quarantined(store, b"{", reason="not valid JSON")
    fields = {"verb": "retry", "publisher": FINANCIAL, "id": good}
    page = await visitor.follow(await visitor.post("/quarantine/change", fields))
    assert "1 stored" in page
    assert await store.client.xlen(store.keys.events(CUSTOMERS)) == 1
    preview = await (await visitor.post("/quarantine/preview", {"verb": "retry"})).text()
    assert "Retry 1 quarantined body?" in preview
    page = await visitor.follow(await visitor.post("/quarantine/change", {"verb": "retry"}))
    assert "0 stored" in page
    assert "stays: " in page
    assert await store.client.xlen(store.keys.quarantine(FINANCIAL)) == 1
    assert [line.verb for line in await audited(store)] == ["quarantine retry", "quarantine retry"]


async def test_purge_of_bodies(store: Store, visitor: Visitor) -> None:
    """What is quarantined is purged by a filter, after a look, and never all of it at once."""
    await put_quarantined(store, b"{", reason="not valid JSON")
    await put_quarantined(store, b"[1]", reason="no object")
    assert 'value="purge"' not in await visitor.get("/quarantine")
    assert 'value="purge"' in await visitor.get("/quarantine", text="JSON")
    preview = await (await visitor.post("/quarantine/preview", {"verb": "purge", "text": "json"})).text()
    assert "Purge 1 quarantined body?" in preview
    assert await store.client.xlen(store.keys.quarantine(FINANCIAL)) == 2
    fields = {"verb": "purge", "text": "json", "reason": "noise"}
    assert "1 purged" in await visitor.follow(await visitor.post("/quarantine/change", fields))
    assert await store.client.xlen(store.keys.quarantine(FINANCIAL)) == 1
    (line,) = await audited(store)
    assert (line.verb, line.reason, line.changed) == ("quarantine purge", "noise", 1)


@pytest.mark.parametrize("path", ["/quarantine/preview", "/quarantine/change"])
@pytest.mark.parametrize(
    "fields", [{}, {"verb": "purge"}, {"verb": "retry", "publisher": "nobody"}, {"verb": "retry", "since": "soon"}]
)
async def test_what_is_not_clear_leaves_the_quarantine(
    store: Store, visitor: Visitor, path: str, fields: dict[str, str]
) -> None:
    """Nothing that could mean everything, or means nothing, is carried out."""
    await put_quarantined(store, raw_of("late"))
    assert (await visitor.post(path, fields)).status == 400
    assert await store.client.xlen(store.keys.quarantine(FINANCIAL)) == 1
