"""The promises, on real processes: started as users start them, and killed as operating systems kill them."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.processes import SECRET, System, ledger, running_system
from support.waiting import eventually

pytestmark = pytest.mark.real

RECORDING = """
everything = Subscription("everything", events=["*"], concurrency=4)

@everything.handler
async def handle(event: Event) -> None:
    await asyncio.sleep(float(os.environ.get("SECONDS", "0")))
    note("everything", event)
"""


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system that runs nothing yet."""
    async with running_system(tmp_path) as running:
        yield running


async def test_up_runs_everything_and_keeps_its_data(system: System) -> None:
    """`up` takes a signed webhook to a handler, stops with exit 0 on SIGTERM, and starts again with the data kept."""
    module = system.module(RECORDING)
    first = await system.start("up", module)
    await system.ready()
    assert await system.post({"notificationId": "one", "event": "customer_changed"}) == (
        202,
        {"accepted": 1, "duplicates": 0, "quarantined": 0},
    )
    await eventually(lambda: system.handled()["one"] == 1)
    first.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(first.wait(), 30) == 0
    await system.start("up", module)
    await system.ready()
    assert (await system.post({"notificationId": "ONE", "event": "Customer_Changed"}))[1]["duplicates"] == 1
    assert [row["id"] for row in await system.json("events", "list")] == ["one"]
    assert system.handled() == {"one": 1}


@pytest.mark.long
async def test_a_dead_letter_is_replayed_by_a_command(system: System) -> None:
    """A handler that fails sends the event to the dead letters, and a command brings it back once it is mended."""
    module = system.module("""
broken = Subscription("broken", events=["*"], retry=Retry(max_attempts=2, first_delay=0.01, max_delay=0.02))

@broken.handler
def handle(event: Event) -> None:
    if not Path("mended").exists():
        raise ValueError(f"no customer {event.id}")
    note("broken", event)
""")
    await system.start("up", module)
    await system.ready()
    await system.post({"notificationId": "lost", "event": "customer_changed"})

    async def dead() -> bool:
        return [row["id"] for row in await system.json("dlq", "list")] == ["lost"]

    await eventually(dead, interval=0.1)
    letter = await system.json("dlq", "show", "lost")
    assert [attempt["message"] for attempt in letter["history"]] == ["no customer lost"] * 2
    assert letter["event"]["type"] == "customer_changed"
    (system.folder / "mended").touch()
    code, _, err = await system.run("dlq", "replay", "lost")
    assert code == 0, err
    await eventually(lambda: system.handled()["lost"] == 1)
    assert await system.json("dlq", "list") == []


@pytest.mark.long
async def test_two_workers_share_and_a_killed_one_loses_nothing(system: System) -> None:
    """Workers of one subscription share its events; one killed by SIGKILL mid-batch loses none of them."""
    module = system.module(RECORDING)
    await system.start("ingress")
    await system.ready()
    workers = [await system.start("worker", module, ROUTER_OPS__PORT="0", SECONDS="0.02") for _ in range(2)]
    ids = [f"event-{number}" for number in range(400)]
    sending = asyncio.create_task(system.post_many(ids))

    def both_at_work() -> bool:
        return len({row["pid"] for row in ledger(system.ledger)}) == 2 and len(system.handled()) > 40

    await eventually(both_at_work)
    workers[0].kill()
    await sending
    await eventually(lambda: len(system.handled()) == 400)
    doubled = sum(count - 1 for count in system.handled().values())
    assert doubled <= 4  # what the killed worker had finished and not yet acknowledged, at most its concurrency
    streams = await system.json("streams")
    assert all(not any(group["dead"] for group in stream["subscriptions"]) for stream in streams)


@pytest.mark.long
async def test_every_subscription_gets_every_event(system: System) -> None:
    """Two subscriptions over the same streams each get all events, whichever workers they run in."""
    second = RECORDING.replace("everything", "second")
    await system.start("up", system.module(RECORDING), system.module(second, "more"))
    await system.ready()
    ids = [f"event-{number}" for number in range(100)]
    await system.post_many(ids)
    await eventually(lambda: len(system.handled("everything")) == len(system.handled("second")) == 100)


