"""A breaker that asks the store now and then: what it saves, and that it opens and closes as any other."""

import pytest
from support.keyed_bench import Bench

from workers.breakers import Breaker, Breakers, breaking
from workers.breakers.eased import EasedBreaker
from workers.outcomes import BreakerOpen


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


async def called(breaker: Breaker, status: int = 200) -> None:
    """Call something that answers so."""
    async with breaker as call:
        call.answered(status)


async def asked(bench: Bench, name: str = "crm") -> float:
    """Return how many calls the breakers were asked for."""
    labels = {"breaker": name, "outcome": "went"}
    return bench.registry.get_sample_value("event_router_breaker_calls_total", labels) or 0.0


async def test_while_all_is_well_the_store_is_asked_now_and_then(bench: Bench) -> None:
    """Of a thousand calls within a moment one asks; after that moment the next one does."""
    clock = Clock()
    breaker = EasedBreaker("crm", monotonic=clock)
    async with breaking(Breakers(bench.store, bench.metrics)):
        for _ in range(1000):
            await called(breaker)
        assert await asked(bench) == 1
        clock.now += 1
        await called(breaker)
        assert await asked(bench) == 2


async def test_failures_in_a_row_open_it(bench: Bench) -> None:
    """Each failure counts, from the first on, and the last one of the row opens it; nothing goes after that."""
    breaker = EasedBreaker("crm", failures=3, interval=60, monotonic=Clock())
    async with breaking(Breakers(bench.store, bench.metrics)):
        for _ in range(5):
            await called(breaker)
        await called(breaker, 500)
        await called(breaker, 500)
        await called(breaker)  # the row begins anew
        await called(breaker, 500)
        await called(breaker, 500)
        with pytest.raises(BreakerOpen):
            await called(breaker, 500)
        with pytest.raises(BreakerOpen):
            await called(breaker)


async def test_what_another_worker_opened(bench: Bench) -> None:
    """It is heard of after a moment, or with the first call that fails."""
    clock = Clock()
    async with breaking(Breakers(bench.store, bench.metrics)):
        eased, other = (
            EasedBreaker("crm", failures=1, interval=60, monotonic=clock),
            Breaker("crm", failures=1, interval=60),
        )
        await called(eased)
        with pytest.raises(BreakerOpen):
            await called(other, 500)
        await called(eased)
        with pytest.raises(BreakerOpen):
            await called(eased, 500)
        with pytest.raises(BreakerOpen):
            await called(eased)


async def test_an_error_that_says_nothing(bench: Bench) -> None:
    """What says nothing of the target changes nothing, and passes."""
    breaker = EasedBreaker("crm", failures=1, monotonic=Clock())
    async with breaking(Breakers(bench.store, bench.metrics)):
        await called(breaker)
        with pytest.raises(KeyError):
            async with breaker:
                raise KeyError
        await called(breaker)
        assert await asked(bench) == 1
