"""Every alert fires once, on real processes that are driven into what it is about, and none without that.

What a rule makes of its condition over time is tested by `promtool`: config/prometheus/alerts_test.yml.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.erp import erp_variables
from support.forwarding import SECRET as SIGNING
from support.forwarding import answering
from support.ports import reserve
from support.processes import SECRET, System, running_system
from support.promql import samples_of
from support.receiver import receiving
from support.scraping import Prometheus
from support.servers import Server
from support.waiting import eventually

from config.settings import Settings
from router.embedded.access import open_store
from router.store.health.guard import guarded
from router.store.keys import LINES, Keys
from workers.erp.fake import FakeErp, serving

FINANCIAL = "visma-net-financial"
CUSTOMERS, SUPPLIERS = f"er:{{{FINANCIAL}/customer_changed}}", f"er:{{{FINANCIAL}/supplier_changed}}"
INGRESS, WORKER = "event-router-ingress", "event-router-worker"
WHOLE = {"EventRouterNoIngress", "EventRouterNoWorker"}
"""What fires where a test runs only one of both."""

HANDLERS = """
from workers import DeadLetter

retry = Retry(max_attempts=99, first_delay=0.01, max_delay=1)
stormy = Subscription("stormy", events=["*/customer_changed"], retry=retry)

@stormy.handler
async def fail(event: Event) -> None:
    if event.id.startswith("dead"):
        raise DeadLetter("no use")
    if event.id.startswith("slow"):
        while not Path(os.environ["LEDGER"]).with_name("go").exists():
            await asyncio.sleep(0.01)
    raise ValueError("not yet")
"""


@pytest.fixture
async def system(server: Server, tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system on it, with nothing running, which finds out quickly that its server is gone."""
    quick = {"ROUTER_INGRESS__STORE_TIMEOUT": "0.5", "ROUTER_REDIS__CONNECT_TIMEOUT": "0.5"}
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url, **quick) as system:
        yield system


async def begin(system: System, job: str, *command: str, **environment: str) -> Prometheus:
    """Start a process; return what Prometheus knows of it, in which nothing is wrong."""
    await system.start(*command, **environment)
    await system.ready()
    prometheus = Prometheus((job, system.ops))

    async def is_whole() -> bool:
        await prometheus.begin()
        return prometheus.firing() <= WHOLE

    await eventually(is_whole)  # a limit that is asked for the first time is used up for a moment
    return prometheus


async def expect(prometheus: Prometheus, *names: str) -> None:
    """Wait until these alerts fire."""

    async def fire() -> bool:
        return await prometheus.fires(*names)

    await eventually(fire, interval=0.1)


@pytest.mark.long
async def test_what_senders_do_wrong(system: System) -> None:
    """Forged requests, a publisher without a secret, and items that nobody understands, each has its alert."""
    prometheus = await begin(system, INGRESS, "ingress")
    for _ in range(11):
        assert (await system.post([], secret="wrong"))[0] == 401
    await expect(prometheus, "EventRouterSignaturesRefused")
    assert (await system.post([], publisher="visma-net-erp-salesorderservice"))[0] == 401
    await expect(prometheus, "EventRouterSecretMissing")
    assert (await system.post([42]))[0] == 202
    await expect(prometheus, "EventRouterQuarantine")
    assert prometheus.firing() - WHOLE == {
        "EventRouterSignaturesRefused",
        "EventRouterSecretMissing",
        "EventRouterQuarantine",
    }


@pytest.mark.long
async def test_secrets_that_cannot_be_read_again(system: System) -> None:
    """An ingress that is told to reload, and keeps what it has since that would be worse, is told of."""
    file = system.folder / "secrets"
    file.write_text(SECRET)
    secrets = {"ROUTER_SECRETS__VISMA_NET_FINANCIAL": "", "ROUTER_SECRETS__VISMA_NET_FINANCIAL_FILE": str(file)}
    prometheus = await begin(system, INGRESS, "ingress", **secrets)
    file.unlink()
    system.processes[0].send_signal(signal.SIGHUP)
    await expect(prometheus, "EventRouterReloadRefused")


