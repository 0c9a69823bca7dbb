"""`reconcile list|show|run`: how far sweeps are, and sweeps at once, against a fake ERP that serves beside them."""

from collections.abc import Iterator

import pytest
from support.cli import Cli
from support.erp import erp_in_a_thread, erp_variables

from workers.erp.fake import FakeErp

COMPANY = "t1/7"


@pytest.fixture
def erp(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeErp]:
    """Yield the ERP of the settings, whose customers are swept."""
    with erp_in_a_thread() as found:
        terms = {"PATH": "v1/customer", "COMPANIES": COMPANY, "WAIT": "0", "DELETES": "1d"}
        named = {f"ROUTER_RECONCILE__CUSTOMERS__{name}": value for name, value in terms.items()}
        for name, value in (erp_variables(found) | named).items():
            monkeypatch.setenv(name, value)
        yield found


def test_without_a_reconciliation(cli: Cli) -> None:
    """Where none is set, the list says so and what to set; one that is not there is not found."""
    assert "set [reconcile.NAME]" in cli.run("reconcile", "list").output
    assert cli.json("reconcile", "list") == []
    assert "there is no reconciliation 'customers'; none is set" in cli.fails(3, "reconcile", "show", "customers")
    assert "none is set" in cli.fails(3, "reconcile", "run", "customers")


def test_a_sweep(cli: Cli, erp: FakeErp) -> None:
    """A sweep says what it did, and leaves what the list and the record of it show, and a line in the audit."""
    [before] = cli.json("reconcile", "list")
    assert (before["state"], before["repaired"], before["swept_at"]) == ("new", 0, None)
    erp.books("t1").put("v1/customer/1", {"number": "1"})
    assert "1 change, 0 reported, 1 event made" in cli.ok(
        "reconcile", "run", "customers", "--reason", "after the outage"
    )
    [swept] = cli.json("reconcile", "run", "customers", "--complete")
    assert (swept["company"], swept["swept"], swept["made"], swept["repaired"]) == (COMPANY, True, 0, 1)
    [row] = cli.json("reconcile", "list")
    assert (row["name"], row["company"], row["state"], row["repaired"]) == ("customers", COMPANY, "swept", 1)
    assert row["next_at"] > row["swept_at"]
    found = cli.json("reconcile", "show", "customers")
    assert (found["path"], found["companies"]) == ("v1/customer", [row])
    assert "repaired" in cli.ok("reconcile", "show", "customers")
    assert "customers" in cli.ok("reconcile", "list")
    [event] = cli.json("events", "list")
    assert (event["origin"], event["resource"]) == ("reconcile", "customer/1")
    assert [line["reason"] for line in cli.json("audit")] == ["", "after the outage"]


def test_deletions_that_are_held(cli: Cli, erp: FakeErp) -> None:
    """Too many records that seem gone end with exit code 1 and the way to let them go, which takes a yes."""
    for number in range(10):
        erp.books("t1").put(f"v1/customer/{number}", {"number": str(number)})
    cli.ok("reconcile", "run", "customers", "--complete")
    assert "nothing is held" in cli.fails(3, "reconcile", "run", "customers", "--confirm", "--yes")
    for number in range(3):
        erp.books("t1").delete(f"v1/customer/{number}")
    assert "reconcile run customers --confirm" in cli.fails(1, "reconcile", "run", "customers", "--complete")
    [row] = cli.json("reconcile", "list")
    assert (row["state"], row["held"], row["held_of"]) == ("held", 3, 10)
    assert "add --yes" in cli.fails(2, "reconcile", "run", "customers", "--confirm")
    assert "3 events made" in cli.ok("reconcile", "run", "customers", "--confirm", "--yes")
    [row] = cli.json("reconcile", "list")
    assert (row["state"], row["held"], row["deleted"], row["repaired"]) == ("swept", 0, 3, 13)


def test_a_company_that_is_not_swept(cli: Cli, erp: FakeErp) -> None:
    """A company that is not there is said; one whose sweep fails ends with exit code 1, and the list says why."""
    assert f"there are {COMPANY}" in cli.fails(3, "reconcile", "run", "customers", "--company", "t1/9")
    erp.redirects["v1/customer"] = "https://evil.example/"
    assert "not swept" in cli.run("reconcile", "run", "customers").output
    [row] = cli.json("reconcile", "list")
    assert (row["state"], row["failures"]) == ("failing", 1)
    assert "redirect" in row["error"]


def test_a_sweep_from_further_back(cli: Cli, erp: FakeErp) -> None:
    """--since judges older changes, too: those before the reconciliation was set."""
    erp.books("t1").put("v1/customer/1", {"number": "1"})
    erp.books("t1")._clock = lambda: 1_790_000_000.0
    erp.books("t1").put("v1/customer/2", {"number": "2"})
    cli.ok("reconcile", "run", "customers")
    assert [event["resource"] for event in cli.json("events", "list")] == ["customer/1"]
    cli.ok("reconcile", "run", "customers", "--since", "2026-01-01")
    assert len(cli.json("events", "list")) == 2


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("PATH", "https://evil", "must be the path of a collection"),
        ("EVENT", "nothing_changed", "'nothing_changed' is no event of visma-net-financial"),
        ("PUBLISHER", "nobody", "no publisher 'nobody'"),
        ("COMPANIES", "a/b/c", "TENANT/COMPANY"),
        ("EVERY", "soon", "must be a number above 0"),
        ("ZONE", "Mars/Base", "must be a time zone"),
        ("QUERY", "pageSize=3", "must leave pageSize to the sweep"),
        ("REPORTED_BY", "nothing*", "reported_by fits no event"),
        ("PATH", "v1/nothing", "no event is known for v1/nothing; set event"),
    ],
)
def test_settings_that_are_wrong(
    cli: Cli, erp: FakeErp, monkeypatch: pytest.MonkeyPatch, name: str, value: str, error: str
) -> None:
    """A setting that cannot be meant is refused by name, before anything is asked."""
    monkeypatch.setenv(f"ROUTER_RECONCILE__CUSTOMERS__{name}", value)
    assert error in cli.fails(2, "reconcile", "run", "customers")


def test_an_erp_that_is_not_set(cli: Cli, erp: FakeErp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reconciliation without an ERP says which variables to set."""
    monkeypatch.delenv("ROUTER_ERP__VISMA_NET_FINANCIAL__CLIENT_SECRET")
    assert "ROUTER_ERP__VISMA_NET_FINANCIAL__CLIENT_SECRET" in cli.fails(2, "reconcile", "run", "customers")


def test_an_erp_that_is_away(cli: Cli, erp: FakeErp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep says at once what it asks, each time why it waits, and ends with exit code 1 after a few tries."""
    monkeypatch.setattr("workers.reconcile.tools._AGAIN", (0.01, 0.02))
    monkeypatch.setenv("ROUTER_ERP__VISMA_NET_FINANCIAL__BASE_URL", "http://127.0.0.1:1/")
    result = cli.run("reconcile", "run", "customers")
    assert result.exit_code == 1
    assert f"event-router: {COMPANY}: asks http://127.0.0.1:1/ for v1/customer\n" in result.stderr
    assert result.stderr.count("tries again in") == 2
    assert f"{COMPANY}  not swept: " in result.stdout
