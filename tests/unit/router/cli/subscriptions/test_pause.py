"""`subscriptions pause|resume`, and where a pause is shown."""

import time

import pytest
from support.cli import Cli
from support.filling import put_events, put_group

from router.store.client import Store
from workers.operations import audit
from workers.operations.pauses import pause
from workers.state.pauses import confirm, paused


@pytest.fixture
def filled(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a command line on a store with the subscriptions `sync` and `audit`, which waits for nobody for long."""
    monkeypatch.setattr("router.cli.subscriptions.pause._PATIENCE", 0.1)

    async def fill(store: Store) -> None:
        await put_events(store, "e1")
        await put_group(store, "sync")
        await put_group(store, "audit")

    cli.fill(fill)
    return cli


async def _audited(store: Store) -> list[tuple[str, str, str]]:
    return [(line.verb, line.subject, line.reason) async for line in audit.lines(store)]


def test_pause_and_resume(filled: Cli) -> None:
    """Both say what they did, and leave an audit line that says why."""
    said = filled.ok("subscriptions", "pause", "sync", "--reason", "ERP closed")
    assert said.startswith("sync is paused since ")
    assert ": ERP closed; no worker runs for it now" in said
    assert list(filled.fill(lambda store: paused(store, ["sync", "audit"]))) == ["sync"]
    said = filled.ok("subscriptions", "resume", "sync", "--reason", "open again")
    assert said.startswith("resumed sync, which was paused since ")
    assert filled.fill(lambda store: paused(store, ["sync"])) == {}
    assert filled.fill(_audited) == [
        ("subscriptions resume", "sync", "open again"),
        ("subscriptions pause", "sync", "ERP closed"),
    ]


def test_json(filled: Cli) -> None:
    """For programs: what the pause is, which workers there are, and which of them have stopped taking events."""
    done = filled.json("subscriptions", "pause", "sync", "--for", "30m", "--reason", "why")
    assert done["paused"].keys() == {"since", "until", "by", "reason"}
    assert (done["subscription"], done["workers"], done["halted"]) == ("sync", [], [])
    assert done["paused"]["reason"] == "why"
    assert filled.json("subscriptions", "resume", "sync")["was_paused"]["reason"] == "why"


def test_until(filled: Cli) -> None:
    """A pause for a while has an end, wherever it is shown."""
    assert " until " in filled.ok("subscriptions", "pause", "sync", "--for", "2h")
    (found,) = filled.fill(lambda store: paused(store, ["sync"])).values()
    assert found.seconds_left is not None
    assert 7_000 < found.seconds_left <= 7_200


@pytest.mark.parametrize("wrong", ["0m", "soon", "-5m", "5"])
def test_a_wrong_time(filled: Cli, wrong: str) -> None:
    """What is no time is said to be none, with what to write."""
    assert "write 90s, 30m, 2h, 1d or 1w" in filled.fails(2, "subscriptions", "pause", "sync", "--for", wrong)


def test_who_did_not_confirm_is_named(filled: Cli) -> None:
    """The command waits for the workers that live, and names those that have not answered."""

    async def beat(store: Store) -> None:
        await store.client.zadd(store.keys.consumers("sync"), {"w1": time.time() * 1000, "w2": time.time() * 1000})

    filled.fill(beat)
    result = filled.run("subscriptions", "pause", "sync")
    assert "0 of 2 workers have stopped taking events" in result.stdout
    assert "w1, w2 did not confirm within 0.1 s" in result.stderr


def test_who_confirmed_is_counted(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all workers have confirmed, the command is done."""

    async def at_once(store: Store, name: str, seconds: float | None, *, by: str, reason: str) -> object:
        await store.client.zadd(store.keys.consumers("sync"), {"w1": time.time() * 1000})
        made = await pause(store, name, seconds, by=by, reason=reason)
        await confirm(store, name, "w1", made)
        return made

    monkeypatch.setattr("workers.operations.operations.pauses.pause", at_once)
    result = filled.run("subscriptions", "pause", "sync")
    assert "1 of 1 worker has stopped taking events" in result.stdout
    assert "confirm" not in result.stderr


def test_no_such_subscription(filled: Cli) -> None:
    """A name that no subscription has is exit code 3, and nothing is paused."""
    assert "there are audit, sync" in filled.fails(3, "subscriptions", "pause", "nobody")
    assert "there are audit, sync" in filled.fails(3, "subscriptions", "resume", "nobody")
    assert filled.fill(lambda store: paused(store, ["nobody"])) == {}


def test_resume_what_is_not_paused(filled: Cli) -> None:
    """That there is nothing to resume is said."""
    assert "sync is not paused" in filled.fails(3, "subscriptions", "resume", "sync")


def test_list(filled: Cli) -> None:
    """The list shows a pause; where there is none it has no column for it."""
    assert "PAUSED" not in filled.ok("subscriptions", "list")
    filled.ok("subscriptions", "pause", "sync", "--reason", "ERP closed")
    header, audit_line, sync_line = filled.ok("subscriptions", "list").splitlines()
    assert header.endswith("PAUSED")
    assert audit_line.endswith(" -")
    assert sync_line.endswith(": ERP closed")
    rows = filled.json("subscriptions", "list")
    assert [row["paused"] and row["paused"]["reason"] for row in rows] == [None, "ERP closed"]
