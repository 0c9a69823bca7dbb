"""Workers as a process: its subscriptions, its operations port, and its orderly end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from config.errors import ConfigError
from config.settings import Settings
from router.embedded.access import open_store
from router.events.catalogue import Catalogue
from router.intake.writer import Batch
from router.process.keeping import Keeper
from router.process.ops import OpsServer
from router.process.reload import Apply, Reload
from router.process.signals import watch_parent
from router.process.supervisor import say_started
from router.store.client import Store
from router.store.health.guard import guarded
from router.store.health.survey import store_check
from router.tasks.ending import end
from router.telemetry.identity import new_registry, process_name
from router.telemetry.tracing import open_tracing
from workers.archive.archive import open_archive
from workers.archive.metrics import ArchiveMetrics
from workers.breakers.breakers import Breakers, breaking
from workers.breakers.of_erp import erp_breaker
from workers.consuming.consumer import Consumer
from workers.crew import Crew
from workers.drift.learner import Learner
from workers.drift.metrics import DriftMetrics
from workers.echoes.noted import NotedWrites
from workers.erp.clients import Clients, check_set, open_clients
from workers.erp.metrics import ErpMetrics
from workers.feedback import Feedback, FeedbackMetrics, Poster, posting
from workers.handlers.memory import end_at_once
from workers.keyed.consumer import KeyedConsumer
from workers.keyed.leftover import UnkeyedConsumer
from workers.limits.limiter import Limiter, limiting
from workers.limits.of_erp import OF_FEEDBACK, erp_limit
from workers.metrics import WorkerMetrics
from workers.notify.metrics import NotifyMetrics
from workers.notify.notifiers import Notifiers, check_notifiers
from workers.operations.store_metrics import StoreMetrics
from workers.outcomes import WorkerMustEnd
from workers.reconcile.metrics import ReconcileMetrics
from workers.reconcile.plan import Plan, check_plans
from workers.reconcile.sweeper import Sweeper
from workers.reconcile.sweeps import Sweeps
from workers.reconcile.tools import Tools
from workers.retention.janitor import Janitor
from workers.silence.watcher import Watcher
from workers.subscription import Subscription

__all__ = ["Bench", "Manning", "serve_crew", "serve_workers"]

log = structlog.get_logger("worker")


@dataclass(frozen=True, slots=True)
class Bench:
    """What a process has that runs consumers, for those who start them."""

    settings: Settings
    store: Store
    catalogue: Catalogue
    registry: CollectorRegistry
    crew: Crew
    poster: Poster


Take = Callable[[Settings], None]
"""Takes over other settings; raises ConfigError, and changes nothing, where they cannot be used."""
Manning = Callable[[Bench], AbstractAsyncContextManager[Take]]
"""Starts consumers, in a context that ends when they have ended; yields what becomes of them at a reload."""


async def serve_workers(
    settings: Settings,
    subscriptions: Sequence[Subscription],
    stop: asyncio.Event,
    reload: asyncio.Event | None = None,
    *,
    name: str | None = None,
) -> list[str]:
    """Run subscriptions until `stop` is set; then finish what runs and give back the rest.

    Who is notified, and of which silence, is read again whenever `reload` is set.

    Returns the subscriptions whose handlers could not be ended: the event loop would wait for them for ever.
    `name` is the consumer's name, which no two processes may have at once; by default a new one.
    Raises UnknownStream for a glob that matches nothing, ConfigError for a store that is not safe, an ERP that is not
    set although a subscription wants records of it or its records are to be swept, an archive without its package, a
    notifier that cannot be used, or the name of a forward.
    """
    catalogue = Catalogue.for_settings(settings)
    check_names(settings, subscriptions)
    check_records(settings, subscriptions, catalogue)
    for subscription in subscriptions:
        catalogue.select(*subscription.events)

    @asynccontextmanager
    async def manning(bench: Bench) -> AsyncIterator[Take]:
        for subscription in subscriptions:
            bench.crew.start(subscription)
        yield partial(check_names, subscriptions=subscriptions)

    return await serve_crew(settings, catalogue, manning, stop, reload or asyncio.Event(), name=name)


async def serve_crew(
    settings: Settings,
    catalogue: Catalogue,
    manning: Manning,
    stop: asyncio.Event,
    reload: asyncio.Event,
    *,
    name: str | None = None,
    role: str = "worker",
) -> list[str]:
    """Run the consumers that `manning` starts, and what goes with them in each such process, until `stop` is set.

    Returns the subscriptions whose handlers could not be ended. Raises ConfigError.
    """
    watch_parent(stop.set)
    plans = check_plans(settings, catalogue) if role == "worker" else ()
    check_notifiers(settings.notify)
    registry = new_registry(role)
    metrics = WorkerMetrics(registry)
    archived = (open_archive(settings.archive), ArchiveMetrics(registry)) if settings.archive.to else None
    consumer = name or process_name()
    async with (
        open_tracing(settings.tracing, role) as tracing,
        open_store(settings) as store,
        guarded(store, settings, stop, "worker", *(("reconcile",) if plans else ())) as guard,
        Janitor(consumer, store, catalogue, settings.retention, metrics, archived),
        limiting(Limiter(store, consumer, metrics)),
        breaking(Breakers(store, metrics)),
        open_clients(
            settings,
            quota=erp_limit(),
            breaker=erp_breaker,
            writes=NotedWrites(store),
            metrics=ErpMetrics(registry),
        ) as clients,
        posting(Poster(clients, erp_limit(OF_FEEDBACK), FeedbackMetrics(registry), breaker=erp_breaker)) as poster,
        _sweeper(settings, store, plans, clients, catalogue, registry),
        Notifiers(settings.notify, store, NotifyMetrics(registry)) as notifiers,
        Watcher(store, catalogue, settings) if settings.silence.enabled else nullcontext() as watcher,
        _learner(settings, store, catalogue, registry),
    ):
        registry.register(guard)

        def make(subscription: Subscription) -> Consumer:
            return (KeyedConsumer if subscription.keyed else UnkeyedConsumer)(
                *(subscription, consumer, store, catalogue, settings.workers, metrics),
                returning=name is not None,
                tracing=tracing,
                feedback=_feedback(subscription, catalogue, poster),
            )

        crew = Crew(make)
        ops = OpsServer(
            settings.ops,
            lambda: _readiness(list(crew), store),
            registry,
            role=role,
            name=consumer,
            warnings=lambda: guard.warnings() | _warnings(list(crew), poster),
            refresh=StoreMetrics(store, catalogue, settings.workers.lease, registry, settings=settings).refresh,
        )
        async with manning(Bench(settings, store, catalogue, registry, crew, poster)) as take:
            taking_over = _taking_over(take, notifiers, watcher, catalogue)
            crew.beside(Reload(settings, taking_over).run(reload))
            await _run(consumer, crew, ops, stop, settings.workers.lease)
    return crew.stuck


def _taking_over(take: Take, notifiers: Notifiers, watcher: Watcher | None, catalogue: Catalogue) -> Apply:
    """Return what takes over at a reload: all is looked at before anything changes."""

    def apply(settings: Settings, read: Catalogue) -> None:
        check_notifiers(settings.notify)
        take(settings)
        notifiers.want(settings.notify)
        if watcher is not None:
            watcher.want(settings)
        if read.publishers != catalogue.publishers:
            log.warning("publishers_not_reloaded", advice="start this process again: it reads publishers at start")

    return apply


def _sweeper(
    settings: Settings,
    store: Store,
    plans: Sequence[Plan],
    clients: Clients,
    catalogue: Catalogue,
    registry: CollectorRegistry,
) -> Sweeper:
    batch = Batch.for_settings(store, settings)
    return Sweeper(Sweeps(plans, Tools(store, batch, ReconcileMetrics(registry)), clients, catalogue))


def check_names(settings: Settings, subscriptions: Sequence[Subscription]) -> None:
    """Raise ConfigError where a subscription has the name of a forward: each would get a part of the events."""
    forwards = {forward.name for forward in settings.forward}
    for subscription in subscriptions:
        if subscription.name in forwards:
            raise ConfigError(
                f"subscription {subscription.name!r} has the name of a [[forward]] in the settings: rename one of them"
            )


def _learner(
    settings: Settings, store: Store, catalogue: Catalogue, registry: CollectorRegistry
) -> AbstractAsyncContextManager[object]:
    metrics = DriftMetrics(registry)
    return Learner(store, catalogue, settings.drift, metrics) if settings.drift.enabled else nullcontext()


def check_records(settings: Settings, subscriptions: Sequence[Subscription], catalogue: Catalogue) -> None:
    """Raise ConfigError where every event of a subscription would fail, since its ERP is not set."""
    for subscription in subscriptions:
        wanted = {"wants records of": subscription.hydrate, "gives feedback to": subscription.feedback}
        for does in (does for does, is_wanted in wanted.items() if is_wanted):
            check_set(settings, subscription.name, does, _publishers(subscription, catalogue))


def _publishers(subscription: Subscription, catalogue: Catalogue) -> set[str]:
    return {stream.partition("/")[0] for stream in catalogue.select(*subscription.events)}


def _feedback(subscription: Subscription, catalogue: Catalogue, poster: Poster) -> Feedback | None:
    """Return what tells the ERP of a subscription's events, where it is to."""
    if not subscription.feedback:
        return None
    for publisher in _publishers(subscription, catalogue):
        poster.show(publisher)
    return Feedback(subscription.name, catalogue, poster.put, poster.monotonic)