@pytest.mark.long
async def test_sigterm_gives_unfinished_work_back(system: System) -> None:
    """A worker asked to stop ends what runs, gives the rest back at once and exits 0: nothing is lost or doubled."""
    module = system.module(RECORDING)
    await system.start("ingress")
    await system.ready()
    first = await system.start("worker", module, ROUTER_OPS__PORT="0", SECONDS="0.05", ROUTER_WORKERS__LEASE="60")
    ids = [f"event-{number}" for number in range(200)]
    await system.post_many(ids)
    await eventually(lambda: len(system.handled()) > 20)
    await system.start("worker", module, ROUTER_OPS__PORT="0", ROUTER_WORKERS__LEASE="60")
    first.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(first.wait(), 30) == 0
    await eventually(lambda: len(system.handled()) == 200)
    assert set(system.handled().values()) == {1}


@pytest.mark.long
async def test_a_poison_event_ends_dead_and_takes_nobody_along(system: System) -> None:
    """An event that kills its worker is delivered `max_attempts` times and dead then; its neighbours are handled."""
    module = system.module("""
poisoned = Subscription("poisoned", events=["*"], retry=Retry(max_attempts=3, first_delay=0.01, max_delay=0.02))

@poisoned.handler
async def handle(event: Event) -> None:
    note("poisoned", event)
    if event.id == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(0.01)
""")
    await system.start("up", module)
    await system.ready()
    ids = [f"event-{number}" for number in range(20)]
    await system.post_many([*ids[:10], "poison", *ids[10:]])

    async def dead() -> bool:
        return [row["id"] for row in await system.json("dlq", "list")] == ["poison"]

    await eventually(dead, timeout=40, interval=0.2)
    await eventually(lambda: set(ids) <= set(system.handled()))
    assert system.handled()["poison"] == 3
    letter = await system.json("dlq", "show", "poison")
    assert {attempt["error"] for attempt in letter["history"]} == {"WorkerLost"}


@pytest.mark.parametrize("code", [2, *(pytest.param(code, marks=pytest.mark.long) for code in (0, 3, 4))])
async def test_a_handlers_exit_code_is_never_ours(system: System, code: int) -> None:
    """Whatever code a handler ends its worker with, `up` restarts that worker and nothing else; the event ends dead."""
    module = system.module(f"""
ending = Subscription("ending", events=["*"], retry=Retry(max_attempts=2, first_delay=0.01, max_delay=0.02))

@ending.handler
async def handle(event: Event) -> None:
    note("ending", event)
    if event.id == "poison":
        os._exit({code})
""")
    parent = await system.start("up", module)
    await system.ready()
    await system.post_many(["before", "poison"])

    async def dead() -> bool:
        return [row["id"] for row in await system.json("dlq", "list")] == ["poison"]

    await eventually(dead, timeout=40, interval=0.2)
    await system.post_many(["after"])
    await eventually(lambda: system.handled()["after"] == 1)
    assert parent.returncode is None
    assert set(re.findall(r'"event": ?"child_exited", .*?"child": ?"(\w+)"', system.logs())) <= {"worker"}
    assert len(re.findall(r'"event": ?"ingress_started"', system.logs())) == 1


@pytest.mark.parametrize(
    "text", ["os._exit(2)", *(pytest.param(text, marks=pytest.mark.long) for text in ("raise SystemExit(2)", "1 / 0"))]
)
async def test_a_module_that_breaks_later_takes_no_ingress_along(system: System, text: str) -> None:
    """A worker that ran and cannot be imported at its restart is tried again; its module mended, it goes on."""
    source = """
everything = Subscription("everything", events=["*"])

@everything.handler
async def handle(event: Event) -> None:
    note("everything", event)
    if event.id == "last":
        os._exit(1)
"""
    module = system.module(source)
    parent = await system.start("up", module)
    await system.ready()
    await system.post_many(["first"])
    await eventually(lambda: system.handled()["first"] == 1)
    system.module(text)
    await system.post_many(["last"])
    await eventually(lambda: system.logs().count('"child_exited"') > 2)
    system.module(source.replace("os._exit(1)", "return"))
    await eventually(lambda: system.handled()["last"] == 2)
    assert parent.returncode is None


@pytest.mark.long
async def test_a_module_that_cannot_be_imported_ends_up(system: System) -> None:
    """A module that never ran is a mistake to be mended first: exit code 2, said in one line."""
    code, _, err = await asyncio.wait_for(system.run("up", system.module("raise SystemExit(3)")), 30)
    assert code == 2
    assert "cannot be imported: SystemExit: 3" in err


async def test_a_second_process_may_not_take_the_port(system: System) -> None:
    """A taken port is a message and exit code 2, not a traceback."""
    await system.start("ingress")
    await system.ready()
    code, _, err = await system.run("ingress")
    assert code == 2
    assert "taken" in err
    assert "Traceback" not in err


