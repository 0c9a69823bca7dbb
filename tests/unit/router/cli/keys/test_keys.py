"""`keys list|show|release|skip`."""

import pytest
from support.cli import Cli
from support.filling import put_group
from support.keyed import KeyedBench

from router.store.client import Store
from workers.operations import audit

HELD, READY = "/7/customer/held", "/8/customer/ready"


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return a command line on a store with a subscription that has a held key with two events, and a ready one."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        await put_group(store, "plain")
        bench = KeyedBench(store)
        await bench.bring("h0", "h1", "h2", customer="held")
        await bench.hold("held")
        await bench.bring("r1", "r2", customer="ready", company="8", merged=True)

    cli.fill(fill)
    return cli


def test_list(filled: Cli) -> None:
    """The list has a line for each key: its state, how many events wait, since when, and which is the first."""
    header, held, ready = filled.ok("keys", "list", "sync").splitlines()
    assert header.split() == ["KEY", "STATE", "EVENTS", "OLDEST", "COMPANY", "FIRST", "EVENT", "WHAT", "IS", "KNOWN"]
    assert held.split()[:3] == [HELD, "held", "2"]
    assert "  h1  " in held
    assert "  since 20" in held
    assert ready.split()[:3] == [READY, "ready", "2"]
    assert filled.ok("keys", "list", "sync", "--held").split()[10:] == held.split()
    assert filled.ok("keys", "list", "sync", "--company", "8").splitlines()[1].split()[0] == READY
    assert filled.ok("keys", "list", "sync", "--resource", "customer/r*").splitlines()[1].split()[0] == READY


def test_list_as_json(filled: Cli) -> None:
    """For programs: one array, an object for each key."""
    held, ready = filled.json("keys", "list", "sync")
    assert held.keys() == ready.keys()
    assert (held["key"], held["state"], held["events"], held["first_id"]) == (HELD, "held", 2, "h1")
    assert held["since"].endswith("Z")
    assert (ready["company"], ready["resource"], ready["since"]) == ("8", "customer/ready", None)
    assert len(filled.json("keys", "list", "sync", "--limit", "1")) == 1


def test_show(filled: Cli) -> None:
    """One key with its events, each with what stands for it."""
    said = filled.ok("keys", "show", "sync", READY)
    assert "state         ready" in said
    assert "will be merged into r2" in said
    shown = filled.json("keys", "show", "sync", READY)
    assert (shown["subscription"], shown["key"], shown["events"]) == ("sync", READY, 2)
    assert [(event["id"], event["type"], event["merged_into"]) for event in shown["line"]] == [
        ("r1", "customer_changed", "r2"),
        ("r2", "customer_changed", None),
    ]
    assert "1 event more; see --limit" in filled.run("keys", "show", "sync", HELD, "--limit", "1").stderr


def test_release(filled: Cli) -> None:
    """A held key goes on, which the audit has with the reason."""
    assert filled.ok("keys", "release", "sync", HELD, "--reason", "mended") == "released 1 of 1\n"
    assert [row["state"] for row in filled.json("keys", "list", "sync")] == ["ready", "ready"]
    assert "no key that is held matches" in filled.fails(3, "keys", "release", "sync")

    async def audited(store: Store) -> list[tuple[str, str, str]]:
        return [(line.verb, line.subject, line.reason) async for line in audit.lines(store)]

    assert filled.fill(audited) == [("keys release", "sync", "mended")]


def test_releasing_everything_asks(filled: Cli) -> None:
    """Where nothing selects, what is held is shown, and a yes is needed."""
    said = filled.fails(2, "keys", "release", "sync")
    assert HELD in said
    assert "--yes" in said
    assert filled.ok("keys", "release", "sync", "--yes") == "released 1 of 1\n"


def test_skip(filled: Cli) -> None:
    """The first event is a dead letter that says so, and its key goes on."""
    assert filled.json("keys", "skip", "sync", HELD, "--reason", "closed") == {"matched": 1, "skipped": 1, "failed": 0}
    (letter,) = filled.json("dlq", "list", "--subscription", "sync")
    assert letter["id"] == "h1"
    assert letter["reason"].startswith("skipped by ")
    assert letter["reason"].endswith(": closed")
    shown = filled.json("keys", "show", "sync", HELD)
    assert (shown["state"], shown["first_id"]) == ("ready", "h2")


def test_a_dry_run_changes_nothing(filled: Cli) -> None:
    """It shows which keys are selected."""
    before = filled.json("keys", "list", "sync")
    assert READY in filled.run("keys", "skip", "sync", "--company", "8", "--dry-run").stderr
    assert filled.json("keys", "list", "sync") == before


def test_a_subscription_without_keys_says_so(filled: Cli) -> None:
    """Where there can be no keys, the list says why there are none."""
    result = filled.run("keys", "list", "plain")
    assert (result.exit_code, "plain has no keys: it is defined without key=" in result.stderr) == (0, True)
    assert "no subscription 'nobody' exists" in filled.run("keys", "list", "nobody").stderr
    assert "plain has no keys" in filled.fails(3, "keys", "show", "plain", "x")


def test_pause_a_company(filled: Cli) -> None:
    """One company of a keyed subscription is paused and resumed; another subscription has no companies to pause."""
    said = filled.ok("subscriptions", "pause", "sync", "--company", "8", "--for", "2h", "--reason", "import")
    assert said.startswith("sync handles no more events of company 8 until 20")
    paused = filled.json("subscriptions", "pause", "sync", "--company", "7")
    assert paused == {"subscription": "sync", "company": "7", "paused": {"until": None}}
    assert "PAUSED" in filled.ok("subscriptions", "list")
    assert "company 7; company 8 until 20" in filled.ok("subscriptions", "list")
    (plain, sync) = filled.json("subscriptions", "list")
    assert "paused_companies" not in plain
    assert sync["paused_companies"][0] == {"company": "7", "until": None}
    said = filled.ok("subscriptions", "resume", "sync", "--company", "8")
    assert said == "sync handles the events of company 8 again\n"
    assert "sync is not paused for company 8" in filled.fails(3, "subscriptions", "resume", "sync", "--company", "8")
    assert "without a key" in filled.fails(3, "subscriptions", "pause", "plain", "--company", "8")
    assert "no subscription" in filled.fails(3, "subscriptions", "resume", "nobody", "--company", "8")
