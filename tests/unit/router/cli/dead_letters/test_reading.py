"""The commands on dead letters."""

import json
import time
from typing import Any

import pytest
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, history, put_dead, put_group, raw_of
from support.keyed import KeyedBench

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.change import Tally
from workers.operations.dead_letters.letters import DeadLetters
from workers.operations.keys.line_keys import KeySelector
from workers.operations.operations import Operations
from workers.state.filters import note_filter
from workers.where import Where

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
NO_CUSTOMER = "ea196ddb"
"""The fingerprint of `ValueError: no customer #`, which people have written down: it never changes."""


@pytest.fixture
def dlq(cli: Cli) -> Cli:
    """Return a command line with three dead letters of `sync`, `e1` to `e3`, and one of `audit`."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
        await put_group(store, "audit", CUSTOMERS)
        await put_dead(store, "e1", entry_id="1750000000000-0", resource="customer/1")
        await put_dead(store, "e2", entry_id="1750000001000-0", resource="customer/2")
        await put_dead(store, "e3", entry_id="1750000002000-0", stream=SUPPLIERS, resource="supplier/3")
        fields = {"attempts": 1, "history": history("gone", error="KeyError")}
        await put_dead(store, "e4", entry_id="1750000003000-0", subscription="audit", fields=fields)

    cli.fill(fill)
    return cli


def _left(cli: Cli) -> list[str]:
    return [row["id"] for row in cli.json("dlq", "list")]


def test_list_json(dlq: Cli) -> None:
    """The list is one JSON array, newest first, whose rows tell what a script needs."""
    rows = dlq.json("dlq", "list")
    assert [row["id"] for row in rows] == ["e4", "e3", "e2", "e1"]
    assert rows[2] == {
        "entry_id": "1750000001000-0",
        "id": "e2",
        "stream": CUSTOMERS,
        "publisher": FINANCIAL,
        "type": "customer_changed",
        "resource": "customer/2",
        "subscription": "sync",
        "attempts": 3,
        "error": "ValueError",
        "message": "no customer 3",
        "reason": "failed 3 of 3 attempts",
        "fingerprint": NO_CUSTOMER,
        "died_at": "2025-06-15T15:06:41.000Z",
        "first_failed_at": "2025-01-01T00:00:01.000Z",
        "last_failed_at": "2025-01-01T00:00:03.000Z",
    }


def test_list_table(dlq: Cli) -> None:
    """Without a terminal the table is plain and complete, however narrow a terminal would be."""
    lines = dlq.ok("dlq", "list").splitlines()
    assert lines[0].split() == ["ID", "AGE", "EVENT", "RESOURCE", "SUBSCRIPTION", "ATTEMPTS", "FINGERPRINT", "ERROR"]
    assert "customer/2" in lines[3]
    assert lines[3].endswith("ValueError: no customer 3")
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--event", "supplier_*"), ["e3"]),
        (("--events", f"{FINANCIAL}/customer_*"), ["e4", "e2", "e1"]),
        ((f"{FINANCIAL}/supplier_changed",), ["e3"]),
        (("e1", "E2"), ["e2", "e1"]),
        (("customer_changed",), ["e4", "e2", "e1"]),
        (("CustomerChanged", "e1"), ["e1"]),
        (("Visma-Net-Financial/Supplier_Changed",), ["e3"]),
        (("supplier_changed", "customer_*"), ["e4", "e3", "e2", "e1"]),
        (("--event", "SupplierChanged"), ["e3"]),
        (("--event", "customerinvoice_changed"), []),
        (("unlisted",), []),
        (("customer",), []),
        (("--subscription", "audit"), ["e4"]),
        (("--error", "keyerror"), ["e4"]),
        (("--text", "no customer"), ["e3", "e2", "e1"]),
        (("--resource", "customer/2"), ["e2"]),
        (("--attempts", "2"), ["e3", "e2", "e1"]),
        (("--fingerprint", NO_CUSTOMER), ["e3", "e2", "e1"]),
        (("--fingerprint", NO_CUSTOMER.upper(), "--event", "customer_*"), ["e2", "e1"]),
        (("--fingerprint", "00000000"), []),
        (("--since", "2025-06-15T15:06:42Z"), ["e4", "e3"]),
        (("--until", "2025-06-15T15:06:41"), ["e2", "e1"]),
        (("--since", "1h"), []),
        (("--limit", "1"), ["e4"]),
        (("--subscription", "nobody"), []),
    ],
)
def test_selection(dlq: Cli, options: tuple[str, ...], ids: list[str]) -> None:
    """Every option narrows the list; an empty one is no failure."""
    assert [row["id"] for row in dlq.json("dlq", "list", *options)] == ids


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "--since", "soon"), "'soon' is no time"),
        (("list", "--fingerprint", "bad"), "'bad' is no fingerprint"),
        (("list", "--event", "custmer_*"), "did you mean"),
        (("list", "--event", "customer_*", "supplier_*"), "not both"),
        (("list", "custmer_*"), "did you mean"),
        (("list", "--limit", "0"), "greater than or equal to 1"),
        (("list", "--frobnicate"), "No such option"),
        (("show",), "Missing argument"),
        (("frobnicate",), "No such command"),
    ],
)
def test_usage(dlq: Cli, arguments: tuple[str, ...], message: str) -> None:
    """A wrong command line ends with 2 and one line that says what is wrong."""
    said = dlq.fails(2, "dlq", *arguments)
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", ["list", "stats"])
def test_no_such_subscription(dlq: Cli, command: str) -> None:
    """A subscription that nobody has is no failure, but said, with those there are; one that has nothing is not."""
    result = dlq.run("dlq", command, "--subscription", "snyc")
    assert result.exit_code == 0
    assert result.stderr == "event-router: no subscription 'snyc' exists; there are audit, sync\n"
    assert dlq.run("dlq", command, "--subscription", "audit", "--event", "supplier_*").stderr == ""


def test_no_subscription_at_all(cli: Cli) -> None:
    """Where no worker ever ran, that is what is said."""
    assert "no worker has run yet" in cli.run("dlq", "list", "--subscription", "sync").stderr


def test_list_says_there_is_more(dlq: Cli) -> None:
    """A table that is cut says so, on stderr."""
    result = dlq.run("dlq", "list", "--limit", "2")
    assert len(result.stdout.splitlines()) == 3
    assert "more than these 2" in result.stderr
    assert "more than this one" in dlq.run("dlq", "list", "--limit", "1").stderr


def test_stats(dlq: Cli) -> None:
    """Dead letters are counted by what went wrong."""
    groups = dlq.json("dlq", "stats")
    assert [(group["count"], group["error"], group["message"]) for group in groups] == [
        (2, "ValueError", "no customer #"),
        (1, "KeyError", "gone"),
        (1, "ValueError", "no customer #"),
    ]
    assert groups[0] == {
        "fingerprint": NO_CUSTOMER,
        "subscription": "sync",
        "stream": CUSTOMERS,
        "error": "ValueError",
        "message": "no customer #",
        "count": 2,
        "first_seen": "2025-06-15T15:06:40.000Z",
        "last_seen": "2025-06-15T15:06:41.000Z",
        "sample": "e2",
    }
    assert "no customer #" in dlq.ok("dlq", "stats", "--subscription", "sync")


def test_one_is_told_as_one(dlq: Cli) -> None:
    """A single dead letter is told in the singular."""
    assert "replay 1 dead letter:" in dlq.run("dlq", "replay", "e1", "--dry-run").stderr
    assert "1 dead letter is more than 0" in dlq.run("dlq", "stats", "e1", "--fail-over", "0").stderr
    assert "no dead letter matches" in dlq.fails(3, "dlq", "replay", "nothing")


@pytest.mark.parametrize(("threshold", "code"), [("3", 5), ("4", 0)])
def test_fail_over(dlq: Cli, threshold: str, code: int) -> None:
    """`--fail-over N` ends with 5 when there are more than N, for cron."""
    assert dlq.run("dlq", "stats", "--fail-over", threshold).exit_code == code


def test_show(dlq: Cli) -> None:
    """One dead letter is shown whole: the event, its bytes and every attempt."""
    shown = dlq.json("dlq", "show", "E2")
    assert shown["event"]["id"] == shown["id"] == "e2"
    assert shown["event"]["resource"] == "customer/2"
    assert shown["raw"] == raw_of("e2", CUSTOMERS, "customer/2").decode()
    assert shown["history"][0] == {
        "at": "2025-01-01T00:00:01.000Z",
        "attempt": 1,
        "error": "ValueError",
        "message": "no customer 1",
        "traceback": "",
    }
    assert len(shown["history"]) == 3
    assert dlq.json("dlq", "show", "1750000001000-0") == shown
    text = dlq.ok("dlq", "show", "e2")
    assert "attempt 3" in text
    assert "no customer 2" in text


def test_show_masks_the_body(dlq: Cli) -> None:
    """People see the structure of a body, and its values only where they ask for them, which the audit says."""

    async def fill(store: Store) -> None:
        raw = raw_of("e9").replace(b"}", b', "customerName": "Ms Smith"}')
        await put_dead(store, "e9", fields={"raw": raw})

    dlq.fill(fill)
    shown = dlq.ok("dlq", "show", "e9")
    assert "customerName" in shown
    assert "Smith" not in shown
    assert "customer_changed" in shown
    assert "Smith" not in dlq.ok("dlq", "show", "e9", "--json")
    assert dlq.json("audit") == []
    assert dlq.ok("dlq", "show", "e9", "--reveal").count("Smith") == 2
    (line,) = dlq.json("audit")
    assert (line["verb"], line["subject"]) == ("reveal", f"dead letter e9 of sync on {CUSTOMERS}")


def test_show_of_several(dlq: Cli) -> None:
    """Of several dead letters of one event the newest is shown, and the others are hinted at."""

    async def fill(store: Store) -> None:
        await put_dead(store, "e1", subscription="audit", entry_id="1750000009000-0", fields={"crashes": "1"})

    dlq.fill(fill)
    result = dlq.run("dlq", "show", "e1", "--json")
    assert json.loads(result.stdout)["subscription"] == "audit"
    assert "--subscription" in result.stderr
    assert dlq.json("dlq", "show", "e1", "--subscription", "sync")["subscription"] == "sync"


def test_show_by_a_shortened_id(dlq: Cli) -> None:
    """An id that is copied from a narrow table is understood."""

    async def fill(store: Store) -> None:
        await put_dead(store, "bc0fa46d-44da-45c4-8c18-a26cb6eca33c")

    dlq.fill(fill)
    assert dlq.json("dlq", "show", "BC0FA…ca33c")["id"] == "bc0fa46d-44da-45c4-8c18-a26cb6eca33c"
    assert "no dead letter has the id bc0fa…ca33d" in dlq.fails(3, "dlq", "show", "bc0fa…ca33d")


def test_show_unreadable(dlq: Cli) -> None:
    """A dead letter that is no event is shown as it is."""

    async def fill(store: Store) -> None:
        fields = {"raw": b"\xff\n", "history": history("lost").replace(b'"attempt": 1', b'"attempt": 0')}
        await put_dead(store, "bad", fields=fields)

    dlq.fill(fill)
    shown = dlq.json("dlq", "show", "bad", "--reveal")
    assert (shown["event"], shown["raw"], shown["resource"]) == (None, "\\xff\n", None)
    assert "lost worker" in dlq.ok("dlq", "show", "bad")


@pytest.mark.parametrize(
    "arguments", [("show", "nothing"), ("replay", "nothing"), ("purge", "nothing"), ("replay", "--resource", "x/*")]
)
def test_nothing_matched(dlq: Cli, arguments: tuple[str, ...]) -> None:
    """Where nothing is found to show or change, the exit code is 3."""
    assert "event-router dlq list" in dlq.fails(3, "dlq", *arguments)


def test_replay_one(dlq: Cli) -> None:
    """A single match goes at once; the log says who, why, which and how many."""
    result = dlq.run("dlq", "replay", "e1", "--reason", "fixed", "--json")
    assert json.loads(result.stdout) == {"matched": 1, "replayed": 1, "failed": 0}
    line = json.loads(result.stderr.splitlines()[-1])
    assert (line["event"], line["verb"]) == ("audited", "dlq replay")
    assert (line["reason"], line["selector"], line["changed"]) == ("fixed", {"ids": ["e1"]}, 1)
    assert "@" in line["actor"]
    assert _left(dlq) == ["e4", "e3", "e2"]

    async def inbox(store: Store) -> Any:
        return await store.client.xrange(store.keys.inbox(CUSTOMERS, "sync"))

    ((_, fields),) = dlq.fill(inbox)
    assert fields[b"id"] == b"e1"
    assert b'"replayed": "fixed"' in fields[b"history"]


def test_replay_several_needs_a_yes(dlq: Cli) -> None:
    """More than one match is counted and shown, and without --yes and a terminal nothing happens."""
    said = dlq.fails(2, "dlq", "replay", "--subscription", "sync")
    assert "replay 3 dead letters" in said
    assert "add --yes" in said
    assert "customer/2" in said
    assert len(_left(dlq)) == 4
    assert dlq.json("dlq", "replay", "--subscription", "sync", "--yes") == {"matched": 3, "replayed": 3, "failed": 0}
    assert _left(dlq) == ["e4"]


def test_replay_through_a_filter(dlq: Cli) -> None:
    """A replay is judged by the filter again: how many that skips is said before, or that it may where none is read."""
    dlq.fill(lambda store: note_filter(store, "sync", Where({"resource": "*/2"}), [CUSTOMERS]))
    where = 'where {"resource": "*/2"}'
    given = ("dlq", "replay", "--subscription", "sync")
    assert f"the filter of sync judges them again, and may skip some: {where}" in dlq.run(*given, "--dry-run").stderr
    assert dlq.json(*given, "--dry-run")["filtered"] == {"sync": None}
    narrowed = (*given, "--resource", "customer/*")
    assert f"the filter of sync skips 1 of these 2: {where}" in dlq.run(*narrowed, "--dry-run").stderr
    assert dlq.json(*narrowed, "--yes")["filtered"] == {"sync": 1}
    assert "filter" not in dlq.run("dlq", "replay", "--subscription", "audit", "--dry-run").stderr
    assert "filter" not in dlq.run("dlq", "purge", "--subscription", "sync", "--dry-run").stderr


def test_replay_of_everything(dlq: Cli) -> None:
    """No selector means all dead letters, which is said, and needs a yes even if it is one."""
    assert "all 4 dead letters, since nothing selects" in dlq.fails(2, "dlq", "replay")
    assert "replayed 4 of 4" in dlq.ok("dlq", "replay", "-y")

    async def one(store: Store) -> None:
        await put_dead(store, "last")

    dlq.fill(one)
    said = dlq.fails(2, "dlq", "replay")
    assert "replay the only dead letter, since nothing selects:" in said
    assert "add --yes to replay it\n" in said


def test_replay_without_a_worker(dlq: Cli) -> None:
    """Whether somebody works for a subscription is told before its events are given back to it."""
    words = "no worker runs for {} now: what is replayed waits until one does"
    assert words.format("audit, sync") in dlq.fails(2, "dlq", "replay")

    async def work(store: Store) -> None:
        now, keys = time.time() * 1000, store.keys
        await store.client.zadd(keys.consumers("audit"), {"old": 5, "dead": now - 60_000})
        await store.client.zadd(keys.consumers("sync"), {"old": 5, "alive": now - 1000})

    dlq.fill(work)
    assert words.format("audit") + "\n" in dlq.fails(2, "dlq", "replay")
    assert "no worker" not in dlq.run("dlq", "replay", "e1").stderr
    assert "no worker" not in dlq.run("dlq", "purge", "e4").stderr


def test_replay_ids_of_stdin(dlq: Cli) -> None:
    """`-` reads ids from stdin; none there is a mistake and not everything."""
    assert dlq.json("dlq", "replay", "-", "--yes", stdin="e1\n E3\n")["replayed"] == 2
    assert "no ids on stdin" in dlq.fails(2, "dlq", "replay", "-", "--yes", stdin=" \n")
    assert _left(dlq) == ["e4", "e2"]


def test_dry_run(dlq: Cli) -> None:
    """A dry run says what is meant and changes nothing."""
    result = dlq.run("dlq", "replay", "--subscription", "sync", "--dry-run", "--json")
    assert json.loads(result.stdout) == {"matched": 3, "replayed": 0, "failed": 0}
    assert "replay 3 dead letters" in result.stderr
    assert dlq.ok("dlq", "purge", "e1", "--dry-run") == ""
    assert len(_left(dlq)) == 4


def test_max_and_rate(dlq: Cli) -> None:
    """`--max` takes the oldest of a stream first; `--rate` goes in small steps."""
    options = ("--subscription", "sync", "--max", "2", "--rate", "1000", "--yes")
    assert dlq.json("dlq", "replay", *options) == {"matched": 2, "replayed": 2, "failed": 0}
    assert _left(dlq) == ["e4", "e3"]


def test_many(dlq: Cli) -> None:
    """More than a batch is replayed in batches."""

    async def fill(store: Store) -> None:
        for number in range(230):
            await put_dead(store, f"n{number}")

    dlq.fill(fill)
    assert dlq.json("dlq", "replay", "--yes") == {"matched": 234, "replayed": 234, "failed": 0}


def test_purge(dlq: Cli) -> None:
    """Purging needs something that selects, and a yes for more than one."""
    assert "never removes everything" in dlq.fails(2, "dlq", "purge", "--yes")
    assert "never removes everything" in dlq.fails(2, "dlq", "purge", "--text", "", "--yes")
    assert "add --yes to purge these 3" in dlq.fails(2, "dlq", "purge", "--subscription", "sync")
    assert dlq.json("dlq", "purge", "e1") == {"matched": 1, "purged": 1, "failed": 0}
    assert dlq.json("dlq", "purge", "customer_*", "--yes") == {"matched": 2, "purged": 2, "failed": 0}
    assert _left(dlq) == ["e3"]


def test_terminal_is_asked(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal somebody is asked; a no changes nothing."""
    monkeypatch.setattr("router.cli.change._is_asked", lambda: True)
    assert "aborted" in dlq.fails(1, "dlq", "replay", stdin="n\n")
    assert len(_left(dlq)) == 4
    assert "replayed 4 of 4" in dlq.ok("dlq", "replay", stdin="y\n")


