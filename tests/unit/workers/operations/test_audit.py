"""The audit: what is recorded, how it is read again, and that it never stands in the way."""

import asyncio
import getpass
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.cli import Cli

from router.store.client import Store
from workers.operations import audit
from workers.operations.audit import CHANGED, MATCHED, AuditLine, Deed, NotAudited, accounted, lines, record


async def _lines(store: Store, **wanted: Any) -> list[AuditLine]:
    return [line async for line in lines(store, **wanted)]


async def test_a_line_tells_all_there_is_to_know(store: Store) -> None:
    """Who, what, by which selector, how many and why: what is recorded is what is read."""
    given = {"subject": "dead.jsonl", "selector": {"ids": ["a"], "subscription": "sync"}, "reason": "café \ud800"}
    counts = {"matched": 3, "changed": 2, "failed": 1}
    await record(store, Deed("dlq export", **given, actor="jo@host"), counts, error="TimeoutError: x")
    (line,) = await _lines(store)
    assert (line.verb, line.actor, line.subject) == ("dlq export", "jo@host", "dead.jsonl")
    assert line.selector == given["selector"]
    assert (line.matched, line.changed, line.failed) == (3, 2, 1)
    assert (line.reason, line.error) == ("café \\ud800", "TimeoutError: x")
    assert datetime.now(UTC) - line.at < timedelta(minutes=1)


async def test_a_line_is_logged_too(store: Store) -> None:
    """The log has the line, whatever becomes of the store."""
    with capture_logs() as logged:
        await record(store, Deed("reveal", "e1", actor="jo@host"), {})
    (entry,) = logged
    assert (entry["event"], entry["verb"], entry["subject"], entry["actor"]) == ("audited", "reveal", "e1", "jo@host")


async def test_the_actor_is_the_user_of_the_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs the command is the actor; a user without a name, as in a container, is told by its number."""
    monkeypatch.setattr("socket.gethostname", lambda: "host")
    monkeypatch.setattr(getpass, "getuser", lambda: "jo")
    await record(store, Deed("reveal"), {})

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 10001)
    await record(store, Deed("reveal"), {})
    assert [line.actor for line in await _lines(store)] == ["uid-10001@host", "jo@host"]


async def test_lines_are_selected(store: Store) -> None:
    """Newest first, by verb, actor and time."""
    for number, (verb, actor) in enumerate([("dlq replay", "jo@a"), ("dlq purge", "Jim@b"), ("reveal", "jo@b")], 1):
        fields = {"verb": verb, "actor": actor}
        await store.client.xadd(store.keys.audit(), fields, id=f"{number}000-0")
    assert [line.verb for line in await _lines(store)] == ["reveal", "dlq purge", "dlq replay"]
    assert [line.verb for line in await _lines(store, verb="DLQ *")] == ["dlq purge", "dlq replay"]
    assert [line.actor for line in await _lines(store, actor="J")] == ["jo@b", "Jim@b", "jo@a"]
    assert [line.actor for line in await _lines(store, actor="@b", verb="dlq*")] == ["Jim@b"]
    since = datetime.fromtimestamp(2, UTC)
    assert [line.id for line in await _lines(store, since=since, until=since)] == ["2000-0"]


async def test_hostile_lines(store: Store) -> None:
    """A line that somebody wrote by hand is told as far as it can be read."""
    for selector in (b"\xff", b"[1]", b"[" * 5000):
        fields = {"verb": b"\xff", "matched": b"many", "changed": b"9" * 99, "selector": selector}
        await store.client.xadd(store.keys.audit(), fields)
    for line in await _lines(store):
        assert (line.verb, line.actor, line.matched, line.changed) == ("\N{REPLACEMENT CHARACTER}", "", 0, 0)
        assert line.selector == {}


async def test_the_stream_is_bounded(real_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the newest lines are kept, give or take those that share a node with them."""
    monkeypatch.setattr(audit, "KEPT", 100)
    for _ in range(500):
        await record(real_store, Deed("reveal"), {})
    assert 100 <= await real_store.client.xlen(real_store.keys.audit()) <= 250


