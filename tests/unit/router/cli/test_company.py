"""`--company`: every verb that selects dead letters or quarantined bodies keeps to one company where it is told to."""

import json
from pathlib import Path

import pytest
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_group, put_quarantined, raw_of

from router.store.client import Store


@pytest.fixture
def dlq(cli: Cli) -> Cli:
    """Return a command line with dead letters of two companies, and one that is no event."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        await put_dead(store, "a1", company=7)
        await put_dead(store, "a2", company=7)
        await put_dead(store, "b1", company=77)
        await put_dead(store, "bad", fields={"raw": "{"})

    cli.fill(fill)
    return cli


def _ids(cli: Cli) -> list[str]:
    return sorted(row["id"] for row in cli.json("dlq", "list"))


def test_reading(dlq: Cli) -> None:
    """`list`, `stats`, `show` and `watch` show the company alone, which is named whole."""
    assert {row["id"] for row in dlq.json("dlq", "list", "--company", "7")} == {"a1", "a2"}
    assert {row["id"] for row in dlq.json("dlq", "list", "--company", "77", "--resource", "customer/*")} == {"b1"}
    assert dlq.json("dlq", "list", "--company", "8") == []
    assert [row["count"] for row in dlq.json("dlq", "stats", "--company", "7")] == [2]
    assert dlq.json("dlq", "show", "b1", "--company", "77")["id"] == "b1"
    dlq.fails(3, "dlq", "show", "b1", "--company", "7")
    watched = dlq.ok("dlq", "watch", "--company", "77", "--since", "1h", "--limit", "1", "--json")
    assert json.loads(watched)["id"] == "b1"


def test_changing(dlq: Cli) -> None:
    """`export`, `replay` and `purge` take the company alone; a company is enough to select, and the audit names it."""
    dlq.ok("dlq", "export", "seven.jsonl", "--company", "7")
    assert Path("seven.jsonl").read_bytes().count(b"\n") == 2
    assert dlq.json("dlq", "replay", "--company", "7", "--yes")["replayed"] == 2
    assert _ids(dlq) == ["b1", "bad"]
    assert dlq.json("dlq", "purge", "--company", "77")["purged"] == 1
    assert _ids(dlq) == ["bad"]
    assert [line["selector"] for line in dlq.json("audit")] == [{"company": "77"}, {"company": "7"}, {"company": "7"}]


@pytest.fixture
def quarantine(cli: Cli) -> Cli:
    """Return a command line with bodies of two companies, a batch of both, and one that cannot be read."""

    async def fill(store: Store) -> None:
        for raw in (
            b'{"no": 1, "contextId": 7}',
            b'\xef\xbb\xbf{"no": 2, "CompanyId": "77"}',
            b'[{"contextId": 7}, {"contextId": 77}, 5]',
            b'{"contextId": 7',
            b'{"contextId": [7]}',
        ):
            await put_quarantined(store, raw)

    cli.fill(fill)
    return cli


def test_quarantine(quarantine: Cli) -> None:
    """A body is of each company that it, or an item of it, names as its publisher does; an unreadable one of none."""
    assert len(quarantine.json("quarantine", "list", "--company", "7")) == 2
    assert len(quarantine.json("quarantine", "list", "--company", "77")) == 2
    assert quarantine.json("quarantine", "list", "--company", "[7]") == []
    assert quarantine.json("quarantine", "purge", "--company", "7", "--yes")["purged"] == 2
    assert len(quarantine.json("quarantine", "list")) == 3
    assert quarantine.json("quarantine", "retry", "--company", "77", code=1)["matched"] == 1


def test_events(cli: Cli) -> None:
    """`events list`, `tail` and `replay` do the same."""

    async def fill(store: Store) -> None:
        for id_, company in (("a1", 7), ("b1", 77)):
            fields = {"id": id_, "at": 1, "raw": raw_of(id_, company=company)}
            await store.client.xadd(store.keys.events(CUSTOMERS), fields)
        await put_group(store, "sync")
        key = store.keys.events(CUSTOMERS)
        await store.client.execute_command("XREADGROUP", "GROUP", "sync", "w1", "STREAMS", key, ">")

    cli.fill(fill)
    assert [row["id"] for row in cli.json("events", "list", "--company", "77")] == ["b1"]
    done = cli.json("events", "replay", "--to", "sync", "--since", "1h", "--company", "7", "--yes")
    assert (FINANCIAL in done["after"], done["replayed"]) == (True, 1)
