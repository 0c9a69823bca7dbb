"""The receivers of examples/receivers, each built with its own tools, get what forwards send and verify it."""

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import pytest
from support.waiting import eventually

from workers.outgoing import Exchange, Outgoing, Target, signed

FOLDER = Path(__file__).parents[2] / "examples" / "receivers"
SECRET, OLD, STRANGE = (f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2, 3))
EVENT = {"type": "net.visma.erp.customer_changed", "subject": "customer/Blåbær", "companyid": "7", "data": {"x": "ø"}}
BODY = json.dumps(EVENT, ensure_ascii=False).encode()
LOOPBACK = (ip_network("127.0.0.0/8"),)

BUILDS = {
    "csharp": (["dotnet", "build", "--output", "bin"], ["dotnet", "bin/Receiver.dll"]),
    "php": (["php", "-d", "error_reporting=-1", "-l", "receiver.php"], ["php", "-S", "127.0.0.1:0", "receiver.php"]),
    "typescript": (["sh", "-c", "npm ci --no-audit --no-fund && npm run build"], ["node", "receiver.js"]),
}
"""How each is built, and how it is started."""

LISTENS = re.compile(r"http://127\.0\.0\.1:[1-9]\d*(?=\D)")

LANGUAGES = [name for name in (os.environ.get("CONSUMERS") or " ".join(BUILDS)).split() if name in BUILDS]


@pytest.fixture(scope="module", params=LANGUAGES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return where a receiver was built, and its command."""
    folder = tmp_path_factory.mktemp("receivers") / request.param
    shutil.copytree(FOLDER / request.param, folder, ignore=shutil.ignore_patterns("node_modules", "bin", "obj"))
    build, command = BUILDS[request.param]
    assert shutil.which(build[0]), f"the receiver in {request.param} needs {build[0]}; CONSUMERS names those to test"
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, command


@dataclass
class Running:
    """A receiver that runs, and what it prints."""

    outgoing: Outgoing
    output: Path

    def handled(self) -> list[str]:
        """Return the lines of the events that were handled."""
        lines = self.output.read_text().splitlines()
        return [line for line in lines if re.match(r"event-\S+ ", line)]

    async def post(self, id_: str, body: bytes = BODY, *secrets: str, at: int = 0, **changed: str) -> Exchange:
        """Post a body, signed as forwards do it."""
        headers = signed(secrets or [SECRET], id_, int(time.time()) + at, body)
        return await self.outgoing.post(body, {**headers, **{k.replace("_", "-"): v for k, v in changed.items()}})


@pytest.fixture
def process(built: tuple[Path, list[str]]) -> Iterator[Path]:
    """Start a receiver; yield where its output goes."""
    folder, command = built
    shutil.rmtree(folder / "handled", ignore_errors=True)
    output = folder / "output"
    environment = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": "0"}
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
    yield output
    process.kill()
    process.wait()


@pytest.fixture
async def receiver(process: Path) -> AsyncIterator[Running]:
    """Yield a receiver that listens."""
    await eventually(lambda: LISTENS.search(process.read_text()))
    [url] = LISTENS.findall(process.read_text())[:1]
    target = Target(f"{url}/hooks/visma", allow_private=LOOPBACK, timeout=20)
    async with Outgoing(target) as outgoing:
        yield Running(outgoing, process)


async def test_a_signed_event_is_handled_once(receiver: Running) -> None:
    """What is signed is taken; the same event again is taken too, and is not handled again."""
    exchanges = [await receiver.post("event-1"), await receiver.post("event-2"), await receiver.post("event-1")]
    assert [exchange.status for exchange in exchanges] == [204, 204, 204]
    await eventually(lambda: len(receiver.handled()) == 2)
    assert receiver.handled() == [f"event-{n} net.visma.erp.customer_changed customer/Blåbær 7" for n in (1, 2)]


@pytest.mark.parametrize("secrets", [(OLD, SECRET), (SECRET, OLD), (OLD, STRANGE, SECRET)])
async def test_one_of_several_signatures_is_enough(receiver: Running, secrets: tuple[str, ...]) -> None:
    """While secrets are changed, a receiver that holds one of them verifies."""
    assert (await receiver.post("event-1", BODY, *secrets)).status == 204


async def test_what_is_not_signed_by_the_secret_is_refused(receiver: Running) -> None:
    """Another secret, another body, another id, an old time, a part that is missing: 401, and nothing is handled."""
    ours = signed([SECRET], "event-1", int(time.time()), BODY)
    refused = [
        await receiver.post("event-1", BODY, STRANGE),
        await receiver.post("event-1", BODY, webhook_id="event-2"),
        await receiver.post("event-1", BODY, webhook_signature="v1,"),
        await receiver.post("event-1", BODY, webhook_signature="rubbish"),
        await receiver.post("event-1", BODY, webhook_timestamp="soon"),
        await receiver.post("event-1", at=-3600),
        await receiver.post("event-1", at=3600),
        await receiver.outgoing.post(BODY.replace(b"7", b"8"), ours),
        await receiver.outgoing.post(BODY, {}),
        *[await receiver.outgoing.post(BODY, {k: v for k, v in ours.items() if k != name}) for name in ours],
    ]
    assert [exchange.status for exchange in refused] == [401] * len(refused)
    assert (await receiver.post("event-9")).status == 204
    await eventually(lambda: len(receiver.handled()) == 1)
    assert receiver.handled()[0].startswith("event-9")


async def test_an_event_that_cannot_be_handled_comes_again(receiver: Running) -> None:
    """A failure is a 5xx, so that the event is tried again, and it is not noted as handled."""
    assert (await receiver.post("event-1", b"no json")).status >= 500
    assert (await receiver.post("event-1")).status == 204
    await eventually(lambda: len(receiver.handled()) == 1)


async def test_what_a_forward_sends_is_verified(receiver: Running, tmp_path: Path) -> None:
    """`forward test` posts a sample of an event, which the receiver verifies and handles."""
    (tmp_path / "crm").write_text(SECRET)
    (tmp_path / "router.toml").write_text(
        f"""
        [[forward]]
        name = "crm"
        events = ["visma-net-financial/customer_changed"]
        url = "{receiver.outgoing.target.url}"
        secret_file = "{tmp_path / "crm"}"
        allow_private = ["127.0.0.0/8"]
        """
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router.cli.main", "forward", "test", "crm"),
        env={**os.environ, "ROUTER_CONFIG": str(tmp_path / "router.toml")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    shown = (await process.communicate())[0].decode()
    assert process.returncode == 0, shown
    assert "204" in shown
    await eventually(lambda: "net.visma.visma-net-financial.customer_changed" in receiver.output.read_text())


async def test_events_arrive_at_the_same_time(receiver: Running) -> None:
    """Many at once are all handled."""
    exchanges = await asyncio.gather(*(receiver.post(f"event-{number}") for number in range(50)))
    assert {exchange.status for exchange in exchanges} == {204}
    await eventually(lambda: len(receiver.handled()) == 50)
