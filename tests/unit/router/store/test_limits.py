"""The script of shared quotas, on each kind of store."""

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.stores import fake_store

from router.store.client import Store
from router.store.limits import Heard, Quota, Standing

HOUR = 3600.0
LIMIT = 10


class Asking:
    """Asks for calls of one quota, as workers do."""

    def __init__(self, store: Store, rate: int | None = None, window: float = HOUR) -> None:
        self.store = store
        self.quota = Quota(store.keys, "visma", "t/7", window, rate)

    async def take(self, *, reserve: float = 0.0, spent: int = 0, worker: str = "w1") -> Standing:
        """Ask for a call."""
        return Standing.of(await self.store.call(self.quota.take(worker, spent, reserve)))

    async def learn(self, left: int | None = None, **heard: object) -> Standing:
        """Take note of an answer."""
        said = Heard(**{"limit": None if left is None else LIMIT, "left": left, "ends_in": HOUR / 2, **heard})  # type: ignore[arg-type]
        return Standing.of(await self.store.call(self.quota.learn("w1", 0, said)))

    async def set(self, **fields: int) -> None:
        """Write fields of the quota."""
        await self.store.client.hset(self.quota.keys[0], mapping={name: str(value) for name, value in fields.items()})


@pytest.fixture
def learnt(store: Store) -> Asking:
    """Return who asks for a quota that is learnt."""
    return Asking(store)


@pytest.fixture
def fixed(store: Store) -> Asking:
    """Return who asks for one of three calls an hour."""
    return Asking(store, rate=3)


async def test_a_fixed_rate(fixed: Asking) -> None:
    """So many calls go in a window, over all workers; the next waits for its end, and then all of them go again."""
    assert [(await fixed.take(worker=f"w{n}")).granted for n in range(3)] == [True] * 3
    refused = await fixed.take()
    assert not refused.granted
    assert refused.wait == pytest.approx(HOUR, abs=60)
    assert (refused.limit, refused.left, refused.workers) == (3, 0, 3)
    await fixed.set(reset=1)
    assert [(await fixed.take()).granted for _ in range(4)] == [True, True, True, False]


async def test_a_rate_that_is_changed(store: Store, fixed: Asking) -> None:
    """A new rate counts at once, in the same window."""
    for _ in range(3):
        await fixed.take()
    more = Asking(store, rate=5)
    assert [(await more.take()).granted for _ in range(3)] == [True, True, False]
    assert not (await fixed.take()).granted


async def test_one_call_finds_out(learnt: Asking) -> None:
    """Where nothing is known one call goes, and the others wait for its answer; then what it said is what there is."""
    assert (await learnt.take()).granted
    waiting = await learnt.take()
    assert (waiting.granted, waiting.wait) == (False, None)
    await learnt.learn(2)
    assert [(await learnt.take()).granted for _ in range(3)] == [True, True, False]
    assert (await learnt.take()).wait == pytest.approx(HOUR / 2, abs=60)


async def test_who_finds_out_and_is_gone(learnt: Asking) -> None:
    """An answer that does not come is waited for half a minute at most, and after a failure the next finds out."""
    await learnt.take()
    await learnt.set(probe=1)
    assert (await learnt.take()).granted
    await learnt.learn(answered=False)
    assert (await learnt.take()).granted


async def test_answers_without_headers(learnt: Asking) -> None:
    """Where answers say nothing, nothing is held back until a call is refused."""
    await learnt.take()
    await learnt.learn()
    assert [(await learnt.take()).granted for _ in range(20)] == [True] * 20
    await learnt.learn(closed=30.0)
    assert (await learnt.take()).wait == pytest.approx(30, abs=5)


async def test_a_refusal_closes_for_all(learnt: Asking) -> None:
    """After 429 nobody calls until it says so; then one call finds out what there is."""
    await learnt.take()
    await learnt.learn(8)
    await learnt.take()
    await learnt.learn(0, closed=30.0)
    refused = await learnt.take(worker="w2")
    assert not refused.granted
    assert refused.wait == pytest.approx(30, abs=5)
    await learnt.set(closed=1)
    assert [(await learnt.take()).granted for _ in range(2)] == [True, False]


