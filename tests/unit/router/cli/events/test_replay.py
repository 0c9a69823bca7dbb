"""`events replay`: giving one subscription past events once more."""

import asyncio
import json
import os
import signal
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_events, put_group
from support.waiting import eventually

from router.store.client import Store
from workers.operations import audit
from workers.operations.handover import Handover, replayed_keys
from workers.state.filters import note_filter
from workers.where import Where

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return a command line on a store with seven customers that `sync` has finished, and a supplier for nobody."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        await put_events(store, *(f"e{number}" for number in range(7)))
        await put_events(store, "s1", stream=SUPPLIERS)
        key = store.keys.events(CUSTOMERS)
        await store.client.execute_command("XREADGROUP", "GROUP", "sync", "w1", "STREAMS", key, ">")
        for entry_id, _ in await store.client.xrange(key):
            await store.client.execute_command("XACK", key, "sync", entry_id)

    cli.fill(fill)
    return cli


def inbox(cli: Cli) -> list[str]:
    """Return the ids of what was given."""

    async def read(store: Store) -> list[str]:
        found = await store.client.xrange(store.keys.inbox(CUSTOMERS, "sync"))
        return [fields[b"id"].decode() for _, fields in found]

    return cli.fill(read)


async def _audited(store: Store) -> list[audit.AuditLine]:
    return [line async for line in audit.lines(store)]


def test_replay(filled: Cli) -> None:
    """All that matches is given, in its order, and an audit line says what and why."""
    done = filled.json("events", "replay", "--to", "sync", "--since", "1h", "--yes", "--reason", "wrong price")
    assert (done["subscription"], done["matched"], done["replayed"], done["failed"]) == ("sync", 7, 7, 0)
    assert done["after"].endswith(f"/{CUSTOMERS}")
    assert inbox(filled) == [f"e{number}" for number in range(7)]
    (line,) = filled.fill(_audited)
    assert (line.verb, line.subject, line.reason, line.changed) == ("events replay", "sync", "wrong price", 7)


def test_in_parts(filled: Cli) -> None:
    """A replay in parts, each going on where the one before ended, gives each event once."""
    given = ("events", "replay", "--to", "sync", "--max", "3", "--yes")
    done = filled.json(*given, "--since", "1h")
    assert "there may be more" not in filled.run(*given, "--since", "1h", "--dry-run").stdout
    assert inbox(filled) == ["e0", "e1", "e2"]
    result = filled.run(*given, "--after", done["after"])
    assert result.stdout == "replayed 3 of 3 to sync\n"
    assert "there may be more: add --after" in result.stderr
    assert inbox(filled) == [f"e{number}" for number in range(6)]


def test_it_is_shown_first(filled: Cli) -> None:
    """Without a yes and without a terminal it says what is meant, shows some of it, and changes nothing."""
    said = filled.fails(2, "events", "replay", "customer_*", "--to", "sync", "--since", "1h")
    assert "replay 7 events to sync, such as:" in said
    assert "add --yes to replay these 7" in said
    assert "no worker runs for sync now" in said
    assert sum(CUSTOMERS in line for line in said.splitlines()) == 5
    assert filled.ok("events", "replay", "--to", "sync", "--since", "1h", "--dry-run") == ""
    assert inbox(filled) == []
    assert filled.fill(_audited) == []


def test_what_a_filter_will_skip(filled: Cli) -> None:
    """A replay to a subscription with a filter says before it begins how many of the events that skips, in JSON too.

    It does not say so where the filter lets all of them pass.
    """
    given = ("events", "replay", "--to", "sync", "--since", "1h")
    assert "filtered" not in filled.json(*given, "--dry-run")

    def filter_by(where: dict[str, Any]) -> None:
        filled.fill(lambda store: note_filter(store, "sync", Where(where), [CUSTOMERS]))

    filter_by({"id": ["e0", "e3"]})
    said = 'the filter of sync skips 5 of these 7: where {"id": ["e0", "e3"]}'
    assert said in filled.run(*given, "--dry-run").stderr
    assert said in filled.fails(2, *given)
    assert filled.json(*given, "--dry-run")["filtered"] == {"sync": 5}
    assert said in filled.run(*given, "--yes", "--again", "named").stderr
    filter_by({"id": "e*"})
    result = filled.run(*given, "--yes", "--json")
    assert "skips" not in result.stderr
    assert json.loads(result.stdout)["filtered"] == {"sync": 0}