def test_refused(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server refuses to move is counted, and the exit code is 1."""

    async def block(store: Store) -> None:
        await store.client.set(store.keys.inbox(CUSTOMERS, "audit"), "no stream")

    dlq.fill(block)
    assert dlq.json("dlq", "replay", "--yes", code=1) == {"matched": 4, "replayed": 3, "failed": 1}


def test_gone_meanwhile(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody else has replayed meanwhile is no failure."""

    async def nothing(self: DeadLetters, letters: Any, reason: str = "") -> Tally:
        return Tally(0, 0)

    monkeypatch.setattr(DeadLetters, "replay", nothing)
    assert "replayed 0 of 1, 1 was gone already" in dlq.ok("dlq", "replay", "e1")


def test_store_lost_meanwhile(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store is lost on the way, the command says how far it came and ends with 4."""

    async def lost(self: DeadLetters, letters: Any, reason: str = "") -> Tally:
        raise ConnectionError("reset")

    monkeypatch.setattr(DeadLetters, "replay", lost)
    said = dlq.fails(4, "dlq", "replay", "--yes")
    assert "the store was lost when 0 of 4 were replayed" in said
    assert "ConnectionError: reset" in said


@pytest.mark.parametrize("command", [("list",), ("stats",), ("show", "x"), ("replay", "x"), ("purge", "x")])
def test_unreachable(cli: Cli, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    """A store that cannot be reached is exit code 4 and one line, without the password."""
    monkeypatch.undo()
    monkeypatch.setenv("ROUTER_REDIS__URL", "redis://user:hidden@127.0.0.1:1/0")
    said = cli.fails(4, "dlq", *command)
    assert "hidden" not in said
    assert said.startswith("event-router: the store (redis://user:***@127.0.0.1:1/0) cannot be used: ConnectionError")
    assert said.endswith("Connection refused; check redis.url\n")
    assert said.count("\n") == 1


def _skipped(cli: Cli, *, held: bool = True) -> None:
    """Have a keyed subscription give up three events of a customer at once, and hold the key of that."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        bench = KeyedBench(store)
        await bench.bring("a1", "a2", "a3", customer="it's", merged=True)
        operations = Operations(store, Catalogue.load(), Settings())
        await operations.skip_keys("sync", KeySelector(key="/7/customer/it's")).run(actor="ann")
        if held:
            await bench.bring("a4", customer="it's")
            await bench.hold("it's")

    cli.fill(fill)


def test_what_a_dead_letter_stands_for(cli: Cli) -> None:
    """A dead letter of merged events names them all, in a list too, and says that its key is held by it."""
    _skipped(cli)
    (row,) = cli.json("dlq", "list")
    assert (row["id"], row["key"]) == ("a3", "/7/customer/it's")
    assert [(each["id"], each["type"]) for each in row["merged"]] == [
        ("a1", "customer_changed"),
        ("a2", "customer_changed"),
    ]
    assert row["merged"][0]["at"] == "2025-10-09T08:53:20.000Z"
    assert "(stands for 2 earlier events too)" in cli.ok("dlq", "list")
    said = cli.ok("dlq", "show", "a3")
    assert "\n    a1  customer_changed  2025-10-09T08:53:20.000Z\n    a2  customer_changed  2025" in said
    assert "/7/customer/it's, held since 20" in said
    assert """`event-router keys release sync '/7/customer/it'"'"'s'` lets it go on""" in said
    assert cli.json("dlq", "show", "a3")["key_held_since"].startswith("20")


def test_an_event_is_found_by_the_dead_letter_that_stands_for_it(cli: Cli) -> None:
    """Who asks for an event that was merged away hears of which dead letter it is part."""
    _skipped(cli, held=False)
    said = cli.fails(3, "dlq", "show", "A1")
    assert "A1 was merged into a3, whose dead letter of sync stands for both" in said
    assert "held" not in cli.ok("dlq", "show", "a3")
    assert cli.json("dlq", "show", "a3")["key_held_since"] is None
    assert "no dead letter has the id a9" in cli.fails(3, "dlq", "show", "a9")
