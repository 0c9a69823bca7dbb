"""Secrets, networks and publishers are read again on SIGHUP, by real processes under load, and nothing is refused."""

import asyncio
import fcntl
import itertools
import os
import pty
import re
import signal
import sys
import termios
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.processes import FINANCIAL, System, running_system
from support.waiting import eventually

pytestmark = pytest.mark.real

OLD, NEW = "the-old-secret-of-the-portal", "the-new-secret-of-the-portal"
PUBLISHER = """
slug = "acme"
name = "Acme"
[signature]
scheme = "hmac-sha256"
encoding = "base64"
header = "x-acme-signature"
[[events]]
type = "thing_changed"
entity = "thing"
action = "changed"
description = "A thing changed."
"""


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system whose Financial secrets are in a file."""
    (tmp_path / "secrets").write_text(OLD)
    (tmp_path / "publishers").mkdir()
    environment = {
        "ROUTER_SECRETS__VISMA_NET_FINANCIAL": "",
        "ROUTER_SECRETS__VISMA_NET_FINANCIAL_FILE": str(tmp_path / "secrets"),
        "ROUTER_PUBLISHERS_DIR": str(tmp_path / "publishers"),
        "ROUTER_CONFIG": str(tmp_path / "router.toml"),
    }
    (tmp_path / "router.toml").write_text("")
    async with running_system(tmp_path, **environment) as running:
        yield running


async def figure(system: System, metric: str) -> float | None:
    """Return a metric of the ingress; None where it does not say it, or nobody answers."""
    try:
        async with aiohttp.ClientSession() as session, session.get(system.ops_url("/metrics")) as response:
            text = await response.text()
    except aiohttp.ClientError:
        return None
    found = re.search(rf"^{re.escape(metric)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


async def reload(system: System, process: asyncio.subprocess.Process, outcome: str = "done") -> None:
    """Have the ingress reload, and wait until it counted that."""
    metric = f'event_router_reloads_total{{outcome="{outcome}"}}'
    before = await figure(system, metric)
    assert before is not None
    process.send_signal(signal.SIGHUP)

    async def counted() -> bool:
        return await figure(system, metric) == before + 1

    await eventually(counted)


class Senders:
    """Posts events without a pause, each signed with the secret of the moment, and counts the answers."""

    def __init__(self, system: System, signing: list[str]) -> None:
        self.signing = signing
        self.answers: Counter[tuple[str, int]] = Counter()
        self._system = system
        self._number = itertools.count()
        self._stopped = False

    async def run(self) -> None:
        """Post until stopped."""
        while not self._stopped:
            for secret in list(self.signing):
                item = {"notificationId": f"n{next(self._number)}", "event": "customer_changed"}
                status, _ = await self._system.post(item, secret=secret)
                self.answers[secret, status] += 1

    async def more(self, secret: str, number: int = 30) -> None:
        """Wait for so many further answers to what this secret signed."""
        wanted = self.answers[secret, 202] + number
        await eventually(lambda: self.answers[secret, 202] >= wanted)

    def stop(self) -> None:
        """Post no more."""
        self._stopped = True


async def test_a_secret_is_rotated_under_load(system: System, tmp_path: Path) -> None:
    """Old → old and new → new, each by a file and SIGHUP, while requests of both come: none is refused, none lost."""
    process = await system.start("ingress")
    await system.ready()
    senders = Senders(system, [OLD])
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(senders.run())
        try:
            await senders.more(OLD)
            (tmp_path / "secrets").write_text(f"{NEW}\n{OLD}\n")
            await reload(system, process)
            assert await figure(system, f'event_router_secrets{{publisher="{FINANCIAL}"}}') == 2
            senders.signing = [OLD, NEW]
            await senders.more(OLD)
            await senders.more(NEW)
            senders.signing = [NEW]
            await senders.more(NEW, 60)  # what the old one signed is through
            (tmp_path / "secrets").write_text(NEW)
            await reload(system, process)
            await senders.more(NEW)
        finally:
            senders.stop()
    assert {status for _, status in senders.answers} == {202}
    assert (await system.post({"notificationId": "late", "event": "customer_changed"}, secret=OLD))[0] == 401
    assert sum(row["length"] for row in await system.json("streams")) == sum(senders.answers.values())
    assert all(secret not in system.logs() for secret in (OLD, NEW))


async def test_a_bad_file_keeps_what_was(system: System, tmp_path: Path) -> None:
    """A secret file that is gone, empty or unreadable leaves the secrets from before in force, and is an error."""
    process = await system.start("ingress")
    await system.ready()
    file = tmp_path / "secrets"
    for number, content in enumerate((None, b"", b"# nothing\n", b"\xff\xfe")):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        await reload(system, process, "refused")
        assert len(system.said("reload_refused")) == number + 1
        assert (await system.post({"notificationId": f"a{number}", "event": "customer_changed"}, secret=OLD))[0] == 202
        assert (await system.post({"notificationId": f"b{number}", "event": "customer_changed"}, secret=""))[0] == 401
    file.write_text(NEW)
    await reload(system, process)
    assert (await system.post({"notificationId": "c", "event": "customer_changed"}, secret=NEW))[0] == 202


@pytest.mark.long
async def test_networks_and_limits_are_reloaded_and_the_rest_is_told(system: System, tmp_path: Path) -> None:
    """What may change does, a wrong setting changes nothing, and what needs a restart is named."""
    process = await system.start("ingress")
    await system.ready()
    settings = tmp_path / "router.toml"
    settings.write_text('[ingress]\nallow = ["192.0.2.1"]\nkeepalive = 7\nport = 1')  # the port comes from a variable
    await reload(system, process)
    assert (await system.post({"notificationId": "a", "event": "customer_changed"}, secret=OLD))[0] == 403
    assert '"not_until_restart": ["ingress.keepalive"]' in system.logs()
    settings.write_text('[ingress]\nallow = ["anyone"]')
    await reload(system, process, "refused")
    assert (await system.post({"notificationId": "a", "event": "customer_changed"}, secret=OLD))[0] == 403
    settings.write_text("[ingress]\nrate_limit = 0.01\nrate_burst = 1")
    await reload(system, process)
    answers = [(await system.post({"notificationId": n, "event": "customer_changed"}, secret=OLD))[0] for n in "abc"]
    assert answers == [202, 429, 429]


@pytest.mark.long
async def test_a_publisher_is_added_to_a_running_system(system: System, tmp_path: Path) -> None:
    """A new file and SIGHUP to `up`: its secret is made, every ingress receives it, the worker handles it."""
    module = system.module("""
