"""`--renormalise`: a mended catalogue reaches events that were normalised by the one before."""

import json
from typing import Any

import pytest
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_group, raw_of

from router.events.catalogue import Catalogue
from router.store import record
from router.store.client import Store

AT = 1_760_000_000_000


def _fields(event_id: str = "a", **more: str) -> dict[str, Any]:
    """Return an entry whose event was made by a catalogue that found another record in it."""
    before = {
        "id": event_id,
        "publisher": FINANCIAL,
        "type": "customer_changed",
        "wire_event": "customer_changed",
        "resource": "customer/before",
        "received_at": "2025-10-09T08:53:20Z",
    }
    return {"id": event_id, "at": AT, "event": json.dumps(before), "raw": raw_of(event_id), **more}


async def _inbox(store: Store) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in await store.client.xrange(store.keys.inbox(CUSTOMERS, "sync"))]


async def _event(store: Store) -> None:
    key = store.keys.events(CUSTOMERS)
    await store.client.xadd(key, _fields())
    await put_group(store, "sync", CUSTOMERS)
    await store.client.execute_command("XREADGROUP", "GROUP", "sync", "c", "STREAMS", key, ">")


async def _letter(store: Store) -> None:
    await put_group(store, "sync", CUSTOMERS)
    await store.client.xadd(store.keys.dead(CUSTOMERS, "sync"), _fields(reason="no use", attempts="3"))


REPLAYS = [
    pytest.param(_letter, ("dlq", "replay", "--yes"), id="dlq"),
    pytest.param(_event, ("events", "replay", "--to", "sync", "--since", "3650d", "--yes"), id="events"),
]


@pytest.mark.parametrize(("fill", "command"), REPLAYS)
def test_a_replay_carries_the_event_along(cli: Cli, catalogue: Catalogue, fill: Any, command: tuple[str, ...]) -> None:
    """Without the option, the worker gets the event as it was normalised when it came."""
    cli.fill(fill)
    cli.ok(*command)
    [fields] = cli.fill(_inbox)
    assert record.read_event(catalogue, CUSTOMERS, fields).resource == "customer/before"


@pytest.mark.parametrize(("fill", "command"), REPLAYS)
def test_a_replay_makes_the_event_anew(cli: Cli, catalogue: Catalogue, fill: Any, command: tuple[str, ...]) -> None:
    """With it, the worker gets what its catalogue makes of the bytes as sent; all else stays."""
    cli.fill(fill)
    cli.ok(*command, "--renormalise")
    [fields] = cli.fill(_inbox)
    assert set(fields) - {b"history", b"order", b"generation"} == {b"id", b"at", b"raw"}
    assert record.read_event(catalogue, CUSTOMERS, fields).resource == "customer/1"


@pytest.mark.parametrize(("fill", "command"), REPLAYS)
def test_what_is_selected_is_what_the_event_is_made_of_anew(cli: Cli, fill: Any, command: tuple[str, ...]) -> None:
    """A filter compares what the worker will get, not what the catalogue of then found."""
    cli.fill(fill)
    before, now = ("--resource", "customer/before"), ("--resource", "customer/1")
    cli.run(*command, *before, "--renormalise")
    cli.run(*command, *now)
    assert cli.fill(_inbox) == []
    cli.ok(*command, *now, "--renormalise")
    assert len(cli.fill(_inbox)) == 1


def test_a_retry_of_the_quarantine_takes_the_option(cli: Cli) -> None:
    """There it says what happens anyway."""

    async def quarantined(store: Store) -> None:
        fields = {"id": "sha256:1", "at": AT, "reason": "no event name", "raw": raw_of("a")}
        await store.client.xadd(store.keys.quarantine(FINANCIAL), fields)

    async def events(store: Store) -> list[Any]:
        return list(await store.client.xrange(store.keys.events(CUSTOMERS)))

    cli.fill(quarantined)
    cli.ok("quarantine", "retry", "--renormalise", "--yes")
    [(_, fields)] = cli.fill(events)
    assert json.loads(fields[b"event"])["resource"] == "customer/1"