async def test_a_refusal_of_a_fixed_rate(fixed: Asking) -> None:
    """Then too nobody calls for so long, and goes on in the window."""
    await fixed.take()
    await fixed.learn(closed=30.0)
    assert (await fixed.take()).wait == pytest.approx(30, abs=5)
    await fixed.set(closed=1)
    assert (await fixed.take()).left == 1


async def test_headers_only_lower_within_a_window(learnt: Asking) -> None:
    """What others used up counts at once; a header that says more than is known does not."""
    await learnt.take()
    await learnt.learn(9)
    for _ in range(2):
        await learnt.take()
    assert (await learnt.learn(4)).left == 3  # one call is not answered yet, and not counted there perhaps
    assert (await learnt.learn(9)).left == 3


async def test_an_answer_of_the_window_before(learnt: Asking) -> None:
    """One that comes late, and speaks of a window that is over, lowers nothing."""
    await learnt.take()
    await learnt.learn(9)
    await learnt.take()
    assert (await learnt.learn(0, ends_in=1.0)).left == 8


async def test_a_reserve_is_left(learnt: Asking) -> None:
    """A part of the limit is left for others; who is more modest waits earlier."""
    await learnt.take()
    await learnt.learn(5)
    assert [(await learnt.take(reserve=0.3)).granted for _ in range(3)] == [True, True, False]
    assert (await learnt.take(reserve=0.2)).granted
    assert not (await learnt.take(reserve=0.2)).granted


async def test_what_went_without_the_store_counts(fixed: Asking) -> None:
    """Calls that a worker let go by itself are reported, and lower what is left."""
    await fixed.take()
    assert (await fixed.take(spent=2)).granted is False
    await fixed.set(reset=1)
    assert (await fixed.take(spent=1)).left == 1


async def test_answers_that_never_come_are_forgotten(learnt: Asking) -> None:
    """A call takes no longer than two minutes: what was not answered by then holds nothing back for ever."""
    await learnt.take()
    await learnt.learn(9)
    for _ in range(4):
        await learnt.take()
    await learnt.set(minute=1, reset=1)
    await learnt.take()
    assert (await learnt.learn(9)).left == 9


async def test_a_clock_that_is_set_back(learnt: Asking, fixed: Asking) -> None:
    """Nothing waits for longer than a window, whatever is written down."""
    await fixed.take()
    await fixed.set(reset=1 << 50, left=0)
    waited = (await fixed.take()).wait
    assert waited is not None
    assert waited <= HOUR
    await learnt.set(closed=1 << 50, reset=1 << 50)
    waited = (await learnt.take()).wait
    assert waited is not None
    assert waited <= HOUR


