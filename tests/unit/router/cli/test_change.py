"""Changing what is stored: interrupted, asked for at a terminal, and at a rate."""

import asyncio
import os
import signal
from typing import Any

import pytest
from support.cli import Cli
from support.filling import CUSTOMERS, put_dead, put_group
from support.waiting import eventually

from router.store.client import Store
from workers.operations.change import Tally
from workers.operations.dead_letters.letters import DeadLetters


@pytest.fixture
def many(cli: Cli) -> Cli:
    """Return a command line with 250 dead letters."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        for number in range(250):
            await put_dead(store, f"e{number}", fields={"history": ""})

    cli.fill(fill)
    return cli


def _inbox(cli: Cli) -> int:
    async def count(store: Store) -> int:
        return int(await store.client.xlen(store.keys.inbox(CUSTOMERS, "sync")))

    return cli.fill(count)


_ENDING = ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "ABRT"]


@pytest.mark.parametrize("sent", [signal.Signals[f"SIG{name}"] for name in _ENDING])
def test_an_interrupted_change_is_audited(many: Cli, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals) -> None:
    """Every signal that ends it does so between two batches; how far it came is told, and the audit says so."""
    replay = DeadLetters.replay

    async def interrupted(self: DeadLetters, letters: Any, reason: str = "") -> Tally:
        result = await replay(self, letters, reason)
        os.kill(os.getpid(), sent)
        # The batch that is under way is finished, and counted.
        await eventually(lambda: any(task.cancelling() for task in asyncio.all_tasks()))
        return result

    async def counted(self: DeadLetters, letters: Any, reason: str = "") -> Tally:
        if _batches:
            return await interrupted(self, letters, reason)
        _batches.append(1)
        return await replay(self, letters, reason)

    _batches: list[int] = []
    monkeypatch.setattr(DeadLetters, "replay", counted)
    result = many.run("dlq", "replay", "--yes")
    assert result.exit_code == 130
    assert "interrupted when 200 of 250 were replayed; repeating is safe" in result.stderr
    (line,) = many.json("audit")
    assert (line["error"], line["matched"], line["changed"]) == ("interrupted", 250, 200)
    monkeypatch.setattr(DeadLetters, "replay", replay)
    assert many.json("dlq", "replay", "--yes")["replayed"] == 50
    assert _inbox(many) == 250


def test_a_change_that_fails_is_audited(many: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store is lost on the way, the audit says how far it came, as soon as it can."""
    purge, calls = DeadLetters.purge, []

    async def lost(self: DeadLetters, letters: Any) -> Tally:
        calls.append(1)
        if len(calls) == 3:
            raise ConnectionError("reset")
        return await purge(self, letters)

    monkeypatch.setattr(DeadLetters, "purge", lost)
    many.fails(4, "dlq", "purge", "*", "--yes", "--reason", "junk")
    (line,) = many.json("audit")
    assert (line["verb"], line["changed"], line["reason"]) == ("dlq purge", 200, "junk")
    assert line["error"] == "ConnectionError: reset"


def test_ctrl_c_at_the_question(many: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C instead of an answer ends the command at once, and nothing is changed."""
    monkeypatch.setattr("router.cli.change._is_asked", lambda: True)

    def asked(*_: Any, **__: Any) -> bool:
        signal.raise_signal(signal.SIGINT)
        return True

    monkeypatch.setattr("typer.confirm", asked)
    assert "aborted" in many.fails(1, "dlq", "replay")
    assert _inbox(many) == 0


def test_a_dry_run_is_not_audited(many: Cli) -> None:
    """Where nothing is changed there is nothing to answer for."""
    many.ok("dlq", "replay", "--dry-run")
    many.fails(3, "dlq", "purge", "nothing")
    assert many.json("audit") == []


def test_what_is_counted_is_what_is_meant(many: Cli) -> None:
    """A selection by places is counted by the length of its streams, any other by reading: both count the same."""
    assert "replay 250 dead letters" in many.fails(2, "dlq", "replay", "--subscription", "sync")
    assert "replay 250 dead letters" in many.fails(2, "dlq", "replay", "--since", "1h")
    assert "replay 120 dead letters" in many.fails(2, "dlq", "replay", "customer_changed", "--max", "120")
    assert many.json("dlq", "replay", "customer_changed", "--max", "120", "--yes")["replayed"] == 120


def test_nothing_is_read_that_is_not_needed(many: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay by places reads each dead letter once, but for the sample, and looks into none of the bodies."""
    normalised: list[Any] = []
    read: list[int] = []
    made = DeadLetters.read
    monkeypatch.setattr("workers.delivery.read_event", lambda *given: normalised.append(given))

    def counted(self: DeadLetters, *given: Any) -> Any:
        read.append(1)
        return made(self, *given)

    monkeypatch.setattr(DeadLetters, "read", counted)
    assert many.json("dlq", "replay", "--subscription", "sync", "--yes")["replayed"] == 250
    assert normalised == []
    assert len(read) == 255
