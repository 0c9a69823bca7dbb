"""The users of `config/acl/users.acl`: each can do all that its role does, and nothing else."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from pathlib import Path

import aiohttp
import pytest
import typer
from redis.exceptions import ResponseError
from support.archiving import put_archived
from support.cli import Cli
from support.erp import erp_in_a_thread, erp_variables
from support.filling import (
    CUSTOMERS,
    FINANCIAL,
    put_breaker,
    put_dead,
    put_events,
    put_group,
    put_incident,
    put_limit,
    put_quarantined,
    put_schema,
    raw_of,
)
from support.forwarding import SECRET, answering
from support.guarded import (
    SENTINEL_USERS,
    USERS,
    GuardedServer,
    access,
    granted,
    guarded_server,
    refusals,
    with_passwords,
)
from support.keyed import KeyedBench
from support.needles import NEEDLE, OTHER, TENANT, plant, plant_groups, plant_spool
from support.processes import System, running_system
from support.receiver import Receiver, receiving
from support.servers import starting
from support.waiting import eventually

from router.cli.app import app, load
from router.console.access.token import make_code
from router.store.client import Store, connect
from router.store.keys import LINES, Keys
from router.store.lines import Item, Lines
from router.store.scripts import append
from router.store.watched.incidents import group_of
from workers.drift.kept import Report
from workers.erp.fake import FakeErp, Options, serving
from workers.incidents import Incident, Incidents
from workers.keyed.entry import pack
from workers.operations.erasing.erasure import Erasure
from workers.operations.pauses import pause, resume

pytestmark = pytest.mark.real

KEYS = Keys("er")
EVENTS, SEEN, DEAD = KEYS.events(CUSTOMERS), KEYS.seen(CUSTOMERS, "one"), KEYS.dead(CUSTOMERS, "sync")


@pytest.fixture(params=["server", pytest.param("cluster", marks=pytest.mark.long)])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[GuardedServer]:
    """Yield a server that lets in nobody but the users of the file, on its own and as a Cluster of one."""
    async with guarded_server(tmp_path, cluster=request.param == "cluster") as running:
        yield running


@pytest.fixture
async def system(tmp_path: Path, server: GuardedServer) -> AsyncIterator[System]:
    """Yield a system whose commands are an operator's."""
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url("er-operator")) as running:
        yield running


@pytest.fixture
async def store(server: GuardedServer) -> AsyncIterator[Store]:
    """Yield the store as somebody sees it who may do everything."""
    store = connect(server.url(), KEYS)
    yield store
    await store.aclose()


async def until(server: GuardedServer, condition: Callable[[], object]) -> None:
    """Wait for a condition, unless somebody is refused something."""

    def holds() -> object:
        assert server.refusals() == []
        return condition()

    await eventually(holds, interval=0.1)


async def ended(process: asyncio.subprocess.Process) -> int:
    """Ask a process to end; return its exit code."""
    process.send_signal(signal.SIGTERM)
    return await asyncio.wait_for(process.wait(), 30)


async def test_ingress(server: GuardedServer, system: System) -> None:
    """Ingress stores, recognises, confirms and quarantines with its own user, which may do nothing more."""
    async with server.replica() if not server.cluster else nullcontext():
        for durability in ("written", "fsynced") if server.cluster else ("written", "fsynced", "replicated:1"):
            plant_spool(KEYS, system.folder / "data" / "spool", OTHER)  # which it drains
            access = {"ROUTER_REDIS__URL": server.url("er-ingress"), "ROUTER_INGRESS__DURABILITY": durability}
            process = await system.start("ingress", **access)
            await system.ready()
            body = {"notificationId": durability, "event": "customer_changed", "contextId": 7}
            await eventually(lambda item=body: _recognised(system, item), interval=0.1)
            assert server.refusals() == []
            assert (await system.post(f"{{ {durability}".encode()))[1]["quarantined"] == 1
            assert await ended(process) == 0
            assert server.refusals() == []
    assert server.unused("er-ingress") == set()