everything = Subscription("everything", events=["*"])

@everything.handler
async def handle(event: Event) -> None:
    note("everything", event)
""")
    system.environment["ROUTER_INGRESS__PROCESSES"] = "2"
    process = await system.start("up", module)
    await system.ready()
    (tmp_path / "publishers" / "acme.toml").write_text(PUBLISHER)
    process.send_signal(signal.SIGHUP)

    async def sent() -> bool:
        return (await system.run("send", "acme", "thing_changed"))[0] == 0

    await eventually(sent, interval=0.2)
    await eventually(lambda: sum(system.handled("everything").values()) >= 1)
    assert process.returncode is None
    assert "child_killed" not in system.logs()


async def test_a_worker_reads_again_who_is_notified(system: System, tmp_path: Path) -> None:
    """SIGHUP to a worker begins and ends notifiers; a wrong file keeps those before, and its log says so."""
    module = system.module('s = Subscription("s", events=["*"])\n\n@s.handler\ndef handle(event: Event) -> None: ...\n')
    await system.start("ingress")
    await system.ready()
    process = await system.start("worker", module, ROUTER_REDIS__URL=f"unix://{system.folder}/none.sock")
    await eventually(lambda: "worker_started" in system.logs())
    url = tmp_path / "url"
    url.write_text("https://chat.example/needle")
    tables = '[silence]\nevery = "30s"\n[[notify]]\nname = "ops"\nkind = "slack"\n'
    for content, said in (
        (f'{tables}url_file = "{url}"', "notifier_begun"),
        (f'{tables}url_file = "{tmp_path}/gone"', "reload_refused"),
        ("", "notifier_ended"),
    ):
        (tmp_path / "router.toml").write_text(content)
        process.send_signal(signal.SIGHUP)
        await eventually(lambda wanted=said: len(system.said(wanted)) == 1)
    assert len(system.said("reload_refused")) == 1
    await eventually(lambda: "watch_changed" in system.logs())
    assert "needle" not in system.logs()
    assert process.returncode is None


@pytest.mark.parametrize("command", [pytest.param("ingress", marks=pytest.mark.long), "up"])
async def test_closing_the_terminal_stops_in_good_order(tmp_path: Path, command: str) -> None:
    """Where SIGHUP says that the terminal is gone it is no wish to reload: all is finished, and the process ends."""
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    system = System(tmp_path)
    log = tmp_path / "all.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "router.cli.main", command),
            cwd=tmp_path,
            env=system.environment,
            stdin=theirs,
            stdout=output,
            stderr=output,
            preexec_fn=take_terminal,
        )
    os.close(theirs)
    try:
        await system.ready()
        os.close(ours)
        assert await asyncio.wait_for(process.wait(), 40) == 0
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert "ingress_stopped" in log.read_text()
    assert "reloaded" not in log.read_text()
