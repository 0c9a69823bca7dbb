"""The commands that run processes: what they hand to the parts that do the work."""

import asyncio
import io
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.cli import Cli, Terminal
from support.forwarding import SECRET

from config.errors import ConfigError
from config.settings import Settings
from router.cli.running.banner import Banner
from router.cli.running.serve import _up
from router.process.signals import PARENT_FD
from workers import Subscription

pytestmark = pytest.mark.usefixtures("signals_put_back")

WORKER = """
from workers import Event, Subscription

mine = Subscription("mine", events=["*"])

@mine.handler
async def handle(event: Event) -> None: ...
"""


class Calls(list[tuple[Any, ...]]):
    """What a command called."""

    stuck: ClassVar[list[str]] = []

    async def run_up(self, settings: Settings, modules: Sequence[str], stop: asyncio.Event) -> int:
        """Stand in for the whole system."""
        self.append(("up", tuple(modules)))
        return 2

    async def run_ingress_processes(self, settings: Settings, processes: int, stop: asyncio.Event) -> int:
        """Stand in for several ingress processes."""
        self.append(("processes", processes))
        return 0

    async def serve_ingress(
        self, settings: Settings, stop: asyncio.Event, reload: asyncio.Event, *, reuse_port: bool = False
    ) -> None:
        """Stand in for an ingress, which reloads and ends when it is told."""
        self.append(("ingress", reuse_port))
        signal.raise_signal(signal.SIGHUP)
        await reload.wait()
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()

    async def serve_workers(
        self,
        settings: Settings,
        subscriptions: Sequence[Subscription],
        stop: asyncio.Event,
        reload: asyncio.Event,
        *,
        name: str | None = None,
    ) -> list[str]:
        """Stand in for the workers, which leave behind the handlers that are named in `stuck`."""
        self.append(("workers", [subscription.name for subscription in subscriptions], name))
        return self.stuck


@pytest.fixture
def calls(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Return what the commands call."""
    found = Calls()
    for name in ("run_up", "run_ingress_processes", "serve_ingress", "serve_workers"):
        monkeypatch.setattr(f"router.cli.running.serve.{name}", getattr(found, name))
    return found


def test_up(cli: Cli, calls: Calls) -> None:
    """`up` runs the modules it is given, else the one that prints events; its exit code is that of its children."""
    cli.fails(2, "up")
    cli.fails(2, "up", "a", "b.py")
    assert calls == [("up", ("workers.log_events",)), ("up", ("a", "b.py"))]


def test_up_with_forwards(cli: Cli, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where forwards take the events, nothing prints them as well, unless a worker is needed for sweeps."""
    for name, value in {"EVENTS": "*", "URL": "https://crm.example/", "SECRET": SECRET}.items():
        monkeypatch.setenv(f"ROUTER_FORWARD__CRM__{name}", value)
    cli.fails(2, "up")
    cli.fails(2, "up", "a")
    for name, value in {"PATH": "v1/customer", "EVERY": "1h"}.items():
        monkeypatch.setenv(f"ROUTER_RECONCILE__CUSTOMERS__{name}", value)
    cli.fails(2, "up")
    assert calls == [("up", ()), ("up", ("a",)), ("up", ("workers.log_events",))]


def test_ingress(cli: Cli, calls: Calls) -> None:
    """A single ingress runs until a signal ends it, with exit code 0."""
    cli.ok("ingress")
    assert calls == [("ingress", False)]


def test_ingress_processes(cli: Cli, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several share the port; each of them knows that it is one of several, and starts no more."""
    cli.ok("ingress", "--processes", "3")
    monkeypatch.setenv("ROUTER_INGRESS__PROCESSES", "2")
    cli.ok("ingress")
    monkeypatch.setenv(PARENT_FD, "99")
    cli.ok("ingress")
    assert calls == [("processes", 3), ("processes", 2), ("ingress", True)]


def test_worker(cli: Cli, calls: Calls, tmp_path: Path) -> None:
    """`worker` runs the subscriptions of all its modules, under the name it is given."""
    (tmp_path / "my_worker.py").write_text(WORKER)
    cli.ok("worker", "workers.log_events", "./my_worker.py", "--name", "w1")
    assert calls == [("workers", ["log-events", "mine"], "w1")]


def test_broken_module(cli: Cli, calls: Calls, tmp_path: Path) -> None:
    """An error in the user's module is their traceback and one line, and no frame of ours."""
    (tmp_path / "my_worker.py").write_text("import json\njson.loads(5)\n")
    said = cli.fails(2, "worker", "./my_worker.py").splitlines()
    assert said[0] == "Traceback (most recent call last):"
    assert said[1].endswith('my_worker.py", line 2, in <module>')
    assert said[-2].startswith("TypeError")
    assert said[-1].startswith("event-router: ./my_worker.py cannot be imported: TypeError: ")
    assert "router/cli" not in "".join(said)
    assert calls == []


def test_banner_is_for_terminals(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` shows its banner on a terminal and nowhere else; what it waits for ends with `up`."""
    shown: list[str] = []

    async def show(self: Banner, say: Any) -> None:
        shown.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            shown.append("ended")

    async def run_up(*_: Any) -> int:
        await asyncio.sleep(0)
        return 3

    monkeypatch.setattr(Banner, "show", show)
    monkeypatch.setattr("router.cli.running.serve.run_up", run_up)
    for stream, expected in ((io.StringIO(), []), (Terminal(), ["begun", "ended"])):
        monkeypatch.setattr("sys.stdout", stream)
        assert asyncio.run(_up(Settings(), ["m"])) == 3
        assert shown == expected


@pytest.mark.parametrize("module", ["no_such_module", "none.py", "json"])
def test_wrong_module(cli: Cli, calls: Calls, module: str) -> None:
    """A module that is not there, or holds no subscription, is exit code 2 and one line."""
    assert cli.fails(2, "worker", module).count("\n") == 1
    assert calls == []


def test_handlers_left(
    cli: Cli, calls: Calls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Handlers that could not be ended are named."""
    monkeypatch.setattr(calls, "stuck", ["mine"])
    cli.ok("worker", "workers.log_events")
    assert "'handlers': ['mine'], 'event': 'handlers_abandoned'" in caplog.text


def test_demo(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code of `demo` is that of its count."""
    monkeypatch.setattr("router.cli.demo.command.run_demo", lambda say: say("counted") or 1)
    assert cli.run("demo").exit_code == 1


def test_wrong_settings(cli: Cli, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are wrong end a service before it begins."""
    monkeypatch.setenv("ROUTER_INGRESS__PORT", "many")
    assert "ROUTER_INGRESS__PORT = 'many'" in cli.fails(2, "ingress")
    assert calls == []


def test_error_while_running(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is taken is a mistake of the user, and no traceback."""

    async def taken(*_: Any, **__: Any) -> None:
        raise ConfigError("port 0.0.0.0:8080 is taken")

    monkeypatch.setattr("router.cli.running.serve.serve_ingress", taken)
    assert cli.fails(2, "ingress") == "event-router: port 0.0.0.0:8080 is taken\n"