async def _recognised(system: System, item: object) -> bool:
    """Post an item twice over; tell whether both are known, as they are once one is stored and not only spooled."""
    status, counts = await system.post([item, item])
    assert status == 202
    return bool(counts == {"accepted": 0, "duplicates": 2, "quarantined": 0})


QUICKLY = {
    "ROUTER_WORKERS__SHUTDOWN_TIMEOUT": "1",
    "ROUTER_RETENTION__INTERVAL": "0.5",
    "ROUTER_RETENTION__EVENTS": "0.5",
    "ROUTER_RETENTION__QUARANTINE_COUNT": "1",
    "ROUTER_DRIFT__EVERY": "0.1",
}

HANDLERS = """
everything = Subscription("everything", events=["*"], retry=Retry(max_attempts=2, first_delay=0.01, max_delay=0.02))

from workers.breakers import Breaker
from workers.limits import Limit

crm = Limit("crm", rate=1000)
target = Breaker("crm", failures=1, interval=0.05)

@everything.handler
async def handle(delivery: Delivery) -> None:
    event = delivery.event
    if event.id == "again" and delivery.attempt == 1 or event.id == "dead":
        raise ValueError("not today")
    if event.id == "kills" and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    await crm.acquire(event)
    async with target as call:
        call.answered(500 if event.id == "two" and not delivery.deferred else 200)
    note("everything", event)
    if event.id == "slow":
        await asyncio.sleep(60)

from workers import Coalesce

keyed = Subscription(
    "keyed",
    events=["*"],
    key=lambda event: event.id,
    coalesce=Coalesce(quiet=0.05, within=1),
    after_dead="hold",
    per_company=2,
    retry=Retry(max_attempts=2, first_delay=0.01, max_delay=0.02),
)

@keyed.handler
async def handle_keyed(delivery: Delivery) -> None:
    event = delivery.event
    if event.id == "again" and delivery.attempt == 1 or event.id == "dead":
        raise ValueError("not today")
    note("keyed", event)
    if event.id == "slow":
        await asyncio.sleep(60)
"""


ECHOING = """
from workers import Record
from workers.erp import erp_for

echoing = Subscription("echoing", events=["*/customer_changed"], hydrate=True, echo="drop")

@echoing.handler
async def write_back(event: Event, record: Record) -> None:
    async with erp_for(event) as erp:
        await erp.put(event.resource_path, {"name": event.id}, if_match=record.etag)
"""

FILTERED = """
filtered = Subscription("filtered", events=["*/customer_changed"], where={"company_id": "none"})

@filtered.handler
def never(event: Event) -> None:
    raise AssertionError(event.id)
"""


async def put_in_line(store: Store, name: str, id_: str) -> None:
    """Put an event into the lines of a subscription, as if it had a key."""
    lines = Lines(store.keys, name)
    ref = f"{1:013}-{0:06}o/{CUSTOMERS}".encode()
    item = Item(
        store.keys.events(CUSTOMERS), f"{1:020}-{0:020}", b"k", ref, pack(b"7", ["id", id_, "raw", raw_of(id_)])
    )
    await store.call(lines.lead("t", 60_000))
    assert await store.call(lines.add("t", 60_000, [item])) == 1
    await store.call(lines.resign("t"))


SWEEPING = {
    "ROUTER_RECONCILE__CUSTOMERS__PATH": "v1/customer",
    "ROUTER_RECONCILE__CUSTOMERS__COMPANIES": "t1/7",
    "ROUTER_RECONCILE__CUSTOMERS__WAIT": "0",
    "ROUTER_RECONCILE__CUSTOMERS__EVERY": "1s",
    "ROUTER_RECONCILE__CUSTOMERS__DELETES": "1s",
    "ROUTER_RECONCILE__CUSTOMERS__MAX_DELETES": "0.9",
}
"""Settings of a worker that sweeps."""


@pytest.fixture
async def erp() -> AsyncIterator[FakeErp]:
    """Yield a fake ERP that makes up what it is asked for."""
    async with serving(FakeErp(Options(invent=True))) as found:
        yield found


