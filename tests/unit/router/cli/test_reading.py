"""The commands that show what there is: catalogue, streams, events, quarantine."""

import json
from pathlib import Path

import pytest
from support.cli import Cli, Terminal
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_events, put_group, put_quarantined

from router.cli.catalogue import catalogue as show_catalogue
from router.events.event import Event
from router.store.client import Store

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return a command line on a store with three customers and a supplier."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        await put_events(store, "c1", resource="customer/1", company=7)
        await put_events(store, "c2", resource="customer/2", company=7)
        await put_events(store, "c3", resource="customer/2", company=8)
        await put_events(store, "s1", stream=SUPPLIERS, resource="supplier/1")
        await put_dead(store, "dead")

    cli.fill(fill)
    return cli


def test_catalogue(cli: Cli) -> None:
    """The catalogue lists the 58 events, each with what an integrator needs to know."""
    rows = cli.json("catalogue")
    assert len(rows) == 58
    required = {"publisher", "type", "entity", "action", "description", "aliases", "end_of_life", "replaced_by"}
    assert all(row.keys() == required for row in rows)
    assert not any(row["type"] == "unlisted" for row in rows)
    lines = cli.ok("catalogue").splitlines()
    assert len(lines) == 59
    assert any("end of life" in line and "use visma-net-erp-salesorderservice/" in line for line in lines)


def test_catalogue_on_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal each publisher is told once, above its events, and no line is longer than the terminal is wide."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    show_catalogue("*sales*order*")
    lines = terminal.getvalue().splitlines()
    assert [line for line in lines if line.endswith("/")] == ["visma-net-erp-salesorderservice/", f"{FINANCIAL}/"]
    assert "salesorder_created          A sales order was created." in lines
    assert "(end of life: " in terminal.getvalue()
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("glob", "number"),
    [("customer_changed", 1), (f"{FINANCIAL}/*", 44), ("visma-net-journal*", 10), ("CUSTOMER_C*", 2)],
)
def test_catalogue_glob(cli: Cli, glob: str, number: int) -> None:
    """A glob selects events, whatever its case; without a slash it is one over types."""
    assert len(cli.json("catalogue", glob)) == number


@pytest.mark.parametrize("command", [("catalogue",), ("streams",), ("events", "list")])
def test_wrong_glob(cli: Cli, command: tuple[str, ...]) -> None:
    """A glob that fits nothing is a mistake, and what may be meant is suggested."""
    assert "did you mean" in cli.fails(2, *command, "custmer_changed")


async def _key(store: Store) -> str:
    return store.keys.events(CUSTOMERS)


def test_streams(filled: Cli) -> None:
    """Every stream says its key and its length, and of each subscription how far it is."""
    rows = {row["stream"]: row for row in filled.json("streams")}
    assert len(rows) == 61
    (way,) = rows[CUSTOMERS]["subscriptions"]
    assert 0 <= way.pop("oldest_seconds") < 600
    assert rows[CUSTOMERS] == {
        "stream": CUSTOMERS,
        "publisher": FINANCIAL,
        "type": "customer_changed",
        "key": filled.fill(_key),
        "configured": True,
        "length": 3,
        "subscriptions": [{"name": "sync", "lag": 3, "pending": 0, "scheduled": 0, "dead": 1, "paused": None}],
    }
    assert len(filled.json("streams", "customer_*")) == len(filled.json("catalogue", "customer_*"))


def test_streams_table(filled: Cli) -> None:
    """The table leaves out streams where nothing is to see, and says so."""
    result = filled.run("streams")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [
        ["EVENT", "LENGTH", "SUBSCRIPTION", "LAG", "IN", "HAND", "SCHEDULED", "DEAD", "OLDEST"],
        [CUSTOMERS, "3", "sync", "3", "0", "0", "1", lines[1][-1]],
        [SUPPLIERS, "1", "-", "-", "-", "-", "-", "-"],
    ]
    assert lines[1][-1].endswith("s")
    assert "59 idle streams" in result.stderr
    assert len(filled.ok("streams", "--all").splitlines()) == 62


FORMER = "acme-orders/order_created"


def test_streams_that_are_no_longer_configured(filled: Cli) -> None:
    """A stream whose publisher has left the catalogue is shown while something is in it, and marked."""

    async def leave(store: Store) -> None:
        await store.client.zadd(store.keys.streams(), {CUSTOMERS: 1, FORMER: 1, "acme-orders/unlisted": 1})
        await put_events(store, "o1", stream=FORMER)

    filled.fill(leave)
    rows = {row["stream"]: row for row in filled.json("streams")}
    assert (rows[FORMER]["length"], rows[FORMER]["configured"]) == (1, False)
    assert "acme-orders/unlisted" not in rows
    result = filled.run("streams")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["EVENT", CUSTOMERS, SUPPLIERS, f"{FORMER}*"]
    assert f"no longer configured: {FORMER}; docs/retention.md" in result.stderr
    assert [row["stream"] for row in filled.json("streams", "acme*")] == [FORMER]
    assert "no longer" not in filled.run("streams", "customer_changed").stderr


def test_events_json(filled: Cli) -> None:
    """Events are listed newest first, under the names of the model's fields and nothing else."""
    rows = filled.json("events", "list")
    assert [row["id"] for row in rows if row["type"] == "customer_changed"] == ["c3", "c2", "c1"]
    assert len(rows) == 4
    assert all(set(row) == set(Event.model_fields) for row in rows)
    assert {Event.model_validate(row).resource for row in rows} == {"customer/1", "customer/2", "supplier/1"}


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("customer_changed",), ["c3", "c2", "c1"]),
        (("CustomerChanged",), ["c3", "c2", "c1"]),
        (("customerinvoice_changed",), []),
        ((CUSTOMERS, "--resource", "customer/2"), ["c3", "c2"]),
        ((CUSTOMERS, "--company", "7", "--limit", "1"), ["c2"]),
        (("--until", "2020-01-01"), []),
        (("--since", "1h", "--resource", "supplier/*"), ["s1"]),
    ],
)
def test_events_filter(filled: Cli, options: tuple[str, ...], ids: list[str]) -> None:
    """Every option narrows the list; an empty one is an empty array."""
    assert [row["id"] for row in filled.json("events", "list", *options)] == ids