async def test_several_ingress_processes_share_the_port_and_the_memory(system: System) -> None:
    """With `--processes 2` both processes answer, a repeat is refused by either, and SIGTERM ends them with exit 0."""
    parent = await system.start("ingress", "--processes", "2")
    await eventually(lambda: len(re.findall(r'"event": ?"ingress_started"', system.logs())) == 2)
    for _ in range(2):
        answers = await asyncio.gather(
            *(system.post({"notificationId": f"n{number}", "event": "customer_changed"}) for number in range(60))
        )
        assert {status for status, _ in answers} == {202}
    assert sum(answer["duplicates"] for _, answer in answers) == 60
    parent.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(parent.wait(), 30) == 0


@pytest.mark.parametrize(
    "command",
    [pytest.param(["ingress", "--processes", "2"], marks=pytest.mark.long), ["up", "workers.log_events"]],
    ids=["ingress", "up"],
)
async def test_several_ingress_processes_share_any_free_port(system: System, command: list[str]) -> None:
    """With port 0 the processes are on one port all the same, which the system chose, and the log says which."""
    await system.start(*command, ROUTER_INGRESS__PORT="0", ROUTER_OPS__PORT="0", ROUTER_INGRESS__PROCESSES="2")

    await eventually(lambda: len(system.said("ingress_started")) == 2, timeout=30)
    (system.port,) = {line["port"] for line in system.said("ingress_started")}
    for number in range(10):
        assert (await system.post({"notificationId": f"n{number}", "event": "customer_changed"}))[0] == 202


@pytest.mark.long
async def test_a_forged_signature_stores_nothing(system: System) -> None:
    """A forged, missing or wrongly keyed signature leaves no key at all in the store."""
    await system.start("ingress")
    await system.ready()
    body = {"notificationId": "forged", "event": "customer_changed"}
    assert (await system.post(body, secret="another"))[0] == 401
    assert (await system.post(body, secret="test-secret"))[0] == 401  # the secret decoded from base64
    assert (await system.post(body, publisher="visma-net-journal-transaction"))[0] == 401  # has no secret
    assert all(stream["length"] == 0 for stream in await system.json("streams"))
    assert await system.json("events", "list") == []
    assert await system.json("quarantine", "list") == []
    assert SECRET not in system.logs()


async def test_the_demo_adds_up(system: System) -> None:
    """`demo` sends every event type and every kind of trouble through a whole system, and its figures add up."""
    code, out, err = await system.run("demo")
    assert code == 0, err
    assert "WRONG" not in out
    assert "accepted x subscriptions = handled + dead" in out


async def test_a_demo_that_cannot_run_says_so_at_once(system: System) -> None:
    """Where a process of the demo ends by itself, so does the demo: with what that process said, and no traceback."""
    (system.folder / "sitecustomize.py").write_text("import aiohttp.http\ndel aiohttp.http.HttpRequestParser\n")
    code, out, err = await asyncio.wait_for(system.run("demo", PYTHONPATH=str(system.folder)), 40)
    assert code == 1, out
    assert "whose HTTP parser cannot be used" in err
    assert "event-router: event-router up ended with 2" in err
    assert "Traceback" not in err


@pytest.mark.long
async def test_a_handler_that_never_ends_does_not_keep_the_worker(system: System) -> None:
    """A worker asked to stop leaves, with exit 0, handlers that swallow cancellations or hang in a thread."""
    module = system.module("""
stubborn = Subscription("stubborn", events=["*"], timeout=60)
hanging = Subscription("hanging", events=["*"], timeout=60)

@stubborn.handler
async def swallow(event: Event) -> None:
    note("stubborn", event)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

@hanging.handler
def hang(event: Event) -> None:
    note("hanging", event)
    time.sleep(60)
""")
    await system.start("ingress")
    await system.ready()
    worker = await system.start("worker", module, ROUTER_OPS__PORT="0", ROUTER_WORKERS__SHUTDOWN_TIMEOUT="0.5")
    await system.post({"notificationId": "one", "event": "customer_changed"})
    await eventually(lambda: system.handled()["one"] == 2)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.wait(), 30) == 0
    streams = await system.json("streams")
    [stream] = [row for row in streams if row["length"]]
    assert {group["lag"] + group["pending"] for group in stream["subscriptions"]} == {1}  # given back


async def test_an_ingress_has_one_name(system: System) -> None:
    """The name in the log of its start is that by which its operations port says whose answer it is."""
    await system.start("ingress")
    await system.ready()
    async with aiohttp.ClientSession() as session, session.get(system.ops_url("/readyz")) as response:
        assert [said["name"] for said in system.said("ingress_started")] == [(await response.json())["name"]]
