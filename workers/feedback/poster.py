"""Posts notes to the ERP, beside the handling of events and never in its way.

The notes of each company wait in a line of their own, so that one without quota delays no other. All lines are bounded,
and what cannot be posted is counted: a note is for reading, and the event that it tells of is settled already.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

from config.errors import described
from router.events.event import Event
from router.tasks.backoff import Backoff
from router.tasks.ending import end
from router.tasks.outage import Reminder
from router.telemetry import logs
from workers.erp.clients import Clients
from workers.erp.errors import ErpError, ErpUnauthorized, ErpUnavailable, ErpUnreadable
from workers.erp.quota import Guard, Quota, Unguarded
from workers.feedback.metrics import FeedbackMetrics
from workers.feedback.note import Note
from workers.outcomes import Defer
from workers.record import Record

__all__ = ["Poster", "posting"]

_PATH = "v1/webhooknotificationfeedback"
_AT_ONCE = 4
"""Posts to one ERP at once: the other connections are left to handlers."""
_MOST = 10_000
"""Notes that wait, at most."""
_MOST_OF_ONE = 1_000
"""Notes of one company that wait, at most."""
_LAST_WORDS = 2.0
"""Seconds in which a worker that stops may still post."""
_LOCKED_OUT = 600.0
"""Seconds for which a note waits for a token: those of a tenant that never gives one must not fill the lines."""
_LONGEST_WAIT = 3600.0
_FIRST_PAUSE, _LAST_PAUSE = 1.0, 60.0

_log = logs.get("feedback")


class _Whose(NamedTuple):
    publisher: str
    tenant: str | None
    company: str | None


class Poster:
    """Posts notes with these clients, as `quota` and the breakers that `breaker` makes let it.

    The breakers are its own: what ails feedback must not keep handlers from an ERP that is well. `monotonic` is in
    seconds, `sleep` takes seconds.
    """

    def __init__(
        self,
        clients: Clients,
        quota: Quota,
        metrics: FeedbackMetrics,
        *,
        breaker: Callable[[str], Guard] | None = None,
        random: Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clients = clients
        self._quota = quota
        self._metrics = metrics
        self._breaker = breaker
        self._guards: dict[str, Guard] = {}
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self.monotonic = monotonic
        self._sleep = sleep
        self._lines: dict[_Whose, deque[Note]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._context = contextvars.copy_context()
        self._reminders: dict[str, Reminder] = {}
        self._waiting = 0
        self._stopped = False
        self.trouble: dict[str, str] = {}
        """Why the last note was not taken, by publisher; empty where the last one was."""
        metrics.watch(lambda: self._waiting)

    @property
    def warning(self) -> str:
        """What an operator should know; empty where there is nothing."""
        return "; ".join(f"feedback to {publisher} is refused: {why}" for publisher, why in self.trouble.items())

    def show(self, publisher: str) -> None:
        """Have the metrics tell of a publisher from now on."""
        self._metrics.show(publisher)

    def put(self, note: Note) -> None:
        """Take a note to be posted; returns at once, and never raises."""
        whose = _Whose(note.about.publisher, note.about.tenant_id, note.about.company_id)
        line = self._lines.get(whose)
        if self._stopped:
            self._count(note, "left")
        elif self._waiting >= _MOST or (line is not None and len(line) >= _MOST_OF_ONE):
            self._count(note, "overflow")
        else:
            self._waiting += 1
            if line is not None:
                line.append(note)
            else:
                self._lines[whose] = deque([note])
                task = asyncio.create_task(self._work(whose), context=self._context.copy())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def stop(self, seconds: float = _LAST_WORDS) -> None:
        """Post what can be posted within so many seconds; what is left is counted as such, and forgotten."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self._stopped = True
        await end(self._tasks)
        left = [note for line in self._lines.values() for note in line]
        self._lines.clear()
        self._waiting = 0
        for note in left:
            self._count(note, "left")
        if left:
            _log.warning("feedback_not_posted", notes=len(left))

    async def _work(self, whose: _Whose) -> None:
        """Post the notes of a line, one after the other, until there are none."""
        line = self._lines[whose]
        slots = self._slots.setdefault(whose.publisher, asyncio.Semaphore(_AT_ONCE))
        backoff = Backoff(self._random, _FIRST_PAUSE, _LAST_PAUSE)
        while line:
            async with slots:
                outcome = await self._try(line[0])
            if isinstance(outcome, str):
                self._waiting -= 1
                self._count(line.popleft(), outcome)
                backoff.reset()
            elif outcome is None:
                line.rotate(-1)  # it may be this note that the ERP breaks at: the others need not wait for it
                await self._sleep(backoff.next())
            else:
                await self._sleep(outcome)
        del self._lines[whose]

    async def _try(self, note: Note) -> str | float | None:
        """Post a note; return what became of it, the seconds to wait for, or None to try again a little later."""
        if self.monotonic() >= note.until:
            return "late"
        try:
            erp = self._clients.for_event(note.about, self._quota, self._guard(note.about.publisher))
            _check(await erp.post(_PATH, note.body()))
        except Defer as error:
            return min(max(error.delay, 0.1), _LONGEST_WAIT)
        except (ErpUnavailable, MemoryError) as error:
            self._remind(note, error)
            return None
        except ErpError as error:
            self.trouble[note.about.publisher] = str(error)
            self._remind(note, error)
            return None if self._is_locked_out(note, error) else "refused"
        except Exception as error:  # noqa: BLE001 - the notes behind it go on
            self._remind(note, error)
            return "failed"
        self.trouble.pop(note.about.publisher, None)
        self._reminder(note.about).over()
        return "posted"

    def _is_locked_out(self, note: Note, error: ErpError) -> bool:
        """Tell whether it is the client that was refused, and not this note: that may be mended in a few minutes."""
        passing = isinstance(error, ErpUnauthorized | ErpUnreadable)
        return passing and self.monotonic() < note.made + _LOCKED_OUT

    def _guard(self, publisher: str) -> Guard:
        if publisher not in self._guards:
            self._guards[publisher] = self._breaker(f"erp.{publisher}.feedback") if self._breaker else Unguarded()
        return self._guards[publisher]

    def _count(self, note: Note, outcome: str) -> None:
        self._metrics.notes.labels(note.about.publisher, outcome).inc()

    def _remind(self, note: Note, error: Exception) -> None:
        """Log, once a minute while it lasts, why notes are not taken."""
        if self._reminder(note.about).is_due():
            publisher, waiting = note.about.publisher, self._waiting
            _log.warning("feedback_not_taken", publisher=publisher, error=described(error), waiting=waiting)

    def _reminder(self, about: Event) -> Reminder:
        return self._reminders.setdefault(about.publisher, Reminder(self.monotonic))


@asynccontextmanager
async def posting(poster: Poster) -> AsyncIterator[Poster]:
    """Stop a poster in the end, however that comes."""
    try:
        yield poster
    finally:
        await poster.stop()


def _check(record: Record) -> None:
    """Raise ErpUnreadable for a page: a gateway that is in the ERP's place answers 200 with it, whatever is posted."""
    if isinstance(record.body, bytes) and record.body.lstrip().startswith(b"<"):
        raise ErpUnreadable(f"POST {_PATH}: answered {record.status} with a page, so nobody has taken it")