@pytest.mark.long
async def test_a_store_that_does_not_take_it(system: System, server: Server) -> None:
    """Ingress spools, its spool fills, and senders get 503."""
    prometheus = await begin(system, INGRESS, "ingress", ROUTER_INGRESS__SPOOL_MAX_BYTES="4000")
    server.kill()
    await system.post([{"notificationId": "first", "event": "customer_changed"}])
    await expect(prometheus, "EventRouterSpooling")
    assert "EventRouterSpoolNearlyFull" not in prometheus.firing()
    number, status = 0, 202
    while status == 202:
        number += 1
        status, _ = await system.post([{"notificationId": f"n{number}", "event": "customer_changed"}])
    assert status == 503
    await expect(prometheus, "EventRouterSpoolNearlyFull", "EventRouterServerErrors")


async def test_handlers_that_fail(system: System, server: Server) -> None:
    """Retries in a storm, events that are given up, many of them lying about, and events that another took over."""
    prometheus = await begin(system, WORKER, "worker", system.module(HANDLERS))
    await system.start("ingress", ROUTER_OPS__PORT=str(reserve()))
    await eventually(lambda: "ingress_started" in system.logs())
    await system.post_many([f"stormy{number}" for number in range(60)])
    await expect(prometheus, "EventRouterRetryStorm")
    await system.post_many(["dead0"])
    await expect(prometheus, "EventRouterDeadLetters")
    assert "EventRouterDeadLettersPiledUp" not in prometheus.firing()
    await system.post_many([f"dead{number}" for number in range(1, 101)])
    await expect(prometheus, "EventRouterDeadLettersPiledUp")
    assert "EventRouterLeaseLost" not in prometheus.firing()
    await system.post_many(["slow"])
    await eventually(lambda: taken_over(server))
    (system.folder / "go").touch()
    await expect(prometheus, "EventRouterLeaseLost")


DEFERRING = """
from workers import Defer

@Subscription("waits", events=["*/customer_changed"]).handler
async def wait(event: Event) -> None:
    raise Defer(0.1, "closed")
"""


@pytest.mark.long
async def test_handlers_that_only_defer(system: System) -> None:
    """A subscription that defers what it gets, and finishes nothing, is told of."""
    prometheus = await begin(system, WORKER, "worker", system.module(DEFERRING))
    await system.start("ingress", ROUTER_OPS__PORT=str(reserve()))
    await eventually(lambda: "ingress_started" in system.logs())
    await system.post_many(["one"])
    await expect(prometheus, "EventRouterOnlyDeferring")
    assert not {"EventRouterRetryStorm", "EventRouterDeadLetters"} & prometheus.firing()


LIMITED = """
from workers.limits import Limit

crm = Limit("crm", rate=1)

@Subscription("limited", events=["*/customer_changed"]).handler
async def call(event: Event) -> None:
    for _ in range(4 if event.id == "refused" else 0):
        await crm.learn(None, {"Retry-After": "1"}, 429)
    await crm.acquire()
"""


@pytest.mark.long
async def test_limits_that_are_used_up(system: System) -> None:
    """A quota that calls wait for is told of, and one whose calls are refused."""
    prometheus = await begin(system, WORKER, "worker", system.module(LIMITED))
    await system.start("ingress", ROUTER_OPS__PORT=str(reserve()))
    await eventually(lambda: "ingress_started" in system.logs())
    await system.post_many(["one", "two"])
    await expect(prometheus, "EventRouterLimitUsedUp")
    await prometheus.begin()
    assert "EventRouterLimitRefused" not in prometheus.firing()
    await system.post_many(["refused"])
    await expect(prometheus, "EventRouterLimitRefused")


BROKEN = """
from workers.breakers import Breaker

crm = Breaker("crm", failures=1, interval=0.1)

@Subscription("broken", events=["*/customer_changed"]).handler
async def call(event: Event) -> None:
    async with crm:
        raise ConnectionRefusedError
"""


@pytest.mark.long
async def test_what_handlers_call_is_down(system: System) -> None:
    """A breaker that stays open is told of, and not the failures of a call: nothing dies of them."""
    prometheus = await begin(system, WORKER, "worker", system.module(BROKEN))
    await system.start("ingress", ROUTER_OPS__PORT=str(reserve()))
    await eventually(lambda: "ingress_started" in system.logs())
    await system.post_many(["one"])
    await expect(prometheus, "EventRouterBreakerOpen")
    assert not {"EventRouterRetryStorm", "EventRouterDeadLetters"} & prometheus.firing()