def test_events_table(filled: Cli) -> None:
    """The table has a line for each event; an entry that is none is told on stderr."""

    async def spoil(store: Store) -> None:
        await store.client.xadd(store.keys.events(CUSTOMERS), {"x": "y"})

    filled.fill(spoil)
    result = filled.run("events", "list", "customer_changed")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["TIME", "EVENT", "RESOURCE", "COMPANY", "ACTION", "ID"]
    assert [line.split()[-1] for line in lines[1:]] == ["c3", "c2", "c1"]
    assert "is no event" in result.stderr


def test_events_show(filled: Cli) -> None:
    """One event is one object; one that is not there is exit code 3."""
    assert filled.json("events", "show", "C2")["resource"] == "customer/2"
    text = filled.ok("events", "show", "c2")
    assert text.startswith(f"stream           {CUSTOMERS}\n")
    assert "tenant_id" not in text
    assert "events list" in filled.fails(3, "events", "show", "c9")


def test_events_show_by_a_shortened_id(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that is copied from a narrow table is understood, if the event is among the newest."""
    filled.fill(lambda store: put_events(store, "bc0fa46d-44da-45c4-8c18-a26cb6eca33c", resource="customer/9"))
    assert filled.json("events", "show", "BC0FA…ca33c")["resource"] == "customer/9"
    filled.fails(3, "events", "show", "bc0fb…ca33c")
    filled.fill(lambda store: put_events(store, "newer"))
    monkeypatch.setattr("workers.operations.events.SEARCHED", 1)
    filled.fails(3, "events", "show", "BC0FA…ca33c")


def test_quarantine(cli: Cli) -> None:
    """The quarantine shows what came, byte for byte, and why it is there."""

    async def fill(store: Store) -> str:
        await put_quarantined(store, b'{"caf\xc3\xa9"')
        return await put_quarantined(store, b"\xff{", publisher="visma-net-journal-transaction")

    entry_id = cli.fill(fill)
    rows = cli.json("quarantine", "list")
    assert all("not readable as JSON" in row["raw"] for row in rows)
    assert {row["raw"] for row in cli.json("quarantine", "list", "--reveal")} == {'{"café"', "\\xff{"}
    assert set(rows[0]) == {"entry_id", "id", "publisher", "received_at", "reason", "raw"}
    of = ("--publisher", "visma-net-journal-transaction")
    assert cli.json("quarantine", "show", entry_id, *of, "--reveal")["raw"] == "\\xff{"
    assert "not valid JSON" in cli.ok("quarantine", "show", entry_id)
    assert len(cli.json("quarantine", "list", FINANCIAL)) == 1
    assert len(cli.ok("quarantine", "list").splitlines()) == 3
    assert "quarantine list" in cli.fails(3, "quarantine", "show", "x")
    assert "there are visma-net" in cli.fails(2, "quarantine", "list", "nobody")


def test_empty(cli: Cli) -> None:
    """An empty list is an empty array, and no failure."""
    for command in (("events", "list"), ("dlq", "list"), ("dlq", "stats"), ("quarantine", "list")):
        assert cli.json(*command) == []


def test_version_and_help(cli: Cli) -> None:
    """The version and the help are there without settings."""
    assert cli.ok("--version").startswith("event-router ")
    assert "dlq" in cli.ok("--help")


def test_config(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--config` names the settings file, for child processes too; one that is wrong is exit code 2 and one line."""
    monkeypatch.setenv("ROUTER_CONFIG", "none.toml")
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('data_dir = "elsewhere"\n')
    bad.write_text("[ingress]\nports = 1\n")
    assert cli.run("--config", str(good), "streams").exit_code == 0
    said = cli.fails(2, "--config", str(bad), "streams")
    assert "ingress.ports: unknown setting" in said
    assert said.count("\n") == 1
    assert "none.toml" in cli.fails(2, "--config", "none.toml", "streams")


def test_embedded_server_that_does_not_start(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An embedded server that cannot be started is a store that cannot be reached."""
    monkeypatch.undo()
    monkeypatch.setenv("ROUTER_DATA_DIR", str(tmp_path))
    for name in ("appendonlydir", "owner.lock"):
        (tmp_path / "redis" / name).mkdir(parents=True)
    said = cli.fails(4, "streams")
    assert "cannot be used" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "command", [("events", "list"), ("events", "show", "x"), ("dlq", "list"), ("dlq", "replay"), ("streams",)]
)
def test_no_data(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Looking into a folder where nothing ever ran makes nothing there; where it looked and what to do is said."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    said = cli.fails(4, *command)
    assert said.startswith(f"event-router: no data in {tmp_path}/data: start `event-router up`")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_sentinel_without_service(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store URL that cannot be understood is a mistake in the settings."""
    monkeypatch.undo()
    monkeypatch.setenv("ROUTER_REDIS__URL", "redis+sentinel://127.0.0.1:1")
    assert "names no Sentinel service" in cli.fails(2, "streams")


def test_array_is_written_as_it_comes(filled: Cli) -> None:
    """A JSON array is valid however many rows it has."""
    for limit in range(1, 6):
        rows = json.loads(filled.ok("events", "list", "--limit", str(limit), "--json"))
        assert len(rows) == min(limit, 4)
