"""`event-router forward` as its users run it: started, reloaded, refused, and under `up`."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.forwarding import SECRET, answering
from support.processes import System, running_system
from support.receiver import Receiver, receiving
from support.servers import Server
from support.waiting import eventually

pytestmark = pytest.mark.real

HANDLERS = """
@Subscription("{}", events=["*"]).handler
async def handle(event: Event) -> None: ...
"""


def table(receiver: Receiver, name: str = "crm", *lines: str) -> str:
    """Return a forward as the settings have it."""
    given = [
        f'name = "{name}"',
        'events = ["*/customer_*"]',
        f'url = "http://127.0.0.1:{receiver.port}/{name}"',
        f'secret = "{SECRET}"',
        'allow_private = ["127.0.0.0/8"]',
    ]
    return "\n".join(["[[forward]]", *given, *lines, ""])


@pytest.fixture
async def system(server: Server, tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system on a server, with an ingress and a settings file."""
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url, ROUTER_CONFIG=str(tmp_path / "r.toml")) as found:
        write(found, "")
        yield found


def write(system: System, text: str) -> None:
    """Write the settings."""
    (system.folder / "r.toml").write_text(text)


def gets(receiver: Receiver, name: str) -> list[str]:
    """Return the ids that a forward has sent."""
    lines = [request for request in receiver.requests if request.line == f"POST /{name} HTTP/1.1"]
    return [request.event_id for request in lines]


async def test_a_reload(system: System) -> None:
    """SIGHUP adds, changes and removes forwards; wrong settings change nothing and are named."""
    async with receiving(answering(200)) as receiver:
        write(system, table(receiver))
        forward = await system.start("forward")
        await system.start("ingress", ROUTER_OPS__PORT="0")
        await system.ready()
        await eventually(lambda: system.said("ingress_started"))
        await system.post_many(["one"])
        await eventually(lambda: gets(receiver, "crm") == ["one"])
        write(system, table(receiver, "crm", 'format = "raw"') + table(receiver, "erp", 'start = "latest"'))
        forward.send_signal(signal.SIGHUP)
        await eventually(lambda: system.said("forward_changed") and len(system.said("subscription_started")) == 2)
        await system.post_many(["two"])
        await eventually(lambda: gets(receiver, "crm") == ["one", "two"] and gets(receiver, "erp") == ["two"])
        [raw] = [each for each in receiver.requests if each.headers["content-type"] == "application/json"]
        assert (raw.event_id, raw.line) == ("two", "POST /crm HTTP/1.1")
        write(system, table(receiver, "crm", 'format = "xml"'))
        forward.send_signal(signal.SIGHUP)
        await eventually(lambda: system.said("reload_refused"))
        assert "forward 'crm': format = 'xml'" in system.said("reload_refused")[0]["reason"]
        write(system, table(receiver, "erp", 'start = "latest"'))
        forward.send_signal(signal.SIGHUP)
        await eventually(lambda: system.said("forward_ended"))
        await system.post_many(["three"])
        await eventually(lambda: gets(receiver, "erp") == ["two", "three"])
        assert gets(receiver, "crm") == ["one", "two"]
        forward.send_signal(signal.SIGTERM)
        assert await forward.wait() == 0
    assert SECRET not in system.logs()


@pytest.mark.long
async def test_under_up(system: System) -> None:
    """`up` runs the forwards of the settings in a process of their own, from the first one that a reload brings."""
    async with receiving(answering(200)) as receiver:
        up = await system.start("up", system.module(HANDLERS.format("other")))
        await eventually(lambda: system.said("ingress_started") and system.said("worker_started"))
        assert not system.said("forward_started")
        write(system, table(receiver))
        up.send_signal(signal.SIGHUP)
        await eventually(lambda: system.said("forward_started"))
        await system.post_many(["one"])
        await eventually(lambda: gets(receiver, "crm") == ["one"])
        up.send_signal(signal.SIGTERM)
        assert await up.wait() == 0


@pytest.mark.parametrize(
    ("command", "lines", "said"),
    [
        (("forward",), ["where = { colour = 1 }"], "forward 'crm': where has 'colour'"),
        (("forward",), ["coalesce = { quiet = 1, within = 2 }"], "forward 'crm' has coalesce and no key"),
        (("worker", "{module}"), [], "subscription 'crm' has the name of a [[forward]]"),
    ],
)
async def test_what_does_not_start(system: System, command: tuple[str, ...], lines: list[str], said: str) -> None:
    """What is wrong ends the process with 2 and one sentence that names the forward."""
    write(system, table(Receiver(b"", port=1), "crm", *lines))
    module = system.module(HANDLERS.format("crm"))
    code, _, error = await system.run(*(part.format(module=module) for part in command))
    assert code == 2
    assert said in error
    assert "Traceback" not in error


@pytest.mark.long
async def test_without_forwards(system: System) -> None:
    """With none in the settings it waits for one, and says so."""
    forward: Any = await system.start("forward")
    await eventually(lambda: system.said("no_forwards"))
    await system.ready()
    forward.send_signal(signal.SIGTERM)
    assert await forward.wait() == 0