async def test_a_receiver_that_is_gone(system: System) -> None:
    """A forward whose receiver answers 410 is told of; one that only refuses an event is not."""
    async with receiving(answering(400, 410)) as receiver:
        forward = {"EVENTS": "*/customer_changed", "URL": f"http://127.0.0.1:{receiver.port}/", "SECRET": SIGNING}
        forward |= {"ALLOW_PRIVATE": "127.0.0.0/8", "CONCURRENCY": "1", "RETRY__FIRST_DELAY": "0.01"}
        environment = {f"ROUTER_FORWARD__CRM__{name}": value for name, value in forward.items()}
        prometheus = await begin(system, "event-router-forward", "forward", **environment)
        await system.start("ingress", ROUTER_OPS__PORT=str(reserve()))
        await eventually(lambda: "ingress_started" in system.logs())
        await system.post_many(["one"])
        await expect(prometheus, "EventRouterForwardGone")


TELLING = """
from workers import Event, Subscription

@Subscription("telling", events=["*/customer_changed"], feedback=True).handler
async def handle(event: Event) -> None:
    pass
"""


async def test_feedback_that_is_refused(system: System) -> None:
    """Notes that the ERP does not take are told of."""
    async with serving(FakeErp()) as erp:

        def refuse_notes(_method: str, path: str) -> None:
            erp.failing = 400 if "feedback" in path else None

        erp.on_request = refuse_notes
        known = {"BASE_URL": erp.base_url, "TOKEN_URL": erp.token_url, "CLIENT_ID": "c", "CLIENT_SECRET": "s3cret"}
        known |= {"TENANT_ID": "t1"}
        environment = {f"ROUTER_ERP__VISMA_NET_FINANCIAL__{name}": value for name, value in known.items()}
        prometheus = await begin(system, WORKER, "worker", system.module(TELLING), **environment)
        await system.start("ingress", ROUTER_OPS__PORT=str(reserve()))
        await eventually(lambda: "ingress_started" in system.logs())
        await system.post_many([f"n{number}" for number in range(12)])
        await expect(prometheus, "EventRouterFeedbackNotPosted")


@pytest.mark.long
async def test_sweeps_that_fail_or_find_too_much_gone(system: System) -> None:
    """Records that seem to be gone, too many to believe, are reported, and sweeps that fail."""
    named = {"PATH": "v1/customer", "COMPANIES": "t1/7", "EVERY": "1s", "DELETES": "1s", "WAIT": "0"}
    sweeping = {f"ROUTER_RECONCILE__CUSTOMERS__{name}": value for name, value in named.items()}
    async with serving(FakeErp()) as erp:
        erp.books("t1").put("v1/customer/1", {"number": "1"})
        given = sweeping | erp_variables(erp)
        prometheus = await begin(system, WORKER, "worker", system.module(LIMITED), **given)
        await eventually(lambda: '"swept"' in system.logs())
        assert "EventRouterReconcileHeld" not in prometheus.firing()
        erp.books("t1").delete("v1/customer/1")
        await expect(prometheus, "EventRouterReconcileHeld")
        assert "EventRouterReconcileFailing" not in prometheus.firing()
        erp.redirects["v1/customer"] = "https://elsewhere.example/"
        await expect(prometheus, "EventRouterReconcileFailing")


@pytest.mark.long
async def test_a_notifier_that_is_not_heard(system: System, server: Server) -> None:
    """Messages that nobody takes are reported where Prometheus is heard."""
    values = {"KIND": "slack", "URL": "http://127.0.0.1:1/", "ALLOW_PRIVATE": "127.0.0.0/8"}
    notifying = {f"ROUTER_NOTIFY__OPS__{name}": value for name, value in values.items()}
    prometheus = await begin(system, WORKER, "worker", "workers.log_events", **notifying)
    await eventually(lambda: server.ask("EXISTS", "er:{incidents}:notices"))
    assert "EventRouterNotifierFailing" not in prometheus.firing()
    text = '{"kind":"test","subject":"p","what":"","do":"","command":"","since":1}'
    server.ask("XADD", "er:{incidents}:notices", "*", "incident", text)
    await expect(prometheus, "EventRouterNotifierFailing")


@pytest.mark.long
async def test_requests_that_are_all_refused(system: System, server: Server) -> None:
    """A publisher of which nothing is let in is reported, from what its ingresses have noted of it."""
    prometheus = await begin(system, WORKER, "worker", "workers.log_events", ROUTER_SILENCE__EVERY="0.1")
    assert "EventRouterSilence" not in prometheus.firing()
    now = round(time.time() * 1000)
    server.ask("HSET", "er:{traffic}:refused", FINANCIAL, f"9 {now - 900_000} {now} signature")
    await expect(prometheus, "EventRouterSilence")


