"""The commands on subscriptions."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_events, put_group

from router.store.client import Store
from router.store.errors import StoreRefused

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
_REFUSED = StoreRefused("NOPERM this user may not")


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return a command line with three customers, `sync` on two streams with a dead letter, and `audit` on one."""

    async def fill(store: Store) -> None:
        await put_events(store, "e1", "e2", "e3")
        await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
        await put_group(store, "audit", CUSTOMERS)
        await store.client.xadd(store.keys.inbox(CUSTOMERS, "audit"), {"id": "e0"})

    cli.fill(fill)
    return cli


def beat(cli: Cli, name: str, consumer: str, seconds_ago: float = 0) -> None:
    """Let a worker of a subscription give a sign of life."""
    moment = (time.time() - seconds_ago) * 1000
    cli.fill(lambda store: store.client.zadd(store.keys.consumers(name), {consumer: moment}))


def names(cli: Cli) -> list[str]:
    """Return the subscriptions there are."""
    return [row["name"] for row in cli.json("subscriptions", "list")]


def test_list_json(filled: Cli) -> None:
    """The list has a row for each subscription: its sums, its live workers, and how far it is with each stream."""
    filled.fill(lambda store: put_dead(store, "gone"))
    beat(filled, "sync", "w1")
    beat(filled, "sync", "dead", seconds_ago=3600)
    audit, sync = filled.json("subscriptions", "list")
    assert sync == {
        "name": "sync",
        "lag": 3,
        "pending": 0,
        "scheduled": 0,
        "dead": 1,
        "consumers": ["w1"],
        "paused": None,
        "streams": [
            {"stream": CUSTOMERS, "lag": 3, "pending": 0, "scheduled": 0, "dead": 1},
            {"stream": SUPPLIERS, "lag": 0, "pending": 0, "scheduled": 0, "dead": 0},
        ],
    }
    assert (audit["name"], audit["lag"], audit["consumers"], len(audit["streams"])) == ("audit", 4, [], 1)


def test_list_table(filled: Cli) -> None:
    """The table has a line for each subscription."""
    beat(filled, "audit", "w1")
    assert [line.split() for line in filled.ok("subscriptions", "list").splitlines()] == [
        ["SUBSCRIPTION", "STREAMS", "LAG", "IN", "HAND", "SCHEDULED", "DEAD", "WORKERS"],
        ["audit", "1", "4", "0", "0", "0", "1"],
        ["sync", "2", "3", "0", "0", "0", "0"],
    ]


def test_list_of_none(cli: Cli) -> None:
    """Where no worker ever ran, that is said."""
    assert cli.json("subscriptions", "list") == []
    assert "no worker has run yet" in cli.run("subscriptions", "list").stderr


def test_remove(filled: Cli) -> None:
    """A removed subscription is gone, the others and the events are there; the audit says who did it and what went."""
    result = filled.run("subscriptions", "remove", "audit", "--yes", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"subscription": "audit", "streams": 1, "dead_letters": 0, "failed": []}
    logged = json.loads(result.stderr.splitlines()[-1])
    assert (logged["event"], logged["verb"], logged["subject"]) == ("audited", "subscriptions remove", "audit")
    (line,) = filled.json("audit")
    assert line["selector"] == {"waiting": 3, "inbox": 1, "scheduled": 0, "dead": 0}
    assert (line["matched"], line["changed"], line["failed"], line["finished"]) == (1, 1, 0, True)
    assert line["actor"]
    assert names(filled) == ["sync"]
    assert len(filled.json("events", "list")) == 3
    assert "removed sync from 2 streams" in filled.ok("subscriptions", "remove", "sync", "-y")
    assert names(filled) == []


