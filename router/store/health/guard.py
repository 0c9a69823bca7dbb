"""What a process does about an unsafe store.

At its start a process judges the store, and is refused (ConfigError) one that would lose events without a word. A store
that is away then is no error: it is judged as soon as it answers, and if that would have been a refusal the process
stops by itself, in order, with the same error. Until it is settled that the store is used, ingress keeps events in its
spool. From the first good answer on a process that runs goes on running, whatever it finds, for it may be the last that
does: it looks again every minute and after every outage it meets, since another server may have taken over, and says
what has changed in its log, on `/readyz` and in its metrics.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from config.errors import ConfigError, described
from config.settings import Settings
from config.urls import redact_url
from router.store.client import Store
from router.store.errors import STORE_ERRORS, StoreUnavailable
from router.store.health.deployment import fault_of
from router.store.health.judgement import Check, judge_server
from router.store.health.rights import Role, judge_rights, try_rights
from router.store.health.survey import ask_servers
from router.tasks.backoff import Backoff
from router.tasks.ending import end, in_time, set_within
from router.telemetry import logs

_INTERVAL = 60.0  # seconds between two looks at a store that answers
_PATIENCE = 2.0  # seconds that a start waits for the first answer
_LEVELS = {"ok": 0, "warning": 1, "failed": 2}

_log = logs.get("store")


@asynccontextmanager
async def guarded(
    store: Store, settings: Settings, stop: asyncio.Event, *roles: Role, interval: float = _INTERVAL
) -> AsyncIterator["StoreGuard"]:
    """Judge the store now, and while the body runs, by what the roles need of it; `interval` in seconds.

    Raises ConfigError for a store that is refused: at once, or else after `stop` was set because of it and the body has
    ended.
    """
    guard = StoreGuard(store, settings, stop, *roles)
    watching = asyncio.create_task(guard.watch(interval))
    try:
        await guard.wait_for_first_look(_PATIENCE)
        yield guard
    finally:
        await end([watching])
    guard.raise_refusal()


async def refuse_unsafe(store: Store, settings: Settings, *roles: Role) -> None:
    """Raise ConfigError for a store that is refused; one that does not answer in a moment is left to be judged later.

    For who starts processes on it: one says so, instead of each of them.
    """
    checks: Sequence[Check] = ()
    with suppress(*STORE_ERRORS):
        checks = await in_time(_PATIENCE, _judge(store, settings, roles))
    if refused := [check for check in checks if check.refused]:
        raise _refusal(settings, refused)


class StoreGuard(Collector):
    """Judges the store again and again; a collector of metrics as well. Sets `stop` when it refuses the store."""

    def __init__(self, store: Store, settings: Settings, stop: asyncio.Event, *roles: Role) -> None:
        self._store = store
        self._settings = settings
        self._roles = roles
        self._stop = stop
        self._looked, self._settled = asyncio.Event(), asyncio.Event()
        self._checks: Mapping[str, Check] = {}
        self.error: BaseException = StoreUnavailable("it has not answered since the start")
        """Why the store could not be judged when it was last tried."""
        self._away = False
        self._accepted = False
        self._refused: Sequence[Check] = ()

    @property
    def is_settled(self) -> bool:
        """Whether it is decided that the store is used: nothing should be sent to it before."""
        return self._settled.is_set()

    async def settled(self) -> None:
        """Return once that is decided; not at all if the store is refused."""
        await self._settled.wait()

    def warnings(self) -> dict[str, str]:
        """Return what is wrong with the store by the name of the check, as the last look found it."""
        return {name: f"{check.detail}; {check.advice}" for name, check in self._wrong().items()}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metric of the checks."""
        text = "What the last look at the store found, by check: 0 ok, 1 warning, 2 failed."
        family = GaugeMetricFamily("event_router_store_check", text, labels=["check"])
        for check in self._checks.values():
            family.add_metric([check.name], _LEVELS[check.state])
        yield family

    async def watch(self, interval: float) -> None:
        """Look every `interval` seconds, and more often while the store is away, until it is refused."""
        backoff = Backoff(Random())  # noqa: S311 - jitter
        while not self._refused:
            answered = await self._look()
            self._looked.set()
            if answered:
                backoff.reset()
            await asyncio.sleep(interval if answered else backoff.next())

    async def wait_for_first_look(self, timeout: float) -> None:  # noqa: ASYNC109 - the start goes on without
        """Return after the first look, or `timeout` seconds; raises ConfigError if it found a store to refuse."""
        await set_within(timeout, self._looked)
        self.raise_refusal()

    def raise_refusal(self) -> None:
        """Raise ConfigError if the store was refused."""
        if self._refused:
            raise _refusal(self._settings, self._refused)

    async def _look(self) -> bool:
        """Judge the store; return whether it answered."""
        try:
            self._take(await _judge(self._store, self._settings, self._roles))
        except STORE_ERRORS as error:
            if self._store.cluster:  # one server of it that is away must not keep the others from their events
                self._settled.set()
            if not self._away:
                _log.warning("store_not_checked", error=described(error))
            self._away, self.error = True, error
            return False
        except Exception:  # noqa: BLE001 - what only guards must not break what it guards
            _log.exception("store_check_failed")
            self._settled.set()
        self._away = False
        return True

    def _take(self, checks: Iterable[Check]) -> None:
        before, self._checks = self._wrong(), {check.name: check for check in checks}
        refused = [check for check in self._checks.values() if check.refused]
        if refused and not self._accepted:
            self._refused = refused
            _log.error("store_refused", checks=[check.name for check in refused])
            self._stop.set()
            return
        self._accepted = True
        self._settled.set()
        self._report(before)

    def _report(self, before: Mapping[str, Check]) -> None:
        """Say what is wrong now and was not before, and the other way round."""
        wrong = self._wrong()
        for name, check in wrong.items():
            if name not in before or before[name].state != check.state:
                say = _log.error if check.refused else _log.warning
                say("store_unsafe", check=name, found=check.detail, advice=check.advice)
        for name in before.keys() - wrong.keys():
            _log.info("store_safe_again", check=name)

    def _wrong(self) -> dict[str, Check]:
        return {name: check for name, check in self._checks.items() if check.state != "ok"}


async def _judge(store: Store, settings: Settings, roles: Sequence[Role]) -> list[Check]:
    """Judge every server of the store; raises StoreUnavailable when one does not answer."""
    try:
        servers = await ask_servers(store, fsync=settings.ingress.durability.level == "fsynced")
        trials = await try_rights(store, roles)
    except STORE_ERRORS as error:
        if (fault := fault_of(error, settings.redis.url)) is None:
            raise
        return [Check("deployment", "failed", fault.found, fault.advice, refused=True)]
    checks = [check for server in servers for check in judge_server(server, settings)]
    if any(check.name.startswith("deployment") for check in checks):
        return checks  # whatever else is refused comes of that
    return [*checks, *judge_rights(trials, settings.redis.url)]


def _refusal(settings: Settings, refused: Sequence[Check]) -> ConfigError:
    faults = "; ".join(f"{check.name} {check.detail}: {check.advice}" for check in refused)
    return ConfigError(f"the store ({redact_url(settings.redis.url)}) is not safe: {faults}")