@pytest.mark.long
async def test_fields_that_change(system: System, server: Server) -> None:
    """Fields of events that are new or missing are reported."""
    prometheus = await begin(system, WORKER, "worker", "workers.log_events")
    assert "EventRouterSchemaDrift" not in prometheus.firing()
    text = '{"kind":"drift","subject":"p new x","what":"","do":"","command":"","since":1}'
    server.ask("HSET", "er:{incidents}:open", "drift/p new x", text)
    await expect(prometheus, "EventRouterSchemaDrift")


FETCHING = """
from workers import Event, Record, Subscription

@Subscription("fetching", events=["*/customer_changed"], hydrate=True).handler
async def handle(event: Event, record: Record) -> None:
    pass
"""


@pytest.mark.long
async def test_an_erp_that_refuses(system: System) -> None:
    """Requests to the ERP that it refuses are told of; no breaker opens by them, since it answers."""
    async with serving(FakeErp()) as erp:
        erp.redirects["v1/customer/1"] = "https://elsewhere.example/"
        given = erp_variables(erp) | {"ROUTER_ERP__VISMA_NET_FINANCIAL__TENANT_ID": "t1"}
        prometheus = await begin(system, WORKER, "worker", system.module(FETCHING), **given)
        await system.start("ingress", ROUTER_OPS__PORT=str(reserve()))
        await eventually(lambda: "ingress_started" in system.logs())
        item = {"event": "customer_changed", "relativeResourceUri": "v1/customer/1"}
        await system.post([{**item, "notificationId": f"n{number}"} for number in range(12)])
        await expect(prometheus, "EventRouterErpFailing")
        assert "EventRouterBreakerOpen" not in prometheus.firing()


_PENDING = "return redis.call('XPENDING', KEYS[1], 'stormy', '-', '+', 100)"


def taken_over(server: Server, by: str = "another") -> list[str]:
    """Take the slow event from the worker that has it in hand; return the id of its entry, if it was there."""
    key = f"{CUSTOMERS}:events"
    ids = [row[0] for row in server.ask("EVAL", _PENDING, 1, key)]
    slow = [id_ for id_ in ids if server.ask("XRANGE", key, id_, id_)[0][1]["id"] == "slow"]
    for id_ in slow:
        server.ask("XCLAIM", key, "stormy", by, 0, id_)
    return slow


_ADD = "for i = 1, 1001 do redis.call('XADD', KEYS[1], '*', 'id', i, 'at', 1, 'raw', '{}') end"


@pytest.mark.long
async def test_subscriptions_that_are_left_alone(system: System, server: Server) -> None:
    """A subscription nobody works for, whose events wait and become more, is told of; when it is paused, how long.

    So are keys that wait for a worker, and those that wait for an operator.
    """
    prometheus = await begin(system, WORKER, "worker", "workers.log_events")
    events, now = f"{SUPPLIERS}:events", int(time.time() * 1000)
    server.ask("XGROUP", "CREATE", f"{CUSTOMERS}:events", "orphan", "$", "MKSTREAM")
    server.ask("XGROUP", "CREATE", events, "late", "0", "MKSTREAM")
    for stream, name in ((CUSTOMERS, "orphan"), (SUPPLIERS, "late")):  # a worker ran for it once
        server.ask("XGROUP", "CREATE", f"{stream}:inbox:{name}", name, "0", "MKSTREAM")
    server.ask("XADD", events, f"{now - 301_000}-0", "id", "old", "at", str(now), "raw", "{}")
    lines = Keys().lines("late")
    names = ("lines", "held", "ready", "clock", "stopped", "pauses")
    events_of, held, ready, clock, stopped, pauses = (lines[LINES.index(name)] for name in names)
    server.ask("SET", clock, "1")
    server.ask("ZADD", events_of, 0, f"key\0{now - 301_000:013}-000000o/{SUPPLIERS}")
    server.ask("ZADD", ready, 0, f"1\0{now - 301_000:015} {now - 301_000}-000000o/{SUPPLIERS}\0key")
    server.ask("ZADD", held, now, "another")
    await expect(prometheus, "EventRouterSubscriptionWithoutWorker", "EventRouterEventsWaiting")
    await expect(prometheus, "EventRouterKeyHeld", "EventRouterKeysWaiting")
    server.ask("ZADD", stopped, "inf", "7")
    server.ask("HSET", pauses, "7", f"{now - 90_000_000}\0me\0import")
    await expect(prometheus, "EventRouterCompanyPausedForLong")
    await prometheus.begin()
    assert "EventRouterLagGrowing" not in prometheus.firing()
    server.ask("EVAL", _ADD, 1, f"{CUSTOMERS}:events")
    await expect(prometheus, "EventRouterLagGrowing")
    for name in ("orphan", "late"):
        long_ago = f"{now - 90_000_000}-0"
        server.ask("XADD", f"er:{{subscription:{name}}}:pause", long_ago, "verb", "pause", "by", "me", "reason", "")
    await expect(prometheus, "EventRouterPausedForLong")
    for name in ("EventRouterEventsWaiting", "EventRouterKeysWaiting"):
        assert name not in prometheus.firing()  # it is paused, so that is no news