async def test_a_clock_that_is_set_back_by_an_hour_lengthens_no_window(learnt: Asking, fixed: Asking) -> None:
    """What ends in half a minute by the clock as it was ends in half a minute by the one that it is now."""
    ahead = round(time.time() * 1000) + 3_000_000
    await fixed.set(at=ahead, reset=ahead + 30_000, limit=3, left=0)
    assert (await fixed.take()).wait == pytest.approx(30, abs=1)
    other = Quota(learnt.store.keys, "visma", "t/8", HOUR, None)
    values = {"at": ahead, "closed": ahead + 20_000, "now0": 4, "out": 4, "minute": ahead // 60_000}
    await learnt.store.client.hset(other.keys[0], mapping=values)
    assert Standing.of(await learnt.store.call(other.take("w1", 0, 0.0))).wait == pytest.approx(20, abs=1)
    assert int(await learnt.store.client.hget(other.keys[0], "out")) == 4  # calls under way are not forgotten


async def test_one_subject_delays_no_other(store: Store) -> None:
    """Each has a quota of its own."""
    for subject in ("7", "8"):
        quota = Quota(store.keys, "visma", subject, HOUR, 1)
        assert Standing.of(await store.call(quota.take("w1", 0, 0.0))).granted
        assert not Standing.of(await store.call(quota.take("w1", 0, 0.0))).granted


async def test_what_is_not_used_any_more_goes(store: Store, fixed: Asking) -> None:
    """Every key has an end."""
    await fixed.take()
    for key in fixed.quota.keys:
        assert 0 < await store.client.pttl(key) <= (HOUR + 86_400) * 1000


class Model:
    """The other side: it counts the calls that reach it in a window, and refuses what is too many."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = limit
        self.refused = 0
        self.on_their_way = 0
        self.answers: list[Heard] = []

    def handle(self) -> None:
        """Handle one call that is on its way."""
        self.on_their_way -= 1
        self.refused += not self.left
        closed = None if self.left else HOUR / 2
        self.left = max(0, self.left - 1)
        self.answers.append(Heard(self.limit, self.left, HOUR / 2, closed))

    def pass_window(self) -> None:
        """Begin a window; what is not heard yet speaks of the one before."""
        self.left = self.limit
        self.answers = [heard._replace(ends_in=1.0) for heard in self.answers]


VERBS = ["take"] * 5 + ["handle"] * 4 + ["answer"] * 4 + ["lose", "forget", "window"]
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 99)), min_size=20, max_size=80)
WITH_OTHERS = st.lists(st.tuples(st.sampled_from([*VERBS, "others"]), st.integers(0, 99)), min_size=20, max_size=80)

Steps = list[tuple[str, int]]
Window = tuple[int, int]
"""Which one it is, and when it ends as far as that is known."""


async def _play(model: Model, steps: Steps, check: Callable[[int, Window], None]) -> None:
    """Play calls that go, get lost, are handled and answered in any order, over several windows.

    `check` gets what is left of the window, and what names that, wherever anything is known of it.
    """
    window = 0
    async with fake_store() as store:
        asking = Asking(store)
        for verb, number in steps:
            if verb == "take":
                model.on_their_way += (await asking.take()).granted
            elif verb == "handle" and model.on_their_way:
                model.handle()
            elif verb == "lose" and model.on_their_way:
                model.on_their_way -= 1
            elif verb == "others":
                model.left = max(0, model.left - 1)
            elif verb == "window":
                model.pass_window()
                window += 1
                await asking.set(reset=1, closed=1, probe=1)
            elif verb in ("answer", "forget") and model.answers:
                heard = model.answers.pop(number % len(model.answers))
                if verb == "answer":
                    await store.call(asking.quota.learn("w1", 0, heard))
            fields = await store.client.hgetall(asking.quota.keys[0])
            if (reset := int(fields.get(b"reset", 0))) > 1:
                check(int(fields[b"left"]), (window, reset))  # two may end in the same millisecond


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 12), STEPS)
def test_the_estimate_is_never_above_the_truth(limit: int, steps: Steps) -> None:
    """Within a window no more calls can go than are left, in whatever order answers come or get lost.

    Where nobody else calls, one call is refused for each window at most: the one that finds out, behind those that were
    on their way when the window began.
    """
    model = Model(limit)

    def check(left: int, _window: Window) -> None:
        assert left <= model.left - model.on_their_way

    asyncio.run(_play(model, steps, check))
    assert model.refused <= sum(verb == "window" for verb, _ in steps)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 12), WITH_OTHERS)
def test_the_estimate_never_rises_within_a_window(limit: int, steps: Steps) -> None:
    """Whatever headers say, and whoever else uses the quota up, what is left in a window only becomes less."""
    before: dict[Window, int] = {}

    def check(left: int, window: Window) -> None:
        assert left <= before.get(window, limit)
        before[window] = left

    asyncio.run(_play(Model(limit), steps, check))
