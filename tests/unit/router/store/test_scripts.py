"""The contract in the header of every Lua script, on the fake store and on a real server."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.scripts import BATCH

STREAM = "publisher/type"
GROUP = "sub"
WINDOW = 60_000
LINE = '{"line": 1}'


class Place:
    """One stream and one subscription's keys beside it, with what tests ask about them."""

    def __init__(self, store: Store) -> None:
        keys = store.keys
        self.store = store
        self.client: Any = store.client
        self.events = keys.events(STREAM)
        self.inbox = keys.inbox(STREAM, GROUP)
        self.due = keys.due(STREAM, GROUP)
        self.parked = keys.parked(STREAM, GROUP)
        self.dead = keys.dead(STREAM, GROUP)
        self.consumers = keys.consumers(GROUP)

    def seen(self, name: str) -> str:
        """Return the marker of an item."""
        return self.store.keys.seen(STREAM, name)

    async def append(self, *names: str, window: int = WINDOW) -> list[bytes]:
        """Append items of these names."""
        fields = [part for name in names for part in ("id", name, "raw", f"body of {name}")]
        reply: list[bytes] = await self.store.call(
            scripts.append(self.events, [self.seen(name) for name in names], fields, window)
        )
        return reply

    async def group(self, key: str) -> None:
        """Make the group on a stream."""
        await self.client.execute_command("XGROUP", "CREATE", key, GROUP, "0", "MKSTREAM")

    async def add(self, key: str, **fields: str) -> bytes:
        """Add an entry by hand."""
        added: bytes = await self.client.xadd(key, fields)
        return added

    async def read(self, key: str, consumer: str = "c1", count: int = 1000) -> list[bytes]:
        """Deliver what is new in a stream to a consumer; return the ids."""
        await self.client.execute_command("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count, "STREAMS", key, ">")
        return [entry["message_id"] for entry in await self.pending(key) if entry["consumer"] == consumer.encode()]

    async def delivered(self, key: str, consumer: str = "c1", **fields: str) -> bytes:
        """Make the group, add one entry and deliver it."""
        await self.group(key)
        added = await self.add(key, **fields)
        assert await self.read(key, consumer) == [added]
        return added

    async def pending(self, key: str) -> list[dict[str, Any]]:
        """Return what is pending in a stream's group."""
        found: list[dict[str, Any]] = await self.client.xpending_range(key, GROUP, "-", "+", 10_000)
        return found

    async def entries(self, key: str) -> list[dict[bytes, bytes]]:
        """Return the fields of a stream's entries, oldest first."""
        return [fields for _, fields in await self.client.xrange(key)]

    async def names(self, key: str) -> list[str]:
        """Return the ids that a stream's entries carry as a field."""
        return [fields[b"id"].decode() for fields in await self.entries(key)]

    async def group_consumers(self, key: str) -> set[bytes]:
        """Return the consumers that a stream's group knows."""
        return {consumer["name"] for consumer in await self.client.xinfo_consumers(key, GROUP)}

    async def schedule(self, name: str, delay: int, **fields: str) -> bytes:
        """Park one entry as a retry due in `delay` milliseconds; return its parked id."""
        entry = await self.add(self.events, id=name)
        await self.read(self.events)
        flat = [part for pair in {"id": name, **fields}.items() for part in pair]
        moved: bytes = await self.store.call(
            scripts.schedule(self.events, self.parked, self.due, GROUP, "c1", entry, delay, flat, inbox=False)
        )
        return moved

    async def promote(self, room: int = 1000) -> list[int]:
        """Promote what is due."""
        reply: list[int] = await self.store.call(scripts.promote(self.due, self.parked, self.inbox, room))
        return reply

    async def recover(self, source: str, consumer: str = "c1", idle: int = 0) -> list[int]:
        """Recover what a consumer holds."""
        reply: list[int] = await self.store.call(scripts.recover(source, self.inbox, GROUP, consumer, idle, LINE))
        return reply


@pytest.fixture
def place(store: Store) -> Place:
    """Return the keys of one subscription to one stream."""
    return Place(store)


# append


async def test_append_stores_an_item_once_within_one_call(place: Place) -> None:
    """An item that comes twice in one call is appended once; the reply says which was the duplicate."""
    first, again, other = await place.append("a", "a", "b")
    assert first
    assert again == b""
    assert other
    assert await place.names(place.events) == ["a", "b"]


async def test_append_stores_an_item_once_over_calls(place: Place) -> None:
    """An item seen in an earlier call is a duplicate in a later one, and its new neighbours are appended."""
    await place.append("a")
    seen, new = await place.append("a", "b")
    assert seen == b""
    assert new
    assert await place.names(place.events) == ["a", "b"]


async def test_append_keeps_every_field_of_every_item(place: Place) -> None:
    """The fields of each item are its own, in the order of the call."""
    await place.append("a", "b", "c")
    assert await place.entries(place.events) == [
        {b"id": name, b"raw": b"body of " + name} for name in (b"a", b"b", b"c")
    ]


async def test_append_replies_with_the_ids_of_the_entries(place: Place) -> None:
    """The reply for a new item is its entry's id, and the marker holds the same."""
    ids = await place.append("a", "b")
    assert ids == [entry_id for entry_id, _ in await place.client.xrange(place.events)]
    assert [await place.client.get(place.seen(name)) for name in ("a", "b")] == ids


async def test_append_forgets_a_marker_after_the_window(place: Place) -> None:
    """A marker lives as long as the window says, no longer."""
    await place.append("a", window=WINDOW)
    assert 0 < await place.client.pttl(place.seen("a")) <= WINDOW
    await place.client.delete(place.seen("a"))  # as if the window were over
    assert (await place.append("a"))[0]
    assert await place.names(place.events) == ["a", "a"]


async def test_append_leaves_no_marker_without_an_entry(place: Place) -> None:
    """When the server refuses the entry, no marker makes the sender's next try look like a duplicate."""
    await place.client.set(place.events, "not a stream")
    with pytest.raises(StoreRefused):
        await place.append("a")
    assert not await place.client.exists(place.seen("a"))
    await place.client.delete(place.events)
    assert (await place.append("a"))[0]


async def test_append_takes_a_full_batch(place: Place) -> None:
    """A call of BATCH items, the most there may be, works."""
    names = [f"n{number}" for number in range(BATCH)]
    assert all(await place.append(*names))
    assert await place.names(place.events) == names


# ack


@pytest.mark.parametrize("inbox", [False, True])
async def test_ack_finishes_a_delivery_and_deletes_it_from_an_inbox_only(place: Place, *, inbox: bool) -> None:
    """What was acknowledged is not pending; an inbox lets go of the entry, a stream keeps it for other groups."""
    key = place.inbox if inbox else place.events
    entry = await place.delivered(key, id="a")
    assert await place.store.call(scripts.ack(key, GROUP, [entry], inbox=inbox)) == []
    assert await place.pending(key) == []
    assert len(await place.entries(key)) == (0 if inbox else 1)


async def test_ack_tells_which_ids_were_lost(place: Place) -> None:
    """The reply names the deliveries that were not pending any more, and a lost one is not deleted."""
    await place.group(place.inbox)
    ids = [await place.add(place.inbox, id=name) for name in "abc"]
    await place.read(place.inbox)
    await place.client.xack(place.inbox, GROUP, ids[1])
    assert await place.store.call(scripts.ack(place.inbox, GROUP, ids, inbox=True)) == [ids[1]]
    assert await place.names(place.inbox) == ["b"]


# move


async def test_move_to_the_dead_letters_is_one_step(place: Place) -> None:
    """A moved delivery is in its new place with the fields given, and pending no more."""
    entry = await place.delivered(place.events, id="a")
    call = scripts.move(place.events, place.dead, GROUP, "c1", entry, ["id", "a", "reason", "why"], inbox=False)
    moved = await place.store.call(call)
    assert [(moved, {b"id": b"a", b"reason": b"why"})] == await place.client.xrange(place.dead)
    assert await place.pending(place.events) == []
    assert await place.names(place.events) == ["a"]  # still there for other groups


async def test_move_out_of_an_inbox_deletes_the_entry(place: Place) -> None:
    """An inbox has one group only, so what leaves it leaves nothing behind."""
    entry = await place.delivered(place.inbox, id="a")
    await place.store.call(scripts.move(place.inbox, place.dead, GROUP, "c1", entry, ["id", "a"], inbox=True))
    assert await place.entries(place.inbox) == []
    assert await place.names(place.dead) == ["a"]


async def test_move_within_the_inbox_gives_a_delivery_to_whoever_reads_next(place: Place) -> None:
    """A delivery given back is a new entry, which any consumer may read at once."""
    entry = await place.delivered(place.inbox, id="a")
    await place.store.call(scripts.move(place.inbox, place.inbox, GROUP, "c1", entry, ["id", "a"], inbox=True))
    assert await place.names(place.inbox) == ["a"]
    assert await place.pending(place.inbox) == []
    assert len(await place.read(place.inbox, "c2")) == 1


@pytest.mark.parametrize("loss", ["claimed", "acknowledged", "never pending"])
async def test_move_only_by_the_owner(place: Place, loss: str) -> None:
    """A delivery that another consumer took over, or that is done, is not moved; the reply is empty."""
    entry = await place.delivered(place.events, id="a")
    if loss == "claimed":
        await place.client.xclaim(place.events, GROUP, "c2", 0, [entry])
    elif loss == "acknowledged":
        await place.client.xack(place.events, GROUP, entry)
    else:
        entry = b"1-1"
    before = await place.pending(place.events)
    call = scripts.schedule(place.events, place.parked, place.due, GROUP, "c1", entry, 0, ["id", "a"], inbox=False)
    assert await place.store.call(call) == b""
    assert await place.entries(place.parked) == []
    assert await place.client.zcard(place.due) == 0
    assert [entry["consumer"] for entry in await place.pending(place.events)] == [e["consumer"] for e in before]


# schedule and promote


async def test_schedule_parks_the_body_under_its_due_time(place: Place) -> None:
    """A scheduled retry is out of the pending list, its body is parked, and the store's clock says when it is due."""
    await place.group(place.events)
    before = time.time() * 1000
    parked = await place.schedule("a", 30_000, attempts="1")
    assert await place.pending(place.events) == []
    assert await place.client.xrange(place.parked) == [(parked, {b"delay": b"30000", b"id": b"a", b"attempts": b"1"})]
    [(member, due)] = await place.client.zrange(place.due, 0, -1, withscores=True)
    assert member == parked
    assert before + 29_000 < due < time.time() * 1000 + 31_000


async def test_promote_moves_what_is_due_oldest_first(place: Place) -> None:
    """Due retries enter the inbox in the order they were due, with all fields; the schedule keeps none of them."""
    await place.group(place.events)
    for name, delay in {"late": -10, "first": -3000, "second": -2000, "not yet": 60_000}.items():
        await place.schedule(name, delay, attempts="1")
    moved, wait = await place.promote()
    assert moved == 3
    assert 50_000 < wait <= 60_000
    assert await place.names(place.inbox) == ["first", "second", "late"]
    assert (await place.entries(place.inbox))[0] == {b"id": b"first", b"attempts": b"1"}
    assert await place.names(place.parked) == ["not yet"]
    assert await place.client.zcard(place.due) == 1


async def test_what_orders_retries_of_one_millisecond_is_no_time(place: Place) -> None:
    """A retry is due when its millisecond comes, whatever its number within that, and the wait is no longer for it."""
    for _ in range(50):
        seconds, micros = await place.client.time()
        now = seconds * 1000 + micros // 1000
        for due in (now + 0.999, now + 60_000.999):
            parked = await place.client.xadd(place.parked, {"id": "a"})
            await place.client.zadd(place.due, {parked: due})
        moved, wait = await place.promote()
        assert moved == 1
        assert 50_000 < wait <= 60_000
        await place.client.delete(place.due, place.parked)


async def test_promote_of_nothing_says_so(place: Place) -> None:
    """-1: nothing is scheduled, before and after the last one was moved."""
    assert await place.promote() == [0, -1]
    await place.group(place.events)
    await place.schedule("a", -1)
    assert await place.promote() == [1, -1]


async def test_promote_stops_at_a_full_inbox(place: Place) -> None:
    """-2: something is due and the inbox has no room; there the retry waits, and it moves when there is room again."""
    await place.group(place.events)
    for name in "abc":
        await place.schedule(name, -1000)
    assert await place.promote(room=2) == [2, -2]
    assert await place.promote(room=2) == [0, -2]
    assert await place.client.zcard(place.due) == 1
    await place.client.delete(place.inbox)
    assert await place.promote(room=2) == [1, -1]
    assert await place.names(place.inbox) == ["c"]


async def test_promote_into_an_overfull_inbox_moves_nothing(place: Place) -> None:
    """An inbox over its limit (given-back work knows no limit) is full, not an error."""
    await place.group(place.events)
    await place.schedule("a", -1000)
    for _ in range(3):
        await place.add(place.inbox, id="x")
    assert await place.promote(room=1) == [0, -2]


async def test_promote_with_a_full_inbox_and_nothing_due_says_when(place: Place) -> None:
    """A full inbox does not hide when the next retry is due."""
    await place.group(place.events)
    await place.schedule("a", 60_000)
    await place.add(place.inbox, id="x")
    moved, wait = await place.promote(room=1)
    assert moved == 0
    assert 50_000 < wait <= 60_000


async def test_promote_moves_a_batch_at_a_time(place: Place) -> None:
    """One call moves at most BATCH, and 0 says that more is due at once."""
    await place.group(place.events)
    for number in range(BATCH + 1):
        await place.schedule(f"n{number}", -1)
    assert await place.promote() == [BATCH, 0]
    assert await place.promote() == [1, -1]


async def test_promote_passes_over_a_missing_body(place: Place) -> None:
    """A retry whose body somebody deleted leaves the schedule, is not counted, and holds up no other."""
    await place.group(place.events)
    gone = await place.schedule("gone", -2000)
    await place.schedule("kept", -1000)
    await place.client.xdel(place.parked, gone)
    assert await place.promote() == [1, -1]
    assert await place.names(place.inbox) == ["kept"]


async def test_promote_of_a_retry_in_the_farthest_future_says_to_wait(real_store: Store) -> None:
    """However far away the next retry is, the reply is a time to wait."""
    place = Place(real_store)
    await place.group(place.events)
    await place.schedule("a", 2**63 * 1000)  # RetryLater(sys.maxsize)
    assert (await place.promote())[1] > 0


# recover


async def crashed(place: Place, key: str, *, started: bool = False, **fields: str) -> dict[bytes, bytes]:
    """Deliver an entry to a consumer that dies, recover it, and return what the inbox got."""
    entry = await place.delivered(key, id="a", **fields)
    if started:
        assert await place.store.call(scripts.mark(key, GROUP, "c1", entry)) == 1
    assert await place.recover(key) == [1, 0, 0]
    [recovered] = await place.entries(place.inbox)
    assert await place.pending(key) == []
    return recovered


async def test_recover_counts_a_crash_of_what_was_in_hand(place: Place) -> None:
    """A delivery handed out for the first time and never finished counts as a crash, and its history says so.

    It keeps its place in the stream.
    """
    recovered = await crashed(place, place.events, raw="{}")
    ((entry_id, _),) = await place.client.xrange(place.events)
    crash = {b"crashes": b"1", b"history": LINE.encode()}
    assert recovered == {b"id": b"a", b"raw": b"{}", **crash, b"order": entry_id}


async def test_recover_adds_to_the_history(place: Place) -> None:
    """Earlier failures are kept, oldest first."""
    recovered = await crashed(place, place.events, attempts="2", history="one\ntwo")
    assert recovered[b"history"].decode().split("\n") == ["one", "two", LINE]
    assert recovered[b"attempts"] == b"2"


async def test_recover_does_not_blame_a_suspect_that_was_not_started(place: Place) -> None:
    """A suspect that only waited when its worker died keeps its count: the crash was another's."""
    recovered = await crashed(place, place.inbox, crashes="1", history="one")
    assert recovered[b"crashes"] == b"1"
    assert recovered[b"history"] == b"one"


async def test_recover_blames_a_suspect_that_was_started(place: Place) -> None:
    """A suspect marked as started when its worker died is one crash nearer to its end."""
    recovered = await crashed(place, place.inbox, started=True, crashes="1", history="one")
    assert recovered[b"crashes"] == b"2"
    assert recovered[b"history"].decode().split("\n") == ["one", LINE]


@pytest.mark.parametrize("count", ["", "none", "0"])
async def test_recover_takes_an_unreadable_count_as_none(place: Place, count: str) -> None:
    """A crash count written by hand that is no number counts from zero."""
    assert (await crashed(place, place.events, crashes=count))[b"crashes"] == b"1"


@pytest.mark.parametrize("count", ["0x1", "1e3", "-1", "0.5", " 7"])
async def test_recover_reads_a_count_as_the_worker_does(place: Place, count: str) -> None:
    """What the worker takes for no suspect (and so never marks) is none here: else its crashes would never count."""
    assert (await crashed(place, place.events, crashes=count))[b"crashes"] == b"1"


async def test_recover_replaces_an_entry_of_the_inbox_itself(place: Place) -> None:
    """What a dead consumer had from the inbox goes behind the others there, and its old entry is gone."""
    await crashed(place, place.inbox)
    assert len(await place.entries(place.inbox)) == 1
    assert len(await place.read(place.inbox, "c2")) == 1


async def test_recover_leaves_the_entry_in_the_events_stream(place: Place) -> None:
    """The stream's entry stays for other groups."""
    await crashed(place, place.events)
    assert await place.names(place.events) == ["a"]


async def test_recover_takes_only_what_is_idle_for_long(place: Place) -> None:
    """A delivery that was renewed within the lease is not touched."""
    await place.group(place.events)
    old, fresh = [await place.add(place.events, id=name) for name in ("old", "fresh")]
    await place.read(place.events)
    await place.client.xclaim(place.events, GROUP, "c1", 0, [old], idle=60_000, justid=True)
    assert await place.recover(place.events, idle=30_000) == [1, 0, 0]
    assert [entry["message_id"] for entry in await place.pending(place.events)] == [fresh]


async def test_recover_takes_only_from_the_dead(place: Place) -> None:
    """What other consumers hold stays with them."""
    await place.group(place.events)
    await place.add(place.events, id="dead's")
    await place.read(place.events, "c1")
    await place.add(place.events, id="other's")
    kept = await place.read(place.events, "c2")
    assert await place.recover(place.events, "c1") == [1, 0, 0]
    assert [entry["message_id"] for entry in await place.pending(place.events)] == kept


async def test_recover_says_that_more_is_left(place: Place) -> None:
    """One call moves at most BATCH and says whether more waits."""
    await place.group(place.events)
    for number in range(BATCH + 1):
        await place.add(place.events, id=f"n{number}")
    await place.read(place.events)
    assert await place.recover(place.events) == [BATCH, 0, 1]
    assert await place.recover(place.events) == [1, 0, 0]


async def test_recover_of_exactly_one_batch_leaves_nothing(place: Place) -> None:
    """A full batch that was all there was does not ask for another call."""
    await place.group(place.inbox)
    for number in range(BATCH):
        await place.add(place.inbox, id=f"n{number}")
    await place.read(place.inbox)
    assert await place.recover(place.inbox) == [BATCH, 0, 0]
    assert len(await place.entries(place.inbox)) == BATCH


async def test_recover_counts_entries_that_somebody_deleted(place: Place) -> None:
    """A pending entry that is not in its stream any more is loss: it is counted, and pending no longer."""
    await place.group(place.events)
    gone, kept = [await place.add(place.events, id=name) for name in ("gone", "kept")]
    await place.read(place.events)
    await place.client.xdel(place.events, gone)
    assert await place.recover(place.events) == [1, 1, 0]
    assert await place.pending(place.events) == []
    assert await place.names(place.inbox) == ["kept"]
    assert kept != gone


async def hostile(place: Place, key: str, pairs: int = 9000, **fields: str) -> bytes:
    """Add and deliver an entry with thousands of fields."""
    await place.group(key)
    mapping = {**fields, **{f"f{number}": "v" for number in range(pairs)}}
    added: bytes = await place.client.xadd(key, mapping)
    await place.read(key)
    return added


async def test_recover_survives_thousands_of_fields(place: Place) -> None:
    """An entry written by hand with more fields than Lua can unpack is moved, cut down, and counted as crashed."""
    await hostile(place, place.events, id="a", raw="{}")
    assert await place.recover(place.events) == [1, 0, 0]
    [recovered] = await place.entries(place.inbox)
    assert recovered[b"id"] == b"a"
    assert recovered[b"crashes"] == b"1"
    assert recovered[b"history"] == LINE.encode()
    assert len(recovered) < 200


async def test_recover_counts_every_crash_of_an_entry_with_too_many_fields(place: Place) -> None:
    """A poison entry with many fields comes nearer to its end with each crash, as any other does."""
    await hostile(place, place.events, id="a", raw="{}")
    await place.recover(place.events)
    await place.group(place.inbox)
    [entry] = await place.read(place.inbox)
    await place.store.call(scripts.mark(place.inbox, GROUP, "c1", entry))
    await place.recover(place.inbox)
    [recovered] = await place.entries(place.inbox)
    assert recovered[b"crashes"] == b"2"
    assert recovered[b"history"].decode().split("\n") == [LINE, LINE]


# mark


async def test_mark_records_a_start_and_renews_the_hold(place: Place) -> None:
    """A marked delivery has the counter 2, however often it is marked, and still its owner."""
    entry = await place.delivered(place.inbox, id="a")
    for _ in range(2):
        assert await place.store.call(scripts.mark(place.inbox, GROUP, "c1", entry)) == 1
        [pending] = await place.pending(place.inbox)
        assert pending["times_delivered"] == 2
        assert pending["consumer"] == b"c1"


async def test_mark_only_by_the_owner(place: Place) -> None:
    """A delivery that is another's, or nobody's, is not marked."""
    entry = await place.delivered(place.inbox, "c2", id="a")
    assert await place.store.call(scripts.mark(place.inbox, GROUP, "c1", entry)) == 0
    assert await place.store.call(scripts.mark(place.inbox, GROUP, "c1", "1-1")) == 0
    [pending] = await place.pending(place.inbox)
    assert pending["times_delivered"] == 1


# extend


async def test_extend_renews_what_is_held_and_tells_what_is_lost(place: Place) -> None:
    """Held deliveries become young again without counting as delivered once more; the others are named."""
    await place.group(place.events)
    held, taken, done = [await place.add(place.events, id=name) for name in "abc"]
    await place.read(place.events)
    await place.client.xclaim(place.events, GROUP, "c1", 0, [held], idle=60_000, justid=True)
    await place.client.xclaim(place.events, GROUP, "c2", 0, [taken])
    await place.client.xack(place.events, GROUP, done)
    call = scripts.extend(place.events, GROUP, "c1", [held, taken, done])
    assert await place.store.call(call) == [taken, done]
    pending = {entry["message_id"]: entry for entry in await place.pending(place.events)}
    assert pending[held]["time_since_delivered"] < 30_000
    assert pending[held]["times_delivered"] == 1
    assert pending[taken]["consumer"] == b"c2"


async def test_extend_of_nothing_held_only_tells(place: Place) -> None:
    """When nothing is this consumer's any more, all are told and nothing is claimed."""
    entry = await place.delivered(place.events, "c2", id="a")
    assert await place.store.call(scripts.extend(place.events, GROUP, "c1", [entry])) == [entry]
    [pending] = await place.pending(place.events)
    assert pending["consumer"] == b"c2"


# beat


async def test_beat_says_that_a_consumer_lives(place: Place) -> None:
    """A heartbeat is written at the store's time, and a lone consumer is told of nobody."""
    assert await place.store.call(scripts.beat(place.consumers, "c1", 1000)) == []
    assert await place.client.zscore(place.consumers, "c1") == pytest.approx(time.time() * 1000, abs=30_000)


async def test_beat_hands_a_dead_consumer_to_one_asker(place: Place) -> None:
    """Who was silent for longer than the lease is told to the first who asks, not to the second; the living never."""
    await place.client.zadd(place.consumers, {"dead": 1, "alive": time.time() * 1000})
    assert await place.store.call(scripts.beat(place.consumers, "c1", 60_000)) == [b"dead"]
    assert await place.store.call(scripts.beat(place.consumers, "c2", 60_000)) == []


async def test_beat_tells_again_when_the_first_asker_did_not_finish(place: Place) -> None:
    """A dead consumer that nobody removed is told again a lease later."""
    await place.client.zadd(place.consumers, {"dead": 1})
    await place.store.call(scripts.beat(place.consumers, "c1", 60_000))
    await place.client.zadd(place.consumers, {"dead": 1})  # as if a lease had passed
    assert await place.store.call(scripts.beat(place.consumers, "c2", 60_000)) == [b"dead"]


async def test_beat_without_judging_tells_of_nobody(place: Place) -> None:
    """Who may not judge says only that it lives, and leaves the dead to be told to another."""
    await place.client.zadd(place.consumers, {"dead": 1})
    assert await place.store.call(scripts.beat(place.consumers, "c1", 60_000, judge=False)) == []
    assert await place.client.zscore(place.consumers, "c1") > 1
    assert await place.store.call(scripts.beat(place.consumers, "c2", 60_000)) == [b"dead"]


async def test_beat_tells_of_sixteen_at_a_time(place: Place) -> None:
    """However many died at once, one asker gets a share of them, and others the rest."""
    await place.client.zadd(place.consumers, {f"dead{number}": 1 for number in range(20)})
    first = await place.store.call(scripts.beat(place.consumers, "c1", 60_000))
    rest = await place.store.call(scripts.beat(place.consumers, "c2", 60_000))
    assert (len(first), len(rest)) == (16, 4)
    assert not set(first) & set(rest)


# replay


async def test_replay_keeps_the_history_and_resets_the_attempts(place: Place) -> None:
    """A replayed dead letter has a fresh set of attempts, what happened before, and a line about the replay."""
    dead = await place.add(place.dead, id="a", raw="{}", attempts="8", crashes="1", history="one", reason="why")
    call = scripts.replay(place.dead, place.inbox, [dead], "replayed")
    assert await place.store.call(call) == 1
    [entry] = await place.entries(place.inbox)
    assert entry[b"history"] == b"one\nreplayed"
    assert entry[b"id"] == b"a"
    assert entry[b"raw"] == b"{}"
    assert b"attempts" not in entry
    assert b"crashes" not in entry
    assert await place.entries(place.dead) == []


async def test_replay_with_an_empty_history_starts_one(place: Place) -> None:
    """The line of a replay is the first of an empty history, with no blank line before it."""
    dead = await place.add(place.dead, id="a", history="")
    await place.store.call(scripts.replay(place.dead, place.inbox, [dead], "replayed"))
    assert (await place.entries(place.inbox))[0][b"history"] == b"replayed"


async def test_replay_counts_only_what_was_there(place: Place) -> None:
    """A dead letter that was replayed or purged before is passed over, so two replays at once move it once."""
    ids = [await place.add(place.dead, id=name, history="") for name in "ab"]
    call = scripts.replay(place.dead, place.inbox, [ids[0], b"1-1", ids[1]], "line")
    assert await place.store.call(call) == 2
    assert await place.store.call(call) == 0
    assert await place.names(place.inbox) == ["a", "b"]


# pending


async def test_pending_lists_what_one_consumer_holds_page_by_page(place: Place) -> None:
    """Each page begins behind the one before; what others hold, and what is done, is on none."""
    await place.group(place.events)
    ids = [await place.add(place.events, id=f"n{number}") for number in range(BATCH + 2)]
    await place.read(place.events)
    await place.add(place.events, id="other's")
    await place.read(place.events, "c2")
    await place.client.xack(place.events, GROUP, ids[0])
    first = await place.store.call(scripts.pending(place.events, GROUP, "c1", "-"))
    assert first == ids[1 : BATCH + 1]
    rest = await place.store.call(scripts.pending(place.events, GROUP, "c1", f"({first[-1].decode()}"))
    assert rest == ids[BATCH + 1 :]
    assert await place.store.call(scripts.pending(place.events, GROUP, "c1", f"({rest[-1].decode()}")) == []


# forget


async def test_forget_removes_an_idle_consumer(place: Place) -> None:
    """A consumer that holds nothing is taken out of the group."""
    await place.group(place.events)
    await place.client.execute_command("XGROUP", "CREATECONSUMER", place.events, GROUP, "c1")
    assert await place.store.call(scripts.forget(place.events, GROUP, "c1")) == 0
    assert await place.group_consumers(place.events) == set()


async def test_forget_keeps_a_consumer_with_pending_work(place: Place) -> None:
    """A consumer that holds something stays, and so does what it holds."""
    await place.delivered(place.events, id="a")
    assert await place.store.call(scripts.forget(place.events, GROUP, "c1")) == 1
    assert await place.group_consumers(place.events) == {b"c1"}
    assert len(await place.pending(place.events)) == 1


async def test_forget_of_an_unknown_consumer_is_no_error(place: Place) -> None:
    """Forgetting twice is as good as once."""
    await place.group(place.events)
    assert await place.store.call(scripts.forget(place.events, GROUP, "nobody")) == 0


# all


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(scripts.__file__).parent.glob("*.lua")))
def test_every_script_names_its_arguments(name: str) -> None:
    """Each file begins with a comment that names KEYS, ARGV and the reply."""
    header = scripts.Script(name).source.decode().partition("\nlocal ")[0]
    assert "KEYS[1]" in header
    assert "ARGV[1]" in header
    assert "Reply" in header


