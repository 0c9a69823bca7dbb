"""Changes that take a while: they go on while nobody looks, tell how far they are, and can be stopped."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from config.errors import described
from router.tasks.ending import end
from router.telemetry import logs
from workers.operations.change import Result

_KEPT = 50  # what has ended can still be read about

_log = logs.get(__name__)


@dataclass(slots=True)
class Job:
    """One change under way: what it does, how far it is, and where to go from it; `error` says why it broke."""

    title: str
    done: str
    back: str
    result: Result = field(default_factory=Result)
    state: Literal["running", "ended", "stopped", "broken"] = "running"
    error: str = ""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))


class Jobs:
    """The changes that one process carries out."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, job: Job, work: Callable[[], Awaitable[object]]) -> Job:
        """Begin a change, which is what `work` does."""
        for id_ in [id_ for id_ in self._jobs if id_ not in self._tasks][: max(0, len(self._jobs) - _KEPT + 1)]:
            del self._jobs[id_]
        self._jobs[job.id] = job
        task = self._tasks[job.id] = asyncio.create_task(_run(job, work))
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))
        return job

    def find(self, id_: str) -> Job | None:
        """Return a change; None for one that is forgotten."""
        return self._jobs.get(id_)

    async def settle(self, job: Job, patience: float) -> None:
        """Wait until a change has ended, for at most so many seconds."""
        if task := self._tasks.get(job.id):
            await asyncio.wait([task], timeout=patience)

    async def stop(self, *ids: str) -> None:
        """Stop these changes where they are, or all; what they have done stays done."""
        await end([task for id_, task in self._tasks.items() if not ids or id_ in ids])


async def _run(job: Job, work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except asyncio.CancelledError:
        job.state = "stopped"
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, its page says so
        job.state, job.error = "broken", described(error)
        _log.warning("console_job_failed", title=job.title, reason=job.error)
    else:
        job.state = "ended"
