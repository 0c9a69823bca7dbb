"""The breakers of a worker: asks the store of each, and judges by itself while that is away."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from random import Random

from router.store.breakers import Circuit, Position
from router.store.client import Store
from router.telemetry import logs
from workers.breakers.alone import Alone
from workers.breakers.call import Ticket
from workers.breakers.terms import Terms
from workers.limits.asking import Asking
from workers.limits.current import Current
from workers.limits.home import Home
from workers.metrics import WorkerMetrics

__all__ = ["Breakers", "breaking", "current"]

_SPREAD = 6.0
"""Intervals over which those that wait come back, at most."""
_PART = 4.0
"""Else they come back over this part of the time for which the target has been down."""
_OUTCOMES = ("went", "waited", "failed")

_log = logs.get("breaker")
_current: Current["Breakers"] = Current("breakers")


class Breakers:
    """All breakers in one worker; without a store it judges by itself."""

    def __init__(
        self,
        store: Store | None,
        metrics: WorkerMetrics | None = None,
        *,
        random: Random | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self._monotonic = monotonic
        self._asking = Asking(store, "breakers_alone", clock, monotonic)
        self._alone: dict[str, Alone] = {}
        self.home = Home()

    async def take(self, terms: Terms) -> Ticket | float:
        """Return what a call may go with, or in how many seconds its event is to come again."""
        alone = self._of(terms)
        if (circuit := self._circuit(terms)) is not None and (reply := await self._asking.call(circuit.take())):
            position = Position.of(reply)
            alone.follow(position, self._monotonic())
            await self._note(terms)
            turn = position.turn
        else:
            position, turn = alone.take(self._monotonic()), -1
        self._count(terms, "went" if position.goes else "waited")
        return Ticket(turn, alone.turn) if position.goes else self._delay(terms, position)

    async def hear(self, terms: Terms, ticket: Ticket, fault: str) -> float | None:
        """Take note of how a call ended, `fault` being empty where it succeeded.

        Returns in how many seconds its event is to come again; None where the breaker has no part in that.
        """
        position = await self._heard(terms, ticket, fault)
        if position.turned:
            _say(terms, position, fault)
        if not fault:
            return None
        self._count(terms, "failed")
        # Of an earlier turn: the call went while the target was down, whatever it is now.
        return self._delay(terms, position) if position.open or not position.goes else None

    async def _heard(self, terms: Terms, ticket: Ticket, fault: str) -> Position:
        alone, circuit = self._of(terms), self._circuit(terms)
        if circuit is not None:
            call = circuit.failed(ticket.turn, fault) if fault else circuit.succeeded(ticket.turn)
            if reply := await self._asking.call(call):
                position = Position.of(reply)
                alone.follow(position, self._monotonic())
                return position
        now = self._monotonic()
        return alone.failed(ticket.alone, now) if fault else alone.succeeded(ticket.alone, now)

    def _delay(self, terms: Terms, position: Position) -> float:
        """Return when an event is to come again: scattered, so that not all come at once when the target is back."""
        spread = min(_SPREAD * terms.interval, max(terms.interval, position.open_for / _PART))
        return position.wait + self._random.uniform(0, spread)

    async def _note(self, terms: Terms) -> None:
        if self._store is not None:
            await self._asking.note(self._store.keys.breakers(), terms.name)

    def _circuit(self, terms: Terms) -> Circuit | None:
        return None if self._store is None else Circuit(self._store.keys, *terms)

    def _of(self, terms: Terms) -> Alone:
        if terms.name not in self._alone:
            self._alone[terms.name] = Alone(terms.failures, terms.interval)
            if self._metrics is not None:
                for outcome in _OUTCOMES:  # of a counter that appears with its first count no increase is seen
                    self._metrics.breaker_calls.labels(terms.name, outcome)
        return self._alone[terms.name]

    def _count(self, terms: Terms, outcome: str) -> None:
        if self._metrics is not None:
            self._metrics.breaker_calls.labels(terms.name, outcome).inc()


def _say(terms: Terms, position: Position, fault: str) -> None:
    if position.open:
        _log.warning("breaker_opened", breaker=terms.name, failures=position.failures, reason=fault)
    else:
        _log.info("breaker_closed", breaker=terms.name)


def current() -> Breakers | None:
    """Return the breakers of the worker in which this runs."""
    return _current.get()


def breaking(breakers: Breakers) -> AbstractAsyncContextManager[Breakers]:
    """Have breakers ask these, in all that is started meanwhile."""
    return _current.having(breakers)
