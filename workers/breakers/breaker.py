"""A breaker as a user writes it: what handlers call is left alone while it is down, over all workers."""

import re
from collections.abc import Sequence
from contextvars import ContextVar
from types import TracebackType

from config.errors import ConfigError
from workers.breakers.breakers import Breakers, current
from workers.breakers.call import Call, Ticket
from workers.breakers.terms import Terms
from workers.breakers.verdict import Verdict, judged, reason_of
from workers.outcomes import BreakerOpen

__all__ = ["Breaker"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHORTEST = 0.01
_LONGEST = 3600.0
_entered: ContextVar[tuple[Call, ...]] = ContextVar("event-router-breakers", default=())


class Breaker:
    """The breaker of one target: `async with breaker:` around each call, in a plain function `with breaker:`.

    Entering raises BreakerOpen while the target is down. So does leaving, in place of the error, where a call failed
    and the breaker is open by now. The handler lets that pass: its event waits, and no attempt is used up.

    name: letters, digits, `.`, `_` and `-`; breakers of the same name are one, in all workers.
    failures: how many calls in a row have to fail before it opens.
    interval: seconds between two probes of a target that is down, over all workers.
    failed_by: further classes of errors that say that the target is down.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        interval: float = 10.0,
        failed_by: type[BaseException] | Sequence[type[BaseException]] = (),
    ) -> None:
        self.name = name
        self.failures = failures
        self.interval = interval
        self.failed_by = (failed_by,) if isinstance(failed_by, type) else tuple(failed_by)
        self._validate()
        self._alone = Breakers(None)

    def __repr__(self) -> str:
        return f"Breaker({self.name!r})"

    async def __aenter__(self) -> Call:
        """Return where a call may go now; raises BreakerOpen."""
        agent = self._agent
        return self._enter(await agent.home.here(lambda: agent.take(self._terms)))

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Take note of how the call ended; raises BreakerOpen where it failed and the target is down."""
        if (call := self._left()) is not None and (heard := self._heard(call, error)) is not None:
            agent = self._agent
            self._leave(await agent.home.here(lambda: agent.hear(self._terms, call.ticket, heard)), error)

    def __enter__(self) -> Call:
        """Do what `async with` does, in a handler that is a plain function."""
        agent = self._agent
        return self._enter(agent.home.in_thread(lambda: agent.take(self._terms)))

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Do what the end of `async with` does."""
        if (call := self._left()) is not None and (heard := self._heard(call, error)) is not None:
            agent = self._agent
            self._leave(agent.home.in_thread(lambda: agent.hear(self._terms, call.ticket, heard)), error)

    def deferral(self, seconds: float) -> BreakerOpen:
        """Return what defers the event of a call."""
        return BreakerOpen(seconds, f"{self.name} is down: its breaker is open")

    @property
    def _terms(self) -> Terms:
        return Terms(self.name, self.failures, self.interval)

    @property
    def _agent(self) -> Breakers:
        return current() or self._alone

    def _enter(self, asked: Ticket | float) -> Call:
        if isinstance(asked, float):
            raise self.deferral(asked)
        call = Call(self, asked)
        _entered.set((*_entered.get(), call))
        return call

    def _left(self) -> Call | None:
        """Return the call that ends here; None where it was entered in a context that is gone."""
        entered = _entered.get()
        call = next((call for call in reversed(entered) if call.owner is self), None)
        _entered.set(tuple(other for other in entered if other is not call))
        return call

    def _heard(self, call: Call, error: BaseException | None) -> str | None:
        """Return why a call failed, empty where it succeeded; None where it says nothing of the target."""
        verdict = judged(error, call.status, self.failed_by)
        if verdict is Verdict.UNKNOWN:
            return None
        return reason_of(error, call.status) if verdict is Verdict.DOWN else ""

    def _leave(self, seconds: float | None, error: BaseException | None) -> None:
        if seconds is not None:
            raise self.deferral(seconds) from error

    def _validate(self) -> None:
        if not _NAME.fullmatch(str(self.name)):
            raise ConfigError(f"{self.name!r} is no name of a breaker: use letters, digits, '.', '_' and '-'")
        if self.failures < 1 or self.failures % 1:
            raise ConfigError(f"Breaker({self.name!r}): failures is a number from 1, not {self.failures!r}")
        if not _SHORTEST <= self.interval <= _LONGEST:
            raise ConfigError(
                f"Breaker({self.name!r}): interval is in seconds, {_SHORTEST} to {_LONGEST:g}, not {self.interval!r}"
            )
        named: tuple[object, ...] = self.failed_by
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in named):
            raise ConfigError(f"Breaker({self.name!r}): failed_by names classes of errors, not {self.failed_by!r}")