def _warnings(consumers: Sequence[Consumer], poster: Poster) -> dict[str, str]:
    found = {c.context.group: c.warning for c in consumers}
    return {name: text for name, text in {**found, "feedback": poster.warning}.items() if text}


async def _readiness(consumers: Sequence[Consumer], store: Store) -> dict[str, bool | str]:
    checks: dict[str, bool | str] = {c.context.group: c.ready or "starting" for c in consumers}
    return {**checks, **await store_check(store)}


async def _run(name: str, crew: Crew, ops: OpsServer, stop: asyncio.Event, lease: float) -> None:
    groups = [consumer.context.group for consumer in crew]
    keeper = Keeper()
    stopping = asyncio.create_task(stop.wait())
    keeping = asyncio.create_task(keeper.run(stop, lease / 3))
    try:
        log.info("worker_started", name=name, subscriptions=groups, ops_port=await ops.start())
        say_started()
        awaited: list[asyncio.Future[Any]] = [stopping, crew.broken]
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if crew.broken.done():
            crew.broken.result()
    except MemoryError:
        end_at_once()
    except WorkerMustEnd as end_of_it:
        raise end_of_it.error from None
    finally:
        keeper.look_at_log()
        log.info("worker_stopping")
        ops.not_ready("stopping")
        await end([stopping, keeping])
        await crew.stop()
        await ops.stop()
        keeper.look_at_log()
        keeper.close()
    log.info("worker_stopped")
