"""The scripts by which operators look at the keys of a keyed subscription and change them."""

from collections.abc import Sequence
from typing import Any

import pytest

from router.store.client import Store
from router.store.keys import LINES
from router.store.lines import Claim, Item, Lines, Merging

STREAM = "visma-net-financial/customer_changed"
LEASE = 60_000


def ref_of(number: int, kind: str = "o") -> bytes:
    """Return the ref of the event of a number, which says its place."""
    return f"{number:013}-{0:06}{kind}/{STREAM}".encode()


class Bench:
    """The lines of a subscription, filled by the one worker that may."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lines = Lines(store.keys, "sub", Merging(0, 0, 100))
        self._number = 0
        self._tokens = 0

    async def add(self, key: str, count: int = 1, *, kind: str = "o", company: str = "1") -> list[bytes]:
        """Bring events of a key; return their refs."""
        await self.store.call(self.lines.lead("mover", LEASE))
        numbers = range(self._number + 1, self._number + count + 1)
        self._number += count
        items = [
            Item("source", f"{number:020}", key.encode(), ref_of(number, kind), f"{company}\0{number}".encode())
            for number in numbers
        ]
        assert await self.store.call(self.lines.add("mover", LEASE, items)) == count
        return [item.ref for item in items]

    async def claim(self, room: int = 100) -> list[tuple[Claim, bytes]]:
        """Claim as a worker does; return the claims and the refs."""
        self._tokens += 1
        token = f"w/{self._tokens}"
        rows, *_ = await self.store.call(self.lines.claim(token, room, LEASE))
        return [(Claim(row[0], token), row[1]) for row in rows]

    async def settle(self, claim: Claim, *refs: bytes, hold: bool = False) -> Any:
        """End events of a key."""
        return await self.store.call(self.lines.settle([(claim, refs)], hold=hold))

    async def seize(self, key: str, ref: bytes) -> Any:
        """Claim a key as an operator does."""
        return await self.store.call(self.lines.seize(Claim(key.encode(), "op"), ref, LEASE))

    async def state(self, key: str) -> str:
        """Return the state of a key."""
        ((_, _, state, *_),) = await self.store.call(self.lines.look([key.encode()], 1))
        return str(state.decode())

    async def hold(self, key: str) -> None:
        """Have a key held, by a dead letter of its first event."""
        ((claim, ref),) = await self.claim()
        assert claim.key == key.encode()
        assert await self.settle(claim, ref, hold=True) == []

    async def places(self, key: str) -> list[str]:
        """Return all the sets that have a key."""
        keys, client = dict(zip(LINES, self.lines.keys, strict=True)), self.store.client
        sets = ("due", "quiet", "running", "held")
        found = [name for name in sets if await client.zscore(keys[name], key) is not None]
        ready = await self.store.client.zrange(keys["ready"], 0, -1)
        return found + ["ready" for member in ready if member.endswith(b"\0" + key.encode())]


@pytest.fixture
def bench(store: Store) -> Bench:
    """Return empty lines on each kind of store."""
    return Bench(store)


async def _left(bench: Bench, names: Sequence[str]) -> list[str]:
    keys = dict(zip(LINES, bench.lines.keys, strict=True))
    return [name for name in names if await bench.store.client.exists(keys[name])]


async def test_a_held_key_goes_on_once_it_is_released(bench: Bench) -> None:
    """What a dead letter holds up waits until an operator releases the key; then the next of its events is handled."""
    _, second = await bench.add("a", 2)
    await bench.hold("a")
    assert await bench.state("a") == "held"
    assert await bench.claim() == []
    assert await bench.store.call(bench.lines.release([b"a", b"other"])) == 1
    assert await bench.places("a") == ["ready"]
    assert [ref for _, ref in await bench.claim()] == [second]
    assert await bench.store.call(bench.lines.release([b"a"])) == 0


async def test_an_empty_key_that_was_held_leaves_nothing(bench: Bench) -> None:
    """A key that is held without events is forgotten when it is released."""
    await bench.add("a")
    await bench.hold("a")
    assert await bench.store.call(bench.lines.release([b"a"])) == 1
    assert await bench.places("a") == []
    assert await _left(bench, ["lines", "bodies", "ready", "running", "owners", "held", "length"]) == []


@pytest.mark.parametrize("state", ["ready", "scheduled", "held", "quiet"])
async def test_an_operator_may_end_the_first_event_of_a_key_in_any_state(bench: Bench, state: str) -> None:
    """The first event is claimed wherever its key is, ended by the steps of a worker, and the next one goes on."""
    if state == "quiet":
        bench.lines = Lines(bench.store.keys, "sub", Merging(LEASE, LEASE, 1))
    refs = await bench.add("a", 3, kind="m" if state == "quiet" else "o")
    if state == "quiet":
        await bench.store.client.zadd(bench.lines.keys[LINES.index("quiet")], {"a": 10**13})
        await bench.store.client.delete(bench.lines.keys[LINES.index("ready")])
    if state == "scheduled":
        ((claim, ref),) = await bench.claim()
        await bench.store.call(bench.lines.retry(claim, ref, b"1\0body", LEASE))
    if state == "held":
        await bench.hold("a")
        refs = refs[1:]
    assert await bench.state("a") == state
    ref, _, others = await bench.seize("a", refs[0])
    assert (ref, others) == (refs[0], [])
    assert await bench.places("a") == (["running", "held"] if state == "held" else ["running"])
    claim = Claim(b"a", "op")
    assert await bench.store.call(bench.lines.doom(claim, ref, b"1\0dead")) == 1
    assert await bench.settle(claim, ref) == []
    assert await bench.places("a") == (["held"] if state == "held" else ["ready"])
    await bench.store.call(bench.lines.release([b"a"]))
    assert [ref for _, ref in await bench.claim()][:1] == refs[1:2]


async def test_what_would_be_merged_is_seized_with_it(bench: Bench) -> None:
    """An operator ends what the next delivery would stand for, and nothing that may not be merged."""
    refs = await bench.add("a", 3, kind="m")
    (last,) = await bench.add("a", kind="o")
    ref, _, others = await bench.seize("a", refs[0])
    assert (ref, others[::2]) == (refs[2], refs[:2])
    assert await bench.settle(Claim(b"a", "op"), *refs) == []
    assert [ref for _, ref in await bench.claim()] == [last]


async def test_another_first_event_than_was_seen_is_left_alone(bench: Bench) -> None:
    """Where the event that an operator saw is done meanwhile, the next one is not ended in its place."""
    first, _ = await bench.add("a", 2)
    ((claim, ref),) = await bench.claim()
    assert await bench.seize("a", first) == -1
    await bench.settle(claim, ref)
    assert await bench.seize("a", first) == 0
    assert await bench.places("a") == ["ready"]
    assert await bench.seize("nobody", first) == 0


async def test_what_an_operator_left_unfinished_goes_on(bench: Bench) -> None:
    """A key whose operator died is taken back; one that was held is held again, and nothing of it is handled."""
    refs = await bench.add("a", 2)
    await bench.hold("a")
    await bench.seize("a", refs[1])
    await bench.store.call(bench.lines.abandon("op"))
    assert await bench.places("a") == ["held"]
    assert await bench.claim() == []


async def test_a_released_key_waits_for_who_ends_its_event(bench: Bench) -> None:
    """A key is released while an operator ends its first event: it goes on when that is done, and not before."""
    refs = await bench.add("a", 3)
    await bench.hold("a")
    await bench.seize("a", refs[1])
    await bench.store.call(bench.lines.release([b"a"]))
    assert await bench.places("a") == ["running"]
    await bench.settle(Claim(b"a", "op"), refs[1])
    assert [ref for _, ref in await bench.claim()] == refs[2:]


async def test_a_company_is_stopped_and_resumed(bench: Bench) -> None:
    """Nothing of a paused company is handled, the others go on, and all of it does once the company is resumed."""
    await bench.add("a", company="1")
    await bench.add("b", company="2")
    _since, until = await bench.store.call(bench.lines.stop(b"1", 0))
    assert until == b"inf"
    assert [claim.key for claim, _ in await bench.claim()] == [b"b"]
    await bench.add("c", company="1")
    assert await bench.claim() == []
    assert await bench.store.call(bench.lines.resume(b"1")) == b"inf"
    assert sorted(claim.key for claim, _ in await bench.claim()) == [b"a", b"c"]
    assert await bench.store.call(bench.lines.resume(b"1")) is None


async def test_a_company_is_stopped_for_a_while(bench: Bench) -> None:
    """A pause of a company with an end says when that is, and workers know how long to wait for it."""
    await bench.add("a", company="1")
    since, until = await bench.store.call(bench.lines.stop(b"1", LEASE))
    rows, wait, *_ = await bench.store.call(bench.lines.claim("w/x", 10, LEASE))
    assert rows == []
    assert 0 < wait <= LEASE
    assert int(until) - int(since) == LEASE


async def test_keys_are_named_in_pages(bench: Bench) -> None:
    """All keys that have events are named once each, whatever their names begin with, as many at once as asked for."""
    names = ["", "a", "a/b", "ab", "b"]
    for name in names:
        await bench.add(name, 2)
    found: list[bytes] = []
    after: bytes | None = None
    while page := await bench.store.call(bench.lines.names(after, 2)):
        assert len(page) <= 2
        found += page
        after = page[-1]
    assert [name.decode() for name in found] == names


async def test_what_is_told_is_bounded_by_its_size(bench: Bench) -> None:
    """Of many keys or events with large bodies as many are told as fit, and one at the least."""
    refs = await bench.add("a", 3)
    await bench.add("b")
    assert [row[0] for row in await bench.store.call(bench.lines.look([b"a", b"b"], 1))] == [b"a"]
    rows = await bench.store.call(bench.lines.look([b"a", b"b", b"none"], 1000))
    assert [(row[0], row[1], row[2]) for row in rows] == [(b"a", 3, b"ready"), (b"b", 1, b"ready"), (b"none", 0, b"")]
    running, *line = await bench.store.call(bench.lines.line(b"a", b"", 100, 1))
    assert (running, line[::2]) == (b"", refs[:1])
    running, *line = await bench.store.call(bench.lines.line(b"a", refs[0], 100, 1000))
    assert (running, line[::2]) == (b"", refs[1:])


async def test_who_only_looks_leaves_nothing_behind(bench: Bench) -> None:
    """A look at a subscription that has no lines, as each command takes, does not make it one that has."""
    lines = bench.lines
    looks = [lines.names(None, 1), lines.look([b"a"], 1), lines.line(b"a", b"", 1, 1), lines.tally(), lines.figures(1)]
    assert not any(isinstance(reply, Exception) for reply in await bench.store.run(looks))
    assert await bench.store.client.exists(*lines.keys) == 0
