"""`keys list|show|release|skip`."""

from typing import Any

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
    assert (paused["subscription"], paused["company"], paused["paused"]["until"]) == ("sync", "7", None)
    assert "PAUSED" in filled.ok("subscriptions", "list")
    said = " ".join(filled.ok("subscriptions", "list").split())
    assert f"company 7 is paused since {_day(paused)}" in said
    assert f"by {audit.whoami()}: import" in said
    (plain, sync) = filled.json("subscriptions", "list")
    assert "paused_companies" not in plain
    assert sync["paused_companies"][0] == {"company": "7", **paused["paused"]}
    assert sync["paused_companies"][1]["reason"] == "import"
    said = filled.fails(3, "subscriptions", "resume", "sync")
    assert "sync is not paused as a whole: company 7 is paused since" in said
    assert said.endswith("; resume one with --company\n")
    said = filled.ok("subscriptions", "resume", "sync", "--company", "8")
    assert said == "sync handles the events of company 8 again\n"
    assert "sync is not paused for company 8" in filled.fails(3, "subscriptions", "resume", "sync", "--company", "8")
    assert "without a key" in filled.fails(3, "subscriptions", "pause", "plain", "--company", "8")
    assert "no subscription" in filled.fails(3, "subscriptions", "resume", "nobody", "--company", "8")


def test_a_pause_is_shown_with_what_waits_for_it(filled: Cli) -> None:
    """Who paused a company, or all, why and until when stands wherever what waits for it is shown."""
    filled.ok("subscriptions", "pause", "sync", "--company", "8", "--reason", "import of 8")
    why = f"by {audit.whoami()}: import of 8"
    for command in (
        ("keys", "list", "sync"),
        ("keys", "show", "sync", READY),
        ("subscriptions", "list"),
    ):
        said = " ".join(filled.ok(*command).split())
        assert "company 8 is paused since 20" in said
        assert why in said
    assert why in filled.run("streams", "--all").stderr
    assert filled.json("keys", "show", "sync", READY)["company_paused"]["reason"] == "import of 8"
    (plain, sync) = filled.json("top", "--once", "--interval", "0.1")["subscriptions"]
    assert "paused_companies" not in plain
    assert sync["paused_companies"][0]["reason"] == "import of 8"
    assert "1 paused" in filled.ok("top", "--once", "--interval", "0.1")
    filled.ok("subscriptions", "pause", "sync", "--reason", "maintenance")
    assert "maintenance" in filled.run("keys", "list", "sync").stderr
    assert "maintenance" in filled.ok("keys", "show", "sync", READY)


def _day(paused: dict[str, Any]) -> str:
    return str(paused["paused"]["since"])[:10]


def test_a_skip_says_where_there_was_nothing_to_skip(cli: Cli) -> None:
    """A held key without events is only released, and the command says that no event was skipped."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        bench = KeyedBench(store)
        await bench.bring("h0", customer="held")
        await bench.hold("held")

    cli.fill(fill)
    result = cli.run("keys", "skip", "sync", "--held")
    assert (result.exit_code, result.stdout) == (0, "skipped 1 of 1\n")
    assert f"{HELD} had no event to skip: it was only released" in result.stderr
    assert cli.json("dlq", "list") == []


def test_what_is_handled_is_merged_already(cli: Cli) -> None:
    """While a worker has them, events are merged into the last; one that came since is not."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        bench = KeyedBench(store)
        await bench.bring("r1", "r2", merged=True)
        await store.call(bench.lines.claim("w1/run/1", 1, 60_000))
        await bench.bring("r3", merged=True)

    cli.fill(fill)
    said = cli.ok("keys", "show", "sync", "/7/customer/1")
    assert "merged into r2" in said
    assert "will be" not in said