@pytest.mark.parametrize(
    ("code", "words", "options"),
    [
        (2, "say from when on", ("--to", "sync")),
        (3, "no subscription 'nobody' exists; there is sync", ("--to", "nobody", "--since", "1h")),
        (2, f"sync subscribes to none of {SUPPLIERS}", ("supplier_changed", "--to", "sync", "--since", "1h")),
        (3, "nothing to replay", ("--to", "sync", "--since", "1h", "--company", "99")),
        (2, "is no entry", ("--to", "sync", "--after", "yesterday")),
        (2, "did you mean", ("custmer_changed", "--to", "sync", "--since", "1h")),
    ],
)
def test_what_is_refused(filled: Cli, code: int, words: str, options: tuple[str, ...]) -> None:
    """What cannot be meant is said in one line, and nothing is given."""
    assert words in filled.fails(code, "events", "replay", *options, "--yes")
    assert inbox(filled) == []


def test_streams_that_it_does_not_have_are_named(filled: Cli) -> None:
    """A glob over streams of which the subscription has some gives those, and says which were left out."""
    result = filled.run("events", "replay", "*er_changed", "--to", "sync", "--since", "1h", "--yes")
    assert f"{SUPPLIERS}" in result.stderr
    assert "replayed 7 of 7 to sync" in result.stdout
    assert "left out" not in filled.run("events", "replay", "--to", "sync", "--since", "1h", "--yes").stderr


def test_repeated(filled: Cli) -> None:
    """Repeating a command gives nothing twice and says so; a new replay takes a name of its own."""
    given = ("events", "replay", "--to", "sync", "--since", "1h", "--yes")
    assert filled.ok(*given) == "replayed 7 of 7 to sync\n"
    assert filled.ok(*given) == "replayed 0 of 7 to sync, 7 already handed over (see --again)\n"
    assert filled.json(*given)["already"] == 7
    assert len(inbox(filled)) == 7
    for replayed in (7, 0):
        assert filled.json(*given, "--again", "2")["replayed"] == replayed
    assert len(inbox(filled)) == 14


def test_a_store_that_is_lost_on_the_way(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how far it came; repeating it gives the rest, and nothing twice."""
    run, calls = Store.run, 0

    async def breaking(self: Store, wanted: Any) -> list[Any]:
        nonlocal calls
        if wanted[0].script.name == "hand_over":
            calls += 1
            if calls == 3:
                return [RedisConnectionError("gone")] * len(wanted)
        return await run(self, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "run", breaking)
        given = ("events", "replay", "--to", "sync", "--since", "1h", "--yes", "--rate", "20")
        said = filled.fails(4, *given)
    assert "the store was lost when 4 of 7 were replayed; repeating is safe" in said
    filled.ok("events", "replay", "--to", "sync", "--since", "1h", "--yes")
    assert inbox(filled) == [f"e{number}" for number in range(7)]
    assert [line.changed for line in filled.fill(_audited)] == [3, 4]


def test_one_that_is_interrupted(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch under way is finished and counted: repeating it gives the rest, and nothing twice."""
    give, calls = Handover.apply, list[int]()

    async def interrupted(self: Handover, *given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            await eventually(lambda: any(task.cancelling() for task in asyncio.all_tasks()))
        return await give(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Handover, "apply", interrupted)
        said = filled.fails(130, "events", "replay", "--to", "sync", "--since", "1h", "--yes", "--rate", "20")
    assert "interrupted when 4 of 7 were replayed; repeating is safe" in said
    (line,) = filled.fill(_audited)
    assert (line.matched, line.changed, line.error) == (7, 4, "interrupted")
    filled.ok("events", "replay", "--to", "sync", "--since", "1h", "--yes")
    assert inbox(filled) == [f"e{number}" for number in range(7)]


def test_what_the_server_refuses(filled: Cli) -> None:
    """What could not be given is counted, with the words of the server, and the exit code is 1."""

    async def spoil(store: Store) -> None:
        for key in replayed_keys(store.keys, CUSTOMERS, "sync"):
            await store.client.set(key, "no hash")

    filled.fill(spoil)
    result = filled.run("events", "replay", "--to", "sync", "--since", "1h", "--yes")
    assert result.exit_code == 1
    assert "7 could not be replayed: " in result.stderr
    assert "WRONGTYPE" in result.stderr