def test_remove_by_a_user_without_a_name(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user that has a number alone, as in a container, removes a subscription and is in the audit by that number."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 10001)
    assert "removed audit from 1 stream" in filled.ok("subscriptions", "remove", "audit", "--yes", "--reason", "gone")
    (line,) = filled.json("audit")
    assert (line["actor"].partition("@")[0], line["reason"]) == ("uid-10001", "gone")


def test_remove_shows_what_goes(filled: Cli) -> None:
    """Without a yes and without a terminal what would go is shown, and nothing happens."""
    said = filled.fails(2, "subscriptions", "remove", "audit")
    assert [" ".join(line.split()) for line in said.splitlines()] == [
        "event-router: remove audit from 1 stream, with this:",
        "EVENT WAITING INBOX SCHEDULED DEAD",
        f"{CUSTOMERS} 3 1 0 0",
        "event-router: add --yes to remove it",
    ]
    assert names(filled) == ["audit", "sync"]


def test_remove_with_nothing_to_do(cli: Cli) -> None:
    """That a subscription has nothing left to do is said in words."""
    cli.fill(lambda store: put_group(store, "done"))
    assert "with nothing left to do" in cli.fails(2, "subscriptions", "remove", "done")


def test_remove_at_a_terminal(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal somebody is asked; a no changes nothing."""
    monkeypatch.setattr("router.cli.change._is_asked", lambda: True)
    assert "aborted" in filled.fails(1, "subscriptions", "remove", "audit", stdin="n\n")
    assert names(filled) == ["audit", "sync"]
    filled.ok("subscriptions", "remove", "audit", stdin="y\n")
    assert names(filled) == ["sync"]


def test_remove_one_that_is_at_work(filled: Cli) -> None:
    """While a worker lives it is refused and the worker named; one whose lease has run out is no hindrance."""
    beat(filled, "sync", "host-1")
    beat(filled, "sync", "host-2", seconds_ago=5)
    said = filled.fails(1, "subscriptions", "remove", "sync", "--yes")
    assert "sync has 2 workers" in said
    assert "stop host-2, host-1; one that was killed counts as alive for 15 s, at the latest until " in said
    (until,) = re.findall(r"until (\S+) UTC", said)
    assert until in {f"{datetime.now(UTC) + timedelta(seconds=15 - ago):%H:%M:%S}" for ago in range(15)}
    assert said.count("\n") == 1
    assert names(filled) == ["audit", "sync"]
    for consumer in ("host-1", "host-2"):
        beat(filled, "sync", consumer, seconds_ago=16)
    filled.ok("subscriptions", "remove", "sync", "--yes")


def test_remove_asks_again_who_lives(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that starts while somebody thinks about the question keeps its subscription."""

    def ask() -> bool:
        started.append("host-1")
        return True

    started: list[str] = []

    async def live(_store: Store, wanted: Any, _lease: float) -> dict[str, list[str]]:
        return dict.fromkeys(wanted, started)

    with monkeypatch.context() as patch:
        patch.setattr("router.cli.change._is_asked", ask)
        patch.setattr("workers.operations.removal.live_consumers", live)
        assert "stop host-1" in filled.fails(1, "subscriptions", "remove", "audit", stdin="y\n")
    assert names(filled) == ["audit", "sync"]


def test_remove_with_dead_letters(filled: Cli) -> None:
    """Dead letters are somebody's to look at: they go only if that is said, and then their number is told."""
    filled.fill(lambda store: put_dead(store, "gone", stream=SUPPLIERS))
    said = filled.fails(2, "subscriptions", "remove", "sync", "--yes")
    assert "sync has 1 dead letter: look at `event-router dlq list --subscription sync`" in said
    assert "--dead-letters" in said
    assert len(filled.json("dlq", "list")) == 1
    told = filled.ok("subscriptions", "remove", "sync", "--yes", "--dead-letters")
    assert told == "removed sync from 2 streams and 1 dead letter\n"
    assert filled.json("dlq", "list") == []


def test_remove_one_that_is_not_there(filled: Cli) -> None:
    """A name that no subscription has is exit code 3, and those that there are get named."""
    assert "there are audit, sync" in filled.fails(3, "subscriptions", "remove", "nobody", "--yes")


def test_remove_again(filled: Cli) -> None:
    """What was removed is not there any more: exit code 3, which says that it may have been removed before."""
    filled.ok("subscriptions", "remove", "sync", "--yes")
    assert "nothing to remove, or removed already" in filled.fails(3, "subscriptions", "remove", "sync", "--yes")
    assert names(filled) == ["audit"]


def test_remove_partly_refused(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server refuses for one stream is told with its words, and the exit code is 1."""
    original = Store.run

    async def partly(self: Store, calls: Any) -> list[Any]:
        replies = await original(self, calls)
        events = self.keys.events(SUPPLIERS)
        return [_REFUSED if call.keys[0] == events else reply for call, reply in zip(calls, replies, strict=True)]

    monkeypatch.setattr(Store, "run", partly)
    result = filled.run("subscriptions", "remove", "sync", "--yes", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == [SUPPLIERS]
    assert json.loads(result.stdout)["streams"] == 1
    assert f"sync is left on {SUPPLIERS}: NOPERM" in result.stderr


def test_remove_finds_dead_letters_meanwhile(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that has got dead letters since they were counted keeps its subscription, and that is told."""
    original = Store.run

    async def meanwhile(self: Store, calls: Any) -> list[Any]:
        await put_dead(self, "late", stream=SUPPLIERS)
        return await original(self, calls)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "run", meanwhile)
        said = filled.fails(1, "subscriptions", "remove", "sync", "--yes")
    assert f"sync is left on {SUPPLIERS}, where it has dead letters: add --dead-letters" in said
    assert [row["stream"] for row in filled.json("subscriptions", "list")[-1]["streams"]] == [SUPPLIERS]


def test_remove_loses_the_store(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store is lost on the way, exit code 4 and what to do."""
    original = Store.run

    async def lost(self: Store, calls: Any) -> list[Any]:
        if any(call.script.name == "remove" for call in calls):
            return [RedisConnectionError("reset")] * len(calls)
        return await original(self, calls)

    monkeypatch.setattr(Store, "run", lost)
    said = filled.fails(4, "subscriptions", "remove", "audit", "--yes")
    assert "repeating is safe" in said
    assert "ConnectionError: reset" in said


# Streams that are no longer configured

FORMER = "acme-orders/order_created"


def leave(cli: Cli, seconds_ago: float = 3600) -> None:
    """Put an event for `sync` into a stream that a worker had in its catalogue so long ago."""

    async def fill(store: Store) -> None:
        await put_events(store, "o1", stream=FORMER)
        await put_group(store, "sync", FORMER)
        await store.client.zadd(store.keys.streams(), {FORMER: (time.time() - seconds_ago) * 1000})

    cli.fill(fill)


def streams_of(cli: Cli, name: str = "sync") -> list[str]:
    """Return the streams that a subscription is on."""
    return [
        stream["stream"]
        for row in cli.json("subscriptions", "list")
        if row["name"] == name
        for stream in row["streams"]
    ]


def test_remove_from_former_streams(filled: Cli) -> None:
    """Where nothing is configured any more a subscription can be removed while its workers run for the rest of it."""
    leave(filled)
    beat(filled, "sync", "host-1")
    assert streams_of(filled) == [CUSTOMERS, SUPPLIERS, FORMER]
    assert filled.ok("subscriptions", "remove", "sync", "--former", "--yes") == "removed sync from 1 stream\n"
    assert streams_of(filled) == [CUSTOMERS, SUPPLIERS]
    assert filled.json("subscriptions", "list")[-1]["consumers"] == ["host-1"]
    said = filled.fails(3, "subscriptions", "remove", "sync", "--former", "--yes")
    assert "sync is on no stream that is no longer configured" in said
    assert "there are audit, sync" in filled.fails(3, "subscriptions", "remove", "nobody", "--former", "--yes")


def test_remove_from_streams_that_its_globs_leave_out(filled: Cli) -> None:
    """What is left on some streams can be given up alone, by glob or name, once no worker lives; the rest stays."""
    beat(filled, "sync", "host-1")
    assert "host-1" in filled.fails(1, "subscriptions", "remove", "sync", "--events", SUPPLIERS, "--yes")
    beat(filled, "sync", "host-1", seconds_ago=3600)
    line = ("subscriptions", "remove", "sync", "--events", "*/supplier_*", "--yes")
    assert filled.ok(*line) == "removed sync from 1 stream\n"
    assert streams_of(filled) == [CUSTOMERS]
    assert filled.json("audit")[-1]["selector"]["events"] == ["*/supplier_*"]
    assert "sync is on none of these streams" in filled.fails(3, *line)
    assert "nowhere" in filled.fails(2, "subscriptions", "remove", "sync", "--events", "nowhere", "--yes")
    assert "--former" in filled.fails(2, *line, "--former")


def test_remove_from_streams_that_a_worker_knows(filled: Cli) -> None:
    """A command that runs with another catalogue than the workers takes nothing away from them."""
    leave(filled, seconds_ago=500)
    said = filled.fails(1, "subscriptions", "remove", "sync", "--former", "--yes")
    assert f"a worker still had {FORMER} in its catalogue" in said
    until = datetime.now(UTC) + timedelta(seconds=100)
    assert any(f"after {until - timedelta(seconds=late):%H:%M:%S} UTC" in said for late in range(10))
    assert FORMER in streams_of(filled)


def test_remove_takes_former_streams_along(filled: Cli) -> None:
    """A subscription that nobody runs any more is removed from all its streams, former ones too."""
    leave(filled)
    assert "removed sync from 3 streams" in filled.ok("subscriptions", "remove", "sync", "--yes")
    assert streams_of(filled) == []


@pytest.mark.parametrize("command", [("list",), ("remove", "x")])
def test_unreachable(cli: Cli, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    """A store that cannot be reached is exit code 4 and one line."""
    monkeypatch.undo()
    monkeypatch.setenv("ROUTER_REDIS__URL", "redis://127.0.0.1:1/0")
    assert cli.fails(4, "subscriptions", *command).count("\n") == 1


def test_a_filter_is_shown(filled: Cli) -> None:
    """A subscription with a filter shows what it skipped; without any there is no such column."""
    assert "SKIPPED" not in filled.ok("subscriptions", "list")
    fields = {"where": '{"company_id": [51]}', f"skipped:{CUSTOMERS}": 7, f"skipped:{SUPPLIERS}": 1}
    filled.fill(lambda store: store.client.hset(store.keys.filter("sync"), mapping=fields))
    assert re.search(r"SKIPPED\n", filled.ok("subscriptions", "list"))
    assert re.search(r"sync .* 8\n", filled.ok("subscriptions", "list"))
    audit, sync = filled.json("subscriptions", "list")
    assert (sync["skipped"], sync["where"]) == (8, {"company_id": [51]})
    assert "where" not in audit
    (stream,) = (row for row in filled.json("streams") if row["stream"] == CUSTOMERS)
    assert {way["name"]: way.get("skipped") for way in stream["subscriptions"]} == {"audit": None, "sync": 7}