TIDY = {
    "ROUTER_RETENTION__INTERVAL": "0.5",
    "ROUTER_RETENTION__EVENTS": "0.1",
    "ROUTER_RETENTION__DEAD_LETTERS_COUNT": "1",
    "ROUTER_RETENTION__QUARANTINE_COUNT": "1",
}
"""Settings of a janitor that has something to do."""


@pytest.mark.long
async def test_worker(server: GuardedServer, system: System, store: Store, erp: FakeErp, tmp_path: Path) -> None:
    """A worker reads, retries, gives up, takes over, gives back, archives and tidies up as its own user, no more.

    So does one of a keyed subscription, in whose lines it also merges, holds and takes turns, with its replays; and one
    of a subscription that has lost its key takes along what its lines hold.
    """
    await put_events(store, "one", "again", "dead", "kills")
    await put_in_line(store, "everything", "left")
    await put_in_line(store, "keyed", "restored")
    await store.client.unlink(*(KEYS.lines("keyed")[LINES.index(name)] for name in ("lines", "ready")))
    await store.client.hset(KEYS.filter("filtered"), "where", "another")
    await put_schema(store, Report("new", "note", 1))
    await store.client.xadd(KEYS.inbox(CUSTOMERS, "keyed"), {"id": "replayed", "at": "1", "raw": raw_of("replayed")})
    for body in (b"{", b"["):
        await put_quarantined(store, body)
    now = round(time.time() * 1000)
    await store.client.hset(KEYS.refusals(), FINANCIAL, f"9 {now - 900_000} {now} signature")
    server.forget()
    access = {"ROUTER_REDIS__URL": server.url("er-worker"), "ROUTER_WORKERS__SHUTDOWN_TIMEOUT": "1", **TIDY}
    known = {"BASE_URL": erp.base_url, "TOKEN_URL": erp.token_url, "CLIENT_ID": "c", "CLIENT_SECRET": "s3cret"}
    known |= {"TENANT_ID": "t1"}
    archive = tmp_path / "archive"
    archive.mkdir()
    access |= {"ROUTER_ARCHIVE__TO": archive.as_uri()}
    access["ROUTER_SILENCE__EVERY"] = "0.2"
    access |= {f"ROUTER_ERP__VISMA_NET_FINANCIAL__{name}": value for name, value in known.items()}
    async with receiving() as receiver:
        access |= notifying(receiver)
        await _work(server, system, store, access)
        assert receiver.requests
    assert server.refusals() == []
    assert [*archive.rglob("*.jsonl.gz")]
    assert server.unused("er-worker") <= {"wait", "hkeys"}  # which a Cluster needs, and an incident that begins


def notifying(receiver: Receiver) -> dict[str, str]:
    """Return settings of a worker that notifies a receiver."""
    values = {"KIND": "slack", "URL": f"http://127.0.0.1:{receiver.port}/", "ALLOW_PRIVATE": "127.0.0.0/8"}
    return {f"ROUTER_NOTIFY__OPS__{name}": value for name, value in values.items()}