async def test_a_missing_group_is_an_error(place: Place) -> None:
    """No script makes a group, or says that all is well where there is none."""
    await place.add(place.events, id="a")
    for call in (
        scripts.extend(place.events, GROUP, "c1", ["1-1"]),
        scripts.mark(place.events, GROUP, "c1", "1-1"),
        scripts.recover(place.events, place.inbox, GROUP, "c1", 0, LINE),
        scripts.forget(place.events, GROUP, "c1"),
        scripts.move(place.events, place.dead, GROUP, "c1", "1-1", ["id", "a"], inbox=False),
    ):
        with pytest.raises(StoreRefused):
            await place.store.call(call)
    assert json.loads(LINE) == {"line": 1}


async def test_what_is_parked_in_one_millisecond_comes_in_its_order(real_store: Store) -> None:
    """Retries parked together for as long are promoted oldest first, the tenth of a millisecond behind the ninth."""
    place = Place(real_store)
    await place.group(place.events)
    names = [f"n{number}" for number in range(400)]
    entries = [await place.add(place.events, id=name) for name in names]
    await place.read(place.events)
    await place.store.run(
        [
            scripts.schedule(
                place.events, place.parked, place.due, GROUP, "c1", entry, -1000, ["id", name], inbox=False
            )
            for entry, name in zip(entries, names, strict=True)
        ]
    )
    assert any(entry_id.endswith(b"-10") for entry_id, _ in await place.client.xrange(place.parked))
    while (await place.promote())[1] == 0:
        pass
    assert await place.names(place.inbox) == names