@pytest.mark.long
async def test_events_that_somebody_deleted(system: System, server: Server) -> None:
    """Events that were in hand, and are gone from their stream when they are taken over, are told of: they are lost."""
    module = system.module(HANDLERS)
    prometheus = await begin(system, WORKER, "worker", module, ROUTER_WORKERS__SWEEP_INTERVAL="0.2")
    key, raw = f"{CUSTOMERS}:events", '{"event":"customer_changed","notificationId":"slow"}'
    server.ask("XADD", key, "*", "id", "slow", "at", "1", "raw", raw)
    found: list[str] = []

    def taken() -> list[str]:
        found.extend(taken_over(server, by="ghost"))
        return found

    await eventually(taken)
    server.ask("XDEL", key, found[0])
    await expect(prometheus, "EventRouterEventsDeleted")
    (system.folder / "go").touch()


@pytest.mark.long
async def test_a_store_that_has_become_unsafe(server: Server) -> None:
    """A server that begins to evict, as another that took over may, is told of by who looks at it again."""
    settings = Settings(redis={"url": server.url})
    prometheus, registry = Prometheus(), CollectorRegistry()
    async with open_store(settings) as store, guarded(store, settings, asyncio.Event(), interval=0.05) as guard:
        registry.register(guard)

        def unsafe() -> bool:
            prometheus.last = samples_of(generate_latest(registry).decode(), job=WORKER)
            return "EventRouterStoreUnsafe" in prometheus.firing()

        assert not unsafe()
        server.ask("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
        await eventually(unsafe)


@pytest.mark.long
async def test_retention_that_fails(system: System, server: Server) -> None:
    """Rounds that the store refuses a part of are told of, though all others go on."""
    interval = {"ROUTER_RETENTION__INTERVAL": "0.1", "ROUTER_RETENTION__QUARANTINE_COUNT": "1"}
    prometheus = await begin(system, WORKER, "worker", "workers.log_events", **interval)
    server.ask("SET", f"er:{{{FINANCIAL}}}:quarantine", "no stream")
    await expect(prometheus, "EventRouterRetentionFailing")


@pytest.mark.long
async def test_an_archive_that_is_away(system: System, server: Server, tmp_path: Path) -> None:
    """Where events have been due for the archive for more than an hour, that has its alert."""
    archive = tmp_path / "archive"
    settings = {"ROUTER_ARCHIVE__TO": archive.as_uri(), "ROUTER_RETENTION__EVENTS": "1"}
    prometheus = await begin(
        *(system, WORKER, "worker", system.module(HANDLERS)), **settings, ROUTER_RETENTION__INTERVAL="0.2"
    )
    entry = f"{int((time.time() - 7200) * 1000)}-0"
    server.ask("XADD", f"{SUPPLIERS}:events", entry, "id", "one", "at", "1", "raw", "{}")
    await expect(prometheus, "EventRouterArchiveLate")
    archive.mkdir()
    await eventually(lambda: [*archive.rglob("*.jsonl.gz")] and not server.ask("XLEN", f"{SUPPLIERS}:events"))


@pytest.mark.long
async def test_what_is_not_there(system: System, server: Server) -> None:
    """A store that no worker reaches, then a worker that is gone; and where there is no ingress at all."""
    prometheus = await begin(system, WORKER, "worker", "workers.log_events")
    assert prometheus.firing() == {"EventRouterNoIngress"}
    server.kill()
    await expect(prometheus, "EventRouterStoreUnreachable")
    [worker] = system.processes
    worker.kill()
    await worker.wait()
    await expect(prometheus, "EventRouterProcessDown", "EventRouterNoWorker")
    assert "EventRouterStoreUnreachable" not in prometheus.firing()