async def _work(server: GuardedServer, system: System, store: Store, access: dict[str, str]) -> None:
    """Have a worker with this environment do all that it does."""
    await store.client.xgroup_create(KEYS.notices(), group_of("removed"), "0", mkstream=True)
    await store.client.zadd(KEYS.notifiers(), {"removed": 1})
    await Incidents(store).open(Incident("test", "p", int(time.time() * 1000), "It is.", "See.", "event-router doctor"))
    server.forget()
    module = system.module(HANDLERS + ECHOING + FILTERED)
    killed = await system.start("worker", module, **access)
    await until(server, lambda: killed.returncode == -signal.SIGKILL)
    for lease in (KEYS.learning(), KEYS.archiving()):  # what the killed one may have had lasts for minutes
        await store.client.delete(lease)
    process = await system.start("worker", module, **access)
    await system.ready()
    await until(server, lambda: {"one", "again", "kills"} <= set(system.handled()))
    await until(server, lambda: server.ask("XLEN", KEYS.dead(CUSTOMERS, "everything")))
    await until(server, lambda: {"one", "again", "kills"} <= set(system.handled("keyed")))
    await until(server, lambda: server.ask("ZCARD", KEYS.lines("keyed")[LINES.index("held")]))
    assert server.ask("XLEN", KEYS.dead(CUSTOMERS, "keyed")) == 1
    await until(server, lambda: {"replayed", "restored"} <= set(system.handled("keyed")) and "left" in system.handled())
    await until(server, lambda: not server.ask("EXISTS", *KEYS.lines("everything")))
    await until(server, lambda: not server.ask("XLEN", EVENTS))
    await until(server, lambda: server.ask("XLEN", KEYS.quarantine(FINANCIAL)) == 1)
    await until(server, lambda: server.ask("XLEN", EVENTS) == 0)
    await until(server, lambda: server.ask("XLEN", KEYS.quarantine(FINANCIAL)) == 1)
    await until(server, lambda: '"over":null' not in str(server.ask("HGET", KEYS.schemas(), CUSTOMERS)))
    await pause(store, "everything", None, by="ann")
    await until(server, lambda: server.ask("EXISTS", KEYS.halted("everything")))
    await resume(store, "everything", by="ann")
    async with aiohttp.ClientSession() as session, session.get(system.ops_url("/metrics")) as response:
        assert "event_router_store_up 1.0" in await response.text()
    await until(server, lambda: server.ask("XLEN", KEYS.notices()))
    await put_events(store, "slow")
    await until(server, lambda: system.handled()["slow"] == 2)
    # Counts of the killed one may be missing; "slow" came after it.
    await until(server, lambda: server.ask("HGET", KEYS.filter("filtered"), f"skipped:{CUSTOMERS}"))
    await until(server, lambda: system.said("message_sent"))
    assert server.ask("EXISTS", KEYS.notifiers())
    assert await ended(process) == 0
    assert system.said("echo_dropped")
    assert system.said("notifiers_removed")


async def test_reconciler(server: GuardedServer, system: System) -> None:
    """A worker that sweeps makes events of what changed and of what is gone, with a user of its own."""
    sweeping = {"ROUTER_REDIS__URL": server.url("er-reconciler"), "ROUTER_INGRESS__DURABILITY": "fsynced", **SWEEPING}
    async with serving(FakeErp()) as erp:
        for number in ("1", "2"):
            erp.books("t1").put(f"v1/customer/{number}", {"number": number})
        process = await system.start("worker", system.module(HANDLERS), **sweeping, **erp_variables(erp))
        await until(server, lambda: server.ask("XLEN", EVENTS) == 2)
        erp.books("t1").delete("v1/customer/1")
        await until(server, lambda: server.ask("XLEN", EVENTS) == 3)
        await until(server, lambda: len(system.handled()) == 3)
        async with aiohttp.ClientSession() as session, session.get(system.ops_url("/metrics")) as response:
            assert 'event_router_reconcile_held_records{reconciliation="customers"} 0.0' in await response.text()
        assert await ended(process) == 0
    assert server.refusals() == []
    rare = {"wait", "bitfield"}  # for `replicated`; and what a sweep repeats after a crash
    assert server.unused("er-reconciler") - server.unused("er-worker") <= rare


async def test_forwarder(server: GuardedServer, system: System, store: Store) -> None:
    """A forward posts, tries again, gives up, and is paused by 410, with a user of its own that adds no event."""
    async with receiving(answering(500, 410, 200)) as receiver:
        forward = {
            "EVENTS": CUSTOMERS,
            "URL": f"http://127.0.0.1:{receiver.port}/",
            "SECRET": SECRET,
            "ALLOW_PRIVATE": "127.0.0.0/8",
            "KEY": "resource",
            "RETRY__FIRST_DELAY": "0.01",
            "LIMIT__RATE": "1000",
        }
        access = {f"ROUTER_FORWARD__CRM__{name}": value for name, value in forward.items()}
        access |= {"ROUTER_REDIS__URL": server.url("er-forwarder"), **TIDY}
        await put_events(store, "one")
        server.forget()
        process = await system.start("forward", **access)
        await until(server, lambda: server.ask("EXISTS", KEYS.halted("crm")))
        await resume(store, "crm", by="ann")
        await until(server, lambda: len(receiver.requests) == 3)
        await until(server, lambda: not server.ask("HLEN", KEYS.incidents()))
        await until(server, lambda: not server.ask("XLEN", EVENTS))
        assert await ended(process) == 0
    assert server.refusals() == []
    assert server.ask("XLEN", KEYS.audit()) >= 2
    own = granted("er-forwarder") - granted("er-worker")
    assert own
    assert not server.unused("er-forwarder") & own


