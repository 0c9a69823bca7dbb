"""`events show`: one event with its whole life."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from support.cli import Cli
from support.filling import CUSTOMERS, history, put_dead, put_events, put_group, raw_of
from support.keyed import KeyedBench

from router.cli.events.show import place_text
from router.events.event import Event
from router.store.client import Store
from workers.operations import audit
from workers.operations.life import Place


async def _put_done(store: Store) -> None:
    await put_events(store, "e1")
    await put_group(store, "sync")
    events = store.keys.events(CUSTOMERS)
    await store.client.execute_command("XREADGROUP", "GROUP", "sync", "w1", "STREAMS", events, ">")
    await store.client.execute_command("XACK", events, "sync", (await store.client.xrange(events))[0][0])


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return a command line on a store with an event that came three times, and that two subscriptions have."""

    async def fill(store: Store) -> None:
        for _ in range(3):
            await put_events(store, "e1", company=7)
        await put_group(store, "sync")
        await put_group(store, "audit")
        events = store.keys.events(CUSTOMERS)
        await store.client.execute_command("XREADGROUP", "GROUP", "sync", "w1", "STREAMS", events, ">")
        await store.client.execute_command("XACK", events, "sync", (await store.client.xrange(events))[0][0])
        parked = {"id": "e1", "at": 1, "raw": raw_of("e1"), "attempts": 1, "history": history("no customer 1")}
        entry = await store.client.xadd(store.keys.parked(CUSTOMERS, "sync"), parked)
        await store.client.zadd(store.keys.due(CUSTOMERS, "sync"), {entry: 1_900_000_000_000})

    cli.fill(fill)
    return cli


def test_json(filled: Cli) -> None:
    """For programs it is one object: the fields of the event, and what became of it."""
    shown = filled.json("events", "show", "e1")
    assert set(shown) == {*Event.model_fields, "entry_id", "stored_at", "duplicates", "subscriptions"}
    assert json.loads(shown["raw"])["contextId"] == 7
    assert shown["duplicates"] == 2
    audit, sync = shown["subscriptions"]
    assert (audit["subscription"], audit["state"], audit["attempts"]) == ("audit", "undelivered", 0)
    assert (sync["state"], sync["attempts"], sync["due_at"]) == ("scheduled", 1, "2030-03-17T17:46:40.000Z")
    assert [error["message"] for error in sync["errors"]] == ["no customer 1"]


def test_for_people(filled: Cli) -> None:
    """For people there is a line for each subscription, and how often a duplicate was refused."""
    lines = [line.split() for line in filled.ok("events", "show", "e1").splitlines()]
    assert ["duplicates", "2"] in lines
    said = {line[0]: " ".join(line[1:]) for line in lines if line}
    assert said["audit"] == "waiting 0 waits for a worker"
    assert said["sync"].startswith("scheduled 1 the next attempt is due 2030-03-17T17:46:40.000Z; ValueError: no cust")


def test_deferrals(cli: Cli) -> None:
    """What was deferred says how often, since when and why, in words and in JSON."""

    async def fill(store: Store) -> None:
        await _put_done(store)
        parked = {"id": "e1", "at": 1, "raw": raw_of("e1"), "deferred": b'[3,1750000000000,"the quota is used up"]'}
        entry = await store.client.xadd(store.keys.parked(CUSTOMERS, "sync"), parked)
        await store.client.zadd(store.keys.due(CUSTOMERS, "sync"), {entry: 1_900_000_000_000})

    cli.fill(fill)
    [sync] = cli.json("events", "show", "e1")["subscriptions"]
    assert (sync["state"], sync["attempts"], sync["errors"]) == ("scheduled", 0, [])
    assert (sync["deferred"], sync["deferred_since"]) == (3, "2025-06-15T15:06:40.000Z")
    assert sync["deferred_for"] == "the quota is used up"
    said = " ".join(cli.ok("events", "show", "e1").split())
    assert "deferred 3 times since 2025-06-15T15:06:40.000Z: the quota is used up" in said


def test_attempts(filled: Cli) -> None:
    """Each failure so far is shown where that is asked for; what is not known is said."""
    assert "2025-01-01" not in filled.ok("events", "show", "e1")
    text = filled.ok("events", "show", "e1", "--attempts")
    lines = [line.split() for line in text.partition("sync, attempt 1\n")[2].splitlines()]
    assert lines == [["at", "2025-01-01T00:00:01.000Z"], ["error", "ValueError"], ["message", "no", "customer", "1"]]
    assert "audit: no attempt has failed" in text


def test_done_says_no_more_than_is_known(cli: Cli) -> None:
    """Of what is done nothing is kept, and nothing is made up."""
    cli.fill(_put_done)
    (place,) = cli.json("events", "show", "e1")["subscriptions"]
    assert (place["state"], place["attempts"], place["errors"]) == ("done", None, [])
    assert "sync: nothing is kept of its attempts" in cli.ok("events", "show", "e1", "--attempts")


def test_bodies_are_masked(filled: Cli) -> None:
    """People see the structure of a body; its values only where they ask for them, which the audit log keeps."""
    filled.fill(_put_secret)
    masked = filled.ok("events", "show", "s1")
    assert "Ltd" not in masked
    assert "customerName" in masked
    assert filled.fill(_audited) == []
    assert "Acme Ltd" in filled.ok("events", "show", "s1", "--reveal")
    assert filled.fill(_audited) == [("reveal", "s1")]


async def _audited(store: Store) -> list[tuple[str, str]]:
    return [(line.verb, line.subject) async for line in audit.lines(store)]


