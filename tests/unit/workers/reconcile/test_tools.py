"""What the sweeps of a process share: requests that wait, and say so."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from workers.erp.errors import ErpBusy, ErpUnavailable
from workers.outcomes import Defer
from workers.reconcile.metrics import ReconcileMetrics
from workers.reconcile.tools import Tools
from workers.record import Record


class _Asking:
    """Tools at a time of their own, that keep what they say and for how long they sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.said: list[tuple[str, str]] = []
        self.slept: list[float] = []
        unused = cast("Any", None)
        metrics = ReconcileMetrics(CollectorRegistry())
        self.tools = Tools(unused, unused, metrics, lambda: self.now, self._sleep, lambda *news: self.said.append(news))

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def ask(self, *errors: Exception) -> Record:
        """Ask for what fails with these errors first."""
        left = list(errors)

        async def request() -> Record:
            if left:
                raise left.pop(0)
            return Record(200, fetched_at=datetime.now(UTC))

        return await self.tools.ask(request, company="t1/7")


async def test_a_wait_for_the_quota_is_said() -> None:
    """A request waits for the quota as long as that asks for, and says for how long and why."""
    asking = _Asking()
    assert (await asking.ask(ErpBusy("429, the quota is used up", 3000), Defer(60, "the limit erp is used up"))).status
    assert asking.slept == [3000, 60]
    assert [words for _, words in asking.said] == [
        "ErpBusy: 429, the quota is used up; goes on in 3000 s",
        "Defer: the limit erp is used up; goes on in 60 s",
    ]


async def test_an_erp_that_does_not_answer_is_given_up_after_a_while() -> None:
    """A request is made four times in all, each further one announced; then its error is raised."""
    asking = _Asking()
    with pytest.raises(ErpUnavailable, match="no answer"):
        await asking.ask(*[ErpUnavailable("no answer")] * 4)
    assert asking.slept == [2.0, 8.0, 30.0]
    assert len(asking.said) == 3


async def test_how_far_a_sweep_is() -> None:
    """Now and then it is said how many requests were made."""
    asking = _Asking()
    for _ in range(30):
        await asking.ask()
        asking.now += 1.0
    assert asking.said == [("t1/7", "11 requests so far"), ("t1/7", "21 requests so far")]
