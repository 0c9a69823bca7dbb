"""One forward: what is done with each of its events."""

import time
from collections.abc import Callable, Mapping, Sequence
from random import Random

from config.forward import ForwardSettings
from router.cloudevents import InvalidCloudEvent
from workers.breakers import Breaker, Call
from workers.delivery import Delivery
from workers.forward.answer import answer_text
from workers.forward.deferring import Deferring
from workers.forward.gone import Goner
from workers.forward.making import breaker_of, limit_of, target_of
from workers.forward.message import Message, message
from workers.forward.metrics import ForwardMetrics
from workers.forward.notebook import Notebook
from workers.forward.receiver import Receiver
from workers.forward.verdict import Gone, kind_of, verdict
from workers.limits.limit import Limit
from workers.outcomes import DeadLetter, Defer
from workers.outgoing import AddressRefused, Exchange, OutgoingError, TimedOut, signed

__all__ = ["Forward"]

_UNAVAILABLE = 503


class Forward:
    """Posts events to one receiver; `take` opens it, and changes it while events are under way.

    random: spreads what was put off. traceparent: returns the context of the trace that runs, empty for none. clock in
    epoch seconds, monotonic in seconds.
    """

    def __init__(
        self,
        goner: Goner,
        notebook: Notebook,
        metrics: ForwardMetrics,
        *,
        random: Random | None = None,
        traceparent: Callable[[], str] = str,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._goner = goner
        self._notebook = notebook
        self._metrics = metrics
        self._traceparent = traceparent
        self._clock = clock
        self._monotonic = monotonic
        self._receiver = Receiver()
        self._deferring = Deferring(random or Random(), clock, monotonic)  # noqa: S311 - jitter is no secret
        self.settings = ForwardSettings()
        self._secrets: Sequence[str] = ()
        self._headers: dict[str, str] = {}
        self._limit: Limit | None = None
        self._breaker: Breaker | None = None

    async def take(self, settings: ForwardSettings) -> None:
        """Post as these settings say from now on; raises ConfigError, and changes nothing, where that cannot be."""
        limit, breaker = limit_of(settings), breaker_of(settings)
        await self._receiver.take(target_of(settings))
        self.settings, self._limit, self._breaker = settings, limit, breaker
        self._secrets = [secret.get_secret_value() for secret in settings.secrets]
        self._headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._deferring.forget()
        self._notebook.begin(settings)
        self._metrics.show(settings.name)

    async def aclose(self) -> None:
        """End the connections."""
        await self._receiver.aclose()

    async def forget(self) -> None:
        """Take note that the settings name it no more: what was to be said of it is over."""
        await self._goner.over()

    async def handle(self, delivery: Delivery) -> BaseException | None:
        """Post an event; return what becomes of it, None where the receiver has taken it. Raises Defer."""
        await self._deferring.wait()
        try:
            sent = message(delivery, self.settings.format, self._traceparent())
        except InvalidCloudEvent as error:
            return DeadLetter(str(error))
        if self._limit is not None:
            await self._limit.acquire(delivery)
        try:
            return await self._guarded(delivery, sent)
        except OutgoingError as error:
            return error.with_traceback(None)

    async def _guarded(self, delivery: Delivery, sent: Message) -> BaseException | None:
        """Post within the breaker; raises OutgoingError, Defer."""
        if self._breaker is None:
            return await self._outcome(delivery, sent, None)
        async with self._breaker as call:
            return await self._outcome(delivery, sent, call)

    async def _outcome(self, delivery: Delivery, sent: Message, call: Call | None) -> BaseException | None:
        """Post, and see to what the answer asks for; raises what says nothing of whether the receiver is up."""
        signature = signed(self._secrets, sent.id, int(self._clock()), sent.body)
        exchange = await self._post(delivery, sent.body, {**self._headers, **sent.headers, **signature})
        status, unsaid = exchange.status, (*self._secrets, *self._headers.values(), *signatures(signature))
        found = verdict(exchange, answer_text(exchange.answer, unsaid))
        if isinstance(found, Gone):
            await self._goner.gone(self.settings.host)
            raise found
        if isinstance(found, Defer):
            raise self._later(status, found)
        self._deferring.ended()
        self._notebook.defer(self.settings.name, self._deferring.deferral)
        if call is not None:
            call.answered(status)
        if found is None:
            await self._goner.came_back()
        return found

    async def _post(self, delivery: Delivery, body: bytes, headers: dict[str, str]) -> Exchange:
        began, limit = self._monotonic(), self._limit
        answer, said, status = "", dict[str, str](), 0
        try:
            exchange = await self._receiver.post(body, headers)
            answer, said, status = kind_of(exchange.status), dict(exchange.headers), exchange.status
        except OutgoingError as error:
            answer = _kind_of(error)
            raise
        finally:
            if answer:
                self._metrics.answers.labels(self.settings.name, answer).inc()
                self._notebook.note(self.settings.name, str(status or answer), self._monotonic() - began)
            if limit is not None:
                await limit.learn(delivery, said, status)
        return exchange

    def _later(self, status: int, found: Defer) -> Defer:
        """Put off this event, and those that come meanwhile: where there is a limit, that holds them back at 429."""
        if status == _UNAVAILABLE or self._limit is None or self._limit.per is None:
            later = self._deferring.begin(found, holds=status == _UNAVAILABLE or self._limit is None)
            self._notebook.defer(self.settings.name, self._deferring.deferral)
            return later
        return self._deferring.spread(found)


def signatures(headers: Mapping[str, str]) -> list[str]:
    """Return the signatures of a request, each alone."""
    return [signature.partition(",")[2] for signature in headers["webhook-signature"].split()]


def _kind_of(error: OutgoingError) -> str:
    """Return what an exchange without an answer is counted as."""
    if isinstance(error, AddressRefused):
        return "refused"
    return "timeout" if isinstance(error, TimedOut) else "unreachable"
