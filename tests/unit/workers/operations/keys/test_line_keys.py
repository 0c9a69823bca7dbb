"""The keys of a keyed subscription, as an operator sees them."""

import pytest
from support.filling import CUSTOMERS
from support.keyed import KeyedBench

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.keyed.entry import pack, unpack
from workers.operations.keys import line_keys
from workers.operations.keys.line_keys import KeySelector, LineKey
from workers.operations.operations import Operations


@pytest.fixture
def bench(store: Store) -> KeyedBench:
    """Return empty lines on each kind of store."""
    return KeyedBench(store)


@pytest.fixture
def operations(store: Store, catalogue: Catalogue) -> Operations:
    """Return the operations of the same store."""
    return Operations(store, catalogue, Settings())


async def _keys(operations: Operations, **given: object) -> list[LineKey]:
    return [key async for key in operations.keys("sync", KeySelector(**given))]  # type: ignore[arg-type]


async def test_no_keys(operations: Operations) -> None:
    """A subscription without lines has no keys."""
    assert await _keys(operations) == []
    assert await operations.key("sync", "x") is None


async def test_every_state_is_told(bench: KeyedBench, operations: Operations) -> None:
    """Each key says where it stands, how many events it has, and what the first of them is."""
    await bench.bring("h1", customer="held")
    await bench.hold("held")
    await bench.bring("r1", customer="running")
    ((claim, _, _),) = await bench.claim()
    await bench.bring("s1", "s2", customer="scheduled")
    ((scheduled, ref, body),) = await bench.claim()
    await bench.store.call(bench.lines.retry(scheduled, ref, body, 60_000))
    await bench.bring("w1", "w2", "w3", customer="waiting", company="8")
    found = {key.key.rpartition("/")[2]: key for key in await _keys(operations)}
    told = {name: (key.state, key.events, key.first_id, key.company) for name, key in found.items()}
    assert told == {
        "running": ("running", 1, "r1", "7"),
        "scheduled": ("scheduled", 2, "s1", "7"),
        "waiting": ("ready", 3, "w1", "8"),
        "held": ("held", 0, None, ""),
    }
    assert found["running"].worker == "w1"
    assert found["scheduled"].until is not None
    assert found["held"].since is not None
    assert found["waiting"].resource == "customer/waiting"
    assert found["waiting"].oldest_at is not None
    assert claim.key == found["running"].name


async def test_keys_are_selected(bench: KeyedBench, operations: Operations) -> None:
    """By name, by company, by the resource of the first event, and those that are held."""
    await bench.bring("a1", "a2", customer="a")
    await bench.bring("b1", customer="b", company="8")
    await bench.hold("a")
    assert [key.first_id for key in await _keys(operations)] == ["a2", "b1"]
    assert [key.first_id for key in await _keys(operations, held=True)] == ["a2"]
    assert [key.first_id for key in await _keys(operations, company="8")] == ["b1"]
    assert [key.first_id for key in await _keys(operations, resource="customer/[b-z]")] == ["b1"]
    assert [key.first_id for key in await _keys(operations, key="/8/customer/b")] == ["b1"]
    assert await _keys(operations, key="/8/customer/b", held=True) == []


@pytest.mark.parametrize(("rule", "company"), [("resource", "7"), ("mine:0f", ""), (None, "")])
async def test_a_held_key_without_events_is_selected_by_its_name(
    bench: KeyedBench, operations: Operations, rule: str | None, company: str
) -> None:
    """It is of the company and the resource that its name says, unless a function made it."""
    await bench.bring("a1", customer="a b")
    await bench.hold("a b")
    if rule is not None:
        await bench.store.client.hset(bench.lines.read, "keying", rule)
    [key] = await _keys(operations, held=True)
    assert (key.events, key.company, key.resource) == (0, company, "customer/a b" if company else None)
    assert (
        len(await _keys(operations, company="7"))
        == len(await _keys(operations, resource="customer/a*"))
        == bool(company)
    )


async def test_many_keys_are_read_in_pages(
    bench: KeyedBench, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All keys are listed once, however few fit into a reply."""
    monkeypatch.setattr(line_keys, "BATCH", 3)
    monkeypatch.setattr(line_keys, "_PAGE_BYTES", 1)
    for number in range(10):
        await bench.bring(f"e{number}", customer=f"{number}")
    await bench.hold("4")
    assert [key.key for key in await _keys(operations)] == [
        *(f"/7/customer/{number}" for number in range(10) if number != 4),
        "/7/customer/4",
    ]


async def test_a_key_is_shown_with_its_events(
    bench: KeyedBench, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events are told in order, each with its attempts and with what stands for it."""
    monkeypatch.setattr(line_keys, "_PAGE_BYTES", 1)
    await bench.bring("e1", merged=True)
    await bench.bring("e2", merged=True)
    await bench.bring("e3")
    await bench.bring("e4", merged=True)
    ((claim, ref, body),) = await bench.claim()
    company, fields = unpack(body)
    parts = [part for pair in {**fields, b"attempts": b"2"}.items() for part in pair]
    await bench.store.call(bench.lines.retry(claim, ref, pack(company, parts), 60_000))
    shown = await operations.key("sync", "/7/customer/1")
    assert shown is not None
    key, line = shown
    assert (key.state, key.events) == ("scheduled", 4)
    assert [(event.id, event.attempts, event.merged_into) for event in line] == [
        ("e1", 0, "e2"),
        ("e2", 2, None),
        ("e3", 0, None),
        ("e4", 0, None),
    ]
    assert {(event.stream, event.type) for event in line} == {(CUSTOMERS, "customer_changed")}
    assert [event.at for event in line] == sorted(event.at for event in line)
    shown = await operations.key("sync", "/7/customer/1", most=2)
    assert shown is not None
    assert [event.id for event in shown[1]] == ["e1", "e2"]


async def test_what_runs_stands_for_itself(bench: KeyedBench, operations: Operations) -> None:
    """An event that came while the ones before it run is not merged into them, nor are they into it."""
    await bench.bring("e1", "e2", merged=True)
    await bench.claim()
    await bench.bring("e3", "e4", merged=True)
    shown = await operations.key("sync", "/7/customer/1")
    assert shown is not None
    assert [event.merged_into for event in shown[1]] == ["e2", None, "e4", None]


async def test_hostile_bodies(bench: KeyedBench, operations: Operations) -> None:
    """What somebody wrote into a line is told as far as it can be read."""
    (ref,) = await bench.bring("e1")
    await bench.store.client.hset(bench.lines.keys[1], ref, b"\xff\xff rubbish")
    (key,) = await _keys(operations)
    assert (key.first_id, key.resource, key.events) == (None, None, 1)
    shown = await operations.key("sync", "/7/customer/1")
    assert shown is not None
    assert [event.id for event in shown[1]] == [""]
