"""`schema list|show`: what was learnt of the fields of each type."""

import msgspec
import pytest
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_schema

from config.settings import DriftSettings
from router.store.client import Store
from workers.drift.kept import Kept, Report
from workers.drift.schema import Schema

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return a command line on a store in which two types were learnt, one with changes."""
    new = Report("new", "region", 1_800_000_000_000, "text", (), "e5", '{"region": "***"}')
    missing = Report("missing", "id", 1_800_000_100_000, "", ("text",), "e6", "{}", over=1_800_000_200_000)

    async def fill(store: Store) -> None:
        await put_schema(store, new, missing)
        await put_schema(store, stream=SUPPLIERS, seen=3)

    cli.fill(fill)
    return cli


def test_list(filled: Cli) -> None:
    """Each type has a row: how many notifications and fields, and which changes last."""
    customers, suppliers = filled.json("schema", "list")
    assert (customers["stream"], customers["events"], customers["fields"]) == (CUSTOMERS, 600, 2)
    assert (customers["is_learnt"], suppliers["is_learnt"]) == (True, False)
    (change,) = customers["changes"]
    assert (change["change"], change["field"], change["over"]) == ("new", "region", None)
    assert [row["stream"] for row in filled.json("schema", "list", "supplier_*")] == [SUPPLIERS]
    assert "has no value in the field id (text) any more" in filled.ok("schema", "list")


def test_show(filled: Cli) -> None:
    """One type shows its fields with their types and shares, and each change with its masked sample."""
    shown = filled.json("schema", "show", CUSTOMERS)
    assert shown["fields"] == [
        {"field": "id", "types": ["text"], "share": 1.0, "state": "known"},
        {"field": "note", "types": ["text"], "share": 0.5, "state": "known"},
    ]
    assert [report["change"] for report in shown["reports"]] == ["new", "missing"]
    text = filled.ok("schema", "show", "customer_changed")
    assert "has a new field region (text); event e5" in text
    assert '{"region": "***"}' in text
    assert "too few" in filled.run("schema", "show", SUPPLIERS).output


def test_a_type_that_is_being_learnt(cli: Cli) -> None:
    """While too little of a type was seen, as where `drift.learn` was raised, no field of it is called rare."""
    schema, earlier = Schema(), DriftSettings().model_copy(update={"learn": 2})
    for at, shape in enumerate([{"id": "text"}, {"id": "text"}, {"id": "text", "later": "text"}]):
        schema.learn(shape, "1", at, earlier)
    kept = msgspec.json.encode(Kept("1-1", 1, schema, []))
    cli.fill(lambda store: store.client.hset(store.keys.schemas(), SUPPLIERS, kept))
    states = {field["field"]: field["state"] for field in cli.json("schema", "show", SUPPLIERS)["fields"]}
    assert states["later"] == "learning"


def test_nothing(cli: Cli) -> None:
    """Where nothing was learnt, or several types match, that is said."""
    assert cli.json("schema", "list") == []
    assert "nothing was learnt of" in cli.fails(3, "schema", "show", CUSTOMERS)


def test_several(filled: Cli) -> None:
    """A glob that means several types is not one."""
    assert "2 types match" in filled.fails(3, "schema", "show", "*")