# extent


async def test_extent_says_where_a_stream_ends(place: Place) -> None:
    """The last entry of a span, and how many there are of all times."""
    for entry_id in ("1-0", "2-0", "3-0"):
        await place.client.xadd(place.dead, {"id": "a"}, id=entry_id)
    assert await place.store.call(scripts.extent(place.dead, "-", "+")) == [b"3-0", 3]
    assert await place.store.call(scripts.extent(place.dead, "1", "2")) == [b"2-0", 3]
    assert await place.store.call(scripts.extent(place.dead, "4", "+")) == [b"", 3]
    assert await place.store.call(scripts.extent(place.inbox, "-", "+")) == [b"", 0]


# restore


async def test_restore_puts_back_each_once(place: Place) -> None:
    """What is new is put back and remembered; what is there, or was put back before, is not."""
    restored = place.store.keys.restored(STREAM, GROUP)
    letters = [["1-0", "a", 4, "id", "a", "raw", "x"], ["2-0", "", 2, "raw", "y"]]

    async def restore(*, again: bool = False, dry: bool = False) -> Any:
        return await place.store.call(scripts.restore(place.dead, restored, letters, WINDOW, again=again, dry=dry))

    assert await restore(dry=True) == [b"new", b"new"]
    assert await restore() == [b"new", b"new"]
    assert await place.entries(place.dead) == [{b"id": b"a", b"raw": b"x"}, {b"raw": b"y"}]
    assert await restore(again=True) == [b"there", b"there"]
    await place.client.delete(place.dead)
    assert await restore() == [b"before", b"before"]
    assert await restore(again=True) == [b"new", b"new"]
    assert 0 < await place.client.pttl(restored) <= WINDOW


async def test_replay_leaves_no_trace_of_an_import(place: Place) -> None:
    """Where a dead letter was imported from is no business of the inbox."""
    dead = await place.add(place.dead, id="a", origin="1-0", history="")
    await place.store.call(scripts.replay(place.dead, place.inbox, [dead], LINE))
    assert b"origin" not in (await place.entries(place.inbox))[0]