async def _put_secret(store: Store) -> None:
    raw = json.dumps({"event": "customer_changed", "notificationId": "s1", "customerName": "Acme Ltd"})
    key = store.keys.events(CUSTOMERS)
    entry = await store.client.xadd(key, {"id": "s1", "at": 1, "raw": raw})
    await store.client.set(store.keys.seen(CUSTOMERS, "s1"), entry)


def test_a_marker_that_is_gone(filled: Cli) -> None:
    """Without a marker, as after the window or where that is 0, the number of duplicates is not known, and not 0."""
    filled.fill(lambda store: store.client.delete(store.keys.seen(CUSTOMERS, "e1")))
    assert filled.json("events", "show", "e1")["duplicates"] is None
    assert "not known: the deduplication window is over or 0" in filled.ok("events", "show", "e1")


def test_dead(filled: Cli) -> None:
    """A dead letter names the entry that `dlq show` takes."""
    entry_id = ""

    async def fill(store: Store) -> None:
        nonlocal entry_id
        entry_id = await put_dead(store, "e1", subscription="audit")

    filled.fill(fill)
    places = filled.json("events", "show", "e1")["subscriptions"]
    assert [place["dead_entry_id"] for place in places if place["state"] == "dead"] == [entry_id]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place("s", "undelivered", 0), "waits for a worker"),
        (Place("s", "inbox", 0), "waits for a worker once more"),
        (Place("s", "done"), "nothing is left to do"),
        (Place("s", "unknown"), "its places hold too much to look through"),
        (Place("s", "dead", 3, dead_entry_id="1-0"), "given up; dead letter 1-0"),
    ],
)
def test_each_place_in_words(place: Place, words: str) -> None:
    """Where an event is, is said in a sentence."""
    assert place_text(place) == words


def test_in_hand_in_words() -> None:
    """What is in hand says whose, how long ago that was renewed, and how often it was handed out."""
    renewed = datetime.now(UTC) - timedelta(minutes=3)
    place = Place("s", "pending", 0, consumer="w1", deliveries=2, renewed_at=renewed)
    assert place_text(place) == "held by w1, its hold renewed 3m ago, handed out 2 times"


def test_hints_are_marked_as_unsigned(cli: Cli) -> None:
    """People see hints as what they are, what callers chose masked; programs have them by the name of the field."""

    async def fill(store: Store) -> None:
        hints = json.dumps({"x-vwd-tenant-id": "t1", "orderref": "17"})
        fields = {"id": "h1", "at": 1_760_000_000_000, "raw": raw_of("h1"), "hints": hints}
        await store.client.xadd(store.keys.events(CUSTOMERS), fields)
        await put_group(store, "sync")
        await put_dead(store, "h1", fields={"hints": hints})
        await store.client.xadd(store.keys.quarantine("visma-net-financial"), fields | {"reason": "none"}, id="5-5")

    cli.fill(fill)
    for command in (("events", "show", "h1"), ("dlq", "show", "h1"), ("quarantine", "show", "5-5")):
        for options, reference in (((), "***"), (("--reveal",), "17")):
            lines = cli.ok(*command, *options).splitlines()
            (told,) = [line.split(maxsplit=2) for line in lines if line.startswith("hints")]
            assert told == ["hints", "(unsigned)", f"x-vwd-tenant-id: t1, orderref: {reference}"]
    for options, reference in (((), "***"), (("--reveal",), "17")):
        assert cli.json("events", "show", "h1", *options)["hints"] == {"x-vwd-tenant-id": "t1", "orderref": reference}
        assert cli.json("dlq", "show", "h1", *options)["event"]["hints"]["orderref"] == reference
        assert cli.json("quarantine", "show", "5-5", *options)["hints"]["orderref"] == reference


def test_an_event_in_the_line_of_its_key(cli: Cli) -> None:
    """Of a keyed subscription it is said behind which event one waits, and into which it will be merged."""

    async def fill(store: Store) -> None:
        first, *merged = await put_events(store, "e1", "e2", "e3")
        await put_group(store, "sync")
        await store.client.xreadgroup("sync", "w0", {store.keys.events(CUSTOMERS): ">"})
        await store.client.xack(store.keys.events(CUSTOMERS), "sync", first, *merged)
        bench = KeyedBench(store)
        await bench.claim()
        await bench.bring_stored(first, key="k")
        await bench.bring_stored(*merged, key="k", merged=True)

    cli.fill(fill)
    assert "in line  0         waits for a worker; key k" in cli.ok("events", "show", "e1")
    assert "will be merged into e3; key k" in " ".join(cli.ok("events", "show", "e2").split())
    assert "waits behind e1; key k" in cli.ok("events", "show", "e3")
    (place,) = cli.json("events", "show", "e3")["subscriptions"]
    assert (place["state"], place["behind"], place["merged_into"], place["key"]) == ("line", "e1", None, "k")


def test_what_a_filter_skipped(cli: Cli) -> None:
    """An event that a filter skipped is done, and says whose filter that was."""

    async def fill(store: Store) -> None:
        await _put_done(store)
        fields = {"where": '{"company_id": "none"}', f"after:{CUSTOMERS}": "0-0"}
        await store.client.hset(store.keys.filter("sync"), mapping=fields)

    cli.fill(fill)
    (place,) = cli.json("events", "show", "e1")["subscriptions"]
    assert (place["state"], place["skipped"]) == ("done", True)
    assert "skipped by the filter of sync" in cli.ok("events", "show", "e1")