def test_what_a_forwarder_may_do() -> None:
    """A forward is a worker: its user may do all that a worker's may."""
    lines = {line.split()[1]: line for line in USERS.read_text().splitlines()}
    worker, forwarder = lines["er-worker"], lines["er-forwarder"]
    assert forwarder.startswith(worker.replace("er-worker", "er-forwarder"))


COMMANDS = (
    "streams",
    "doctor",
    "events list",
    "events show one",
    "events capture one",
    "events tail --until 1h",
    "listen --to http://127.0.0.1:9/ --until 1h",
    "keys list sync",
    "keys list sync --held",
    "keys show sync /7/customer/1",
    "keys release sync --yes",
    "events replay customer_changed --to sync --since 2020-01-01 --yes",
    "top --once --interval 0.1",
    "dlq stats",
    "dlq list",
    "dlq show gone --reveal",
    "dlq watch --since 2020-01-01 --limit 1",
    "dlq export {folder}/all.jsonl",
    "dlq replay gone",
    "dlq purge wrong --yes",
    "dlq import {folder}/all.jsonl --yes",
    "quarantine list",
    "quarantine show {quarantined}",
    "quarantine capture {quarantined}",
    "quarantine retry --text readable --yes",
    "quarantine purge {quarantined}",
    "audit",
    "archive list",
    "archive show {archived}",
    "archive verify",
    "events replay customer_changed --to sync --since 2020-01-01 --from-archive --yes",
    "archive off --yes",
    "forward list",
    "limits list",
    "limits show crm",
    "breakers list",
    "breakers show crm",
    "schema list",
    "schema show customer_changed",
    "reconcile list",
    "reconcile show customers",
    "reconcile run customers",
    "reconcile run customers --complete",
    "notify list",
    "incidents list",
    "incidents list --past 9",
    "incidents list --muted",
    "incidents mute silence visma-net-financial/7 --for 1h",
    "incidents unmute silence visma-net-financial/7",
    "keys skip sync /7/customer/1 --yes",
    "keys skip sync /7/customer/2 --yes",
    "subscriptions pause sync --company 7",
    "subscriptions resume sync --company 7",
    "export --company 7 --output {folder}/company.jsonl",
    "erase --company 7",
    "subscriptions list",
    "subscriptions pause sync",
    "subscriptions resume sync",
    "subscriptions remove sync --yes --dead-letters",
)
"""Every command that looks into the store, or changes it."""


def test_every_command_is_run() -> None:
    """There is no command that looks into the store which the operator's user is not tried with."""
    others = {"init", "up", "ingress", "worker", "console", "demo", "send", "catalogue", "fake-erp"}
    found = set()
    for name in set(typer.main.get_command(app).list_commands(typer.Context(typer.main.get_command(app)))) - others:
        group = getattr(load(name), "commands", None)
        found |= {f"{name} {verb}" for verb in group} if group else {name}
    run = {next(known for known in found if f"{line} ".startswith(f"{known} ")) for line in COMMANDS}
    assert run == found - {"forward test", "notify test"}  # which ask a receiver alone