async def test_a_store_that_refuses_is_no_failure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the line tells of has happened: that it is not stored is logged, and nothing raised."""
    await store.client.set(store.keys.audit(), "no stream")
    with capture_logs() as logged:
        await record(store, Deed("dlq purge"), {"changed": 3})
    assert [entry["event"] for entry in logged] == ["audited", "audit_not_stored"]
    assert "WRONGTYPE" in logged[1]["error"]
    assert await _lines(store) == []


def test_command(cli: Cli) -> None:
    """`audit` lists the lines, as a table and as JSON."""

    async def fill(store: Store) -> None:
        given = {"selector": {"subscription": "sync", "ids": ["a", "b"]}, "reason": "fixed", "actor": "jo@host"}
        await record(store, Deed("dlq replay", **given), {"matched": 9, "changed": 8, "failed": 1})
        await record(store, Deed("dlq purge", actor="jim@host", reason="junk"), {}, error="interrupted")

    cli.fill(fill)
    rows = cli.json("audit")
    assert [(row["verb"], row["error"]) for row in rows] == [("dlq purge", "interrupted"), ("dlq replay", None)]
    assert rows[1]["selector"] == {"subscription": "sync", "ids": ["a", "b"]}
    table = cli.ok("audit", "--verb", "dlq r*")
    assert table.splitlines()[0].split() == ["TIME", "ACTOR", "VERB", "WHAT", "MATCHED", "CHANGED", "FAILED", "WHY"]
    assert "subscription=sync ids=a,b" in table
    assert table.rstrip().endswith("fixed")
    assert "junk; interrupted" in cli.ok("audit")
    assert cli.json("audit", "--actor", "jim", "--limit", "1")[0]["actor"] == "jim@host"
    assert cli.json("audit", "--until", "2020-01-01") == []
    assert json.loads(cli.ok("audit", "--since", "1h", "--json"))


# Lines that are begun before they end


async def test_a_change_is_one_line(store: Store) -> None:
    """What was begun and has ended is one line, the end's, with what was reached and why it ended."""
    deed, counts = Deed("dlq purge", "x", {"subscription": "sync"}, "junk", "jo@host"), Counter({MATCHED: 3})

    async def work() -> None:
        async with accounted(store, deed, counts):
            found.extend(await _lines(store))
            counts[CHANGED] = 2
            raise ValueError("broken")

    found: list[AuditLine] = []
    with pytest.raises(ValueError, match="broken"):
        await work()
    (begun,) = found
    assert (begun.verb, begun.actor, begun.reason, begun.selector) == ("dlq purge", "jo@host", "junk", deed.selector)
    assert (begun.matched, begun.finished) == (3, False)
    (line,) = await _lines(store)
    assert (line.matched, line.changed, line.error, line.finished) == (3, 2, "ValueError: broken", True)


async def test_an_end_is_found_wherever_it_is(store: Store) -> None:
    """A line that ended after the time asked for is not taken for one that did not end, and one that did not is."""
    await store.client.xadd(store.keys.audit(), {"verb": "dlq purge", "state": "begun"}, id="1000-0")
    await store.client.xadd(store.keys.audit(), {"verb": "dlq replay", "state": "begun"}, id="2000-0")
    await store.client.xadd(store.keys.audit(), {"verb": "dlq purge", "begun": "1000-0"}, id="3000-0")
    until = datetime.fromtimestamp(2, UTC)
    assert [(line.id, line.finished) for line in await _lines(store, until=until)] == [("2000-0", False)]
    assert [line.id for line in await _lines(store)] == ["3000-0", "2000-0"]
    assert await _lines(store, verb="dlq purge", until=until) == []


async def test_who_is_cancelled_leaves_the_end(store: Store) -> None:
    """A change that somebody stops says so in its line, however often it is stopped."""
    counts = Counter({MATCHED: 3, CHANGED: 1})
    began = asyncio.Event()

    async def work() -> None:
        async with accounted(store, Deed("dlq purge"), counts):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await began.wait()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    (line,) = await _lines(store)
    assert (line.error, line.changed, line.finished) == ("interrupted", 1, True)


async def test_a_full_store_keeps_nobody_from_purging(store: Store) -> None:
    """A change is made though the audit takes no line; what must not be without one is refused."""
    await store.client.set(store.keys.audit(), "no stream")
    counts = Counter({MATCHED: 1})
    async with accounted(store, Deed("dlq purge"), counts):
        counts[CHANGED] = 1
    with pytest.raises(NotAudited, match="WRONGTYPE"):
        await accounted(store, Deed("reveal"), Counter(), strictly=True).__aenter__()


def test_the_command_shows_what_is_not_finished(cli: Cli) -> None:
    """A line without an end is listed as such: how many were meant, and not that none was changed."""

    async def fill(store: Store) -> None:
        fields = {"verb": "dlq purge", "actor": "jo@host", "matched": "9", "state": "begun"}
        await store.client.xadd(store.keys.audit(), fields)

    cli.fill(fill)
    (row,) = cli.json("audit")
    assert (row["finished"], row["matched"], row["changed"], row["failed"]) == (False, 9, None, None)
    assert "not finished: under way, or killed" in cli.ok("audit")