@pytest.fixture
async def quarantined(store: Store, server: GuardedServer) -> str:
    """Put in everything that the commands ask for; return the id of what is in the quarantine."""
    await put_group(store, "sync")
    await put_events(store, "one")
    await store.client.execute_command("XREADGROUP", "GROUP", "sync", "w1", "STREAMS", EVENTS, ">")
    parked = await store.client.xadd(KEYS.parked(CUSTOMERS, "sync"), {"id": "one"})
    await store.client.zadd(KEYS.due(CUSTOMERS, "sync"), {parked: 9e14})
    await put_dead(store, "gone")
    await put_dead(store, "wrong")
    keyed = KeyedBench(store)
    await keyed.bring("three", "four", "five", merged=True)
    await keyed.bring("six", "seven", customer="2", merged=True)
    await keyed.hold()
    await store.client.delete(KEYS.lines("sync")[LINES.index("turns")])  # as a claim does while a company has no key
    await put_limit(store)
    await put_incident(store)
    await store.client.hset(KEYS.archived(CUSTOMERS), "position", "1-0")
    await put_schema(store)
    await put_breaker(store)
    quarantined = await put_quarantined(store, b"{")
    for _ in range(2):  # the second is a duplicate
        await put_quarantined(store, raw_of("two"), reason="readable by now")
    await put_quarantined(store, raw_of("three"), reason="unconfirmed")
    server.forget()
    return quarantined


def test_operator(
    server: GuardedServer, quarantined: str, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every command does its work with an operator's user, which may do nothing more."""
    monkeypatch.undo()  # not on the fake store
    monkeypatch.setenv("ROUTER_REDIS__URL", server.url("er-operator"))
    monkeypatch.setenv("ROUTER_SECRETS__VISMA_NET_FINANCIAL", "x")
    monkeypatch.setenv("ROUTER_INGRESS__DURABILITY", "fsynced")  # of what `quarantine retry` appends
    archived = put_archived(tmp_path / "archive", "one", "two")
    monkeypatch.setenv("ROUTER_ARCHIVE__TO", (tmp_path / "archive").as_uri())
    with erp_in_a_thread() as erp:
        for name, value in (erp_variables(erp) | SWEEPING).items():
            monkeypatch.setenv(name, value)
        for number in ("1", "2"):
            erp.books("t1").put(f"v1/customer/{number}", {"number": number})
        for line in COMMANDS:
            result = cli.run(*line.format(quarantined=quarantined, folder=tmp_path, archived=archived).split())
            assert server.refusals() == [], line
            assert result.exit_code == 0, f"{line}: {result.output}"
            if line == "reconcile run customers":
                erp.books("t1").delete("v1/customer/1")
    monkeypatch.setenv("ROUTER_INGRESS__DURABILITY", "replicated:1")  # without a replica, so it stays
    assert "NotDurable" in cli.fails(1, "quarantine", "retry", "--text", "unconfirmed")
    assert server.refusals() == []
    assert server.unused("er-operator") == {"xinfo|stream"}  # which the console needs


def test_operator_erases_nothing(
    server: GuardedServer, quarantined: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator may see what an erasure would take, and may not carry it out: that takes a user of its own."""
    monkeypatch.undo()
    monkeypatch.setenv("ROUTER_REDIS__URL", server.url("er-operator"))
    del quarantined
    before = server.ask("XLEN", EVENTS)
    assert "er-eraser" in cli.fails(1, "erase", "--company", "7", "--yes")
    assert server.ask("XLEN", EVENTS) == before


@pytest.fixture
async def planted(store: Store, server: GuardedServer) -> None:
    """Put something of two companies into every place."""
    await plant_groups(store)
    for company in (NEEDLE, OTHER):
        await plant(store, company)
    server.forget()


@pytest.mark.usefixtures("planted")
def test_eraser(server: GuardedServer, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its user can erase what is in any place, and has no right that this does not take."""
    monkeypatch.undo()
    monkeypatch.setenv("ROUTER_REDIS__URL", server.url("er-eraser"))
    for name, value in SWEEPING.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ROUTER_RECONCILE__CUSTOMERS__COMPANIES", f"{TENANT}/{NEEDLE}")
    monkeypatch.setenv("ROUTER_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(Erasure, "patience", 0.0)
    said = cli.run("erase", "--company", NEEDLE, "--yes")
    assert server.refusals() == []
    assert said.exit_code == 0, said.output
    cli.run("export", "--company", OTHER)
    assert server.refusals() == []
    unused = server.unused("er-eraser") - {"ping"}  # which a connection takes that was idle
    assert unused == {"zrange"}  # where the next event of a key is somebody else's


async def test_console(server: GuardedServer, system: System, quarantined: str) -> None:
    """The console shows every page, and changes what it can, with an operator's user."""
    token = "token-of-the-console"
    await system.start("console", ROUTER_OPS__TOKEN=token)
    await system.ready()
    origin = {"Origin": system.ops_url("")}
    async with aiohttp.ClientSession(headers=origin, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:

        async def post(path: str, **fields: str) -> tuple[int, str]:
            async with session.post(system.ops_url(path), data=fields) as response:
                return response.status, await response.text()

        assert (await post("/login", code=make_code(token)))[0] == 200, f"{server.refusals()} {system.logs()}"
        status, page = await post("/login", token=token)
        assert status == 200, f"{server.refusals()} {system.logs()}"
        csrf = re.findall(r'name="csrf" value="([^"]+)"', page)[0]
        for path in (
            "/",
            "/dead-letters",
            "/quarantine",
            "/events",
            "/subscriptions",
            "/keys",
            "/forwards",
            "/reconcile",
            "/audit",
            "/metrics",
        ):
            headers = {"Authorization": f"Bearer {token}"} if path == "/metrics" else {}
            async with session.get(system.ops_url(path), headers=headers) as response:
                assert response.status == 200, f"{path}: {server.refusals()}"
        for path in ("/subscriptions/pause", "/subscriptions/resume"):
            assert (await post(path, csrf=csrf, name="sync"))[0] == 200
    assert server.refusals() == []
    assert "xinfo|stream" not in server.unused("er-operator")
    assert server.ask("XLEN", KEYS.audit())


ANYBODY = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG GET *",
    "KEYS *",
    "SHUTDOWN",
    "ACL LIST",
    "MONITOR",
    "GET other",
]
FORBIDDEN = {
    "er-ingress": [
        *ANYBODY,
        f"XRANGE {EVENTS} - +",
        f"XREAD STREAMS {EVENTS} 0",
        f"XDEL {EVENTS} 1-1",
        f"DEL {EVENTS}",
        f"SET {EVENTS} x",
        f"GET {SEEN}",
        f"XADD {DEAD} * a b",
        "XADD other * a b",
        f"EVAL return(redis.call('XRANGE',KEYS[1],'-','+')) 1 {EVENTS}",
        f"EVAL return(redis.call('SET',KEYS[1],'x')) 1 {EVENTS}",
        f"EVAL return(redis.call('FLUSHALL')) 1 {EVENTS}",
    ],
    "er-worker": [
        *ANYBODY,
        f"XADD {EVENTS} * a b",
        f"XDEL {EVENTS} 1-1",
        f"DEL {EVENTS}",
        f"SET {EVENTS} x",
        f"EXISTS {SEEN}",
        "XADD other * a b",
        "CLIENT LIST",
    ],
    "er-reconciler": [
        *ANYBODY,
        f"XDEL {EVENTS} 1-1",
        f"DEL {EVENTS}",
        f"SET {EVENTS} x",
        f"GET {SEEN}",
        "XADD other * a b",
        "CLIENT LIST",
    ],
    "er-forwarder": [
        *ANYBODY,
        f"XADD {EVENTS} * a b",
        f"XDEL {EVENTS} 1-1",
        f"SET {EVENTS} x",
        f"XRANGE {KEYS.audit()} - +",
        f"XDEL {KEYS.audit()} 1-1",
        "XADD other * a b",
        "CLIENT LIST",
    ],
    "er-operator": [
        *ANYBODY,
        f"XDEL {EVENTS} 1-1",
        f"XDEL {KEYS.audit()} 1-1",
        f"UNLINK {KEYS.audit()}",
        f"XTRIM {EVENTS} MAXLEN 0",
        f"UNLINK {EVENTS}",
        f"SET {EVENTS} x",
        "XADD other * a b",
        "CLIENT KILL TYPE normal",
    ],
}


@pytest.mark.parametrize("user", FORBIDDEN)
@pytest.mark.parametrize("server", ["server"], indirect=True)
async def test_what_each_may_not_do(server: GuardedServer, user: str) -> None:
    """What does not belong to a role is refused to its user, also in a script."""
    for line in FORBIDDEN[user]:
        with pytest.raises(ResponseError, match=r"(?i)permission|ACL failure|can't run|can't access"):
            server.ask(*line.split(), user=user)


@pytest.mark.parametrize("server", ["server"], indirect=True)
async def test_nobody_comes_in_without_a_password(server: GuardedServer) -> None:
    """The default user is off, and the others have a password."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.server.port)
    for line, answer in (
        ("PING", b"-NOAUTH"),
        ("AUTH x", b"-WRONGPASS"),
        ("AUTH default x", b"-WRONGPASS"),
        ("AUTH admin x", b"-WRONGPASS"),
        ("AUTH er-worker x", b"-WRONGPASS"),
    ):
        writer.write(f"{line}\r\n".encode())
        assert (await reader.readline()).startswith(answer), line
    writer.close()
    await writer.wait_closed()


async def test_a_user_without_a_password_cannot_log_in(tmp_path: Path) -> None:
    """The file as it comes is loaded by a server, and lets nobody in: no password of it is known to all."""
    with starting("--aclfile", str(USERS)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        users = ("er-ingress", "er-worker", "er-reconciler", "er-forwarder", "er-operator", "er-eraser")
        for user in ("default", "admin", *users):
            for password in ("", user, "password"):
                writer.write(f'AUTH {user} "{password}"\r\n'.encode())
                assert (await reader.readline()).startswith(b"-WRONGPASS")
        writer.close()
        await writer.wait_closed()


@pytest.mark.long
async def test_sentinels_and_replicas(tmp_path: Path) -> None:
    """A replica follows, a Sentinel puts it in the master's place, and ingress finds it, each with its own user."""
    login = ("--masteruser", "replica", "--masterauth", access("replica")["password"])
    users = ("--aclfile", with_passwords(USERS, tmp_path), *login)
    watching = ("--sentinel", "--aclfile", with_passwords(SENTINEL_USERS, tmp_path))
    with starting(*users) as master, starting(*users, "--replicaof", "127.0.0.1", str(master.port)) as replica:
        await eventually(lambda: master.ask("INFO", "replication", **access())["connected_slaves"])
        with starting(
            *watching, config=WATCHED.format(port=master.port, replica=replica.port, **access("sentinel"))
        ) as sentinel:
            parts = access("er-ingress"), sentinel.port, access("er-router")
            store = connect(SENTINEL_URL.format(*parts), KEYS)
            assert await put_events(store, "one")
            master.kill()

            async def stored() -> bool:
                assert refusals(replica) == refusals(sentinel) == []
                [reply] = await store.run([append(EVENTS, [KEYS.seen(CUSTOMERS, "two")], ["id", "two"], 1000)])
                return not isinstance(reply, BaseException)

            await eventually(stored)
            await store.aclose()
            assert refusals(replica) == refusals(sentinel) == []


WATCHED = """
sentinel monitor main 127.0.0.1 {port} 1
sentinel auth-user main {username}
sentinel auth-pass main {password}
sentinel down-after-milliseconds main 300
sentinel failover-timeout main 2000
sentinel known-replica main 127.0.0.1 {replica}
"""
SENTINEL_URL = (
    "redis+sentinel://{0[username]}:{0[password]}@127.0.0.1:{1}/main?username={2[username]}&password={2[password]}"
)


async def test_what_scripts_wrote_is_there_after_a_restart(tmp_path: Path) -> None:
    """A server reads its append-only file as `default`, which is off and must have the rights to do so all the same."""
    async with guarded_server(tmp_path) as server:
        store = connect(server.url("er-ingress"), KEYS)
        assert await put_events(store, "one", "two")
        await store.aclose()
        server.server.stop()
        server.server.start()
        assert server.ask("XLEN", EVENTS) == 2
