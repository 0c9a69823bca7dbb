"""The proof, step by step: each does one thing to the containers while senders go on, and the end counts by ids."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from containers.account import Account
from containers.deployment import Deployment
from faults.ledger import Ledger
from faults.load import Journal, Load

__all__ = ["Proof"]

_SUBSCRIPTION = "noted"
_SERVICES = ("redis", "ingress-a", "ingress-b", "worker", "proxy")
_SAMPLES = 10
_CALM = 3.0  # seconds of load before and after each fault
_PATIENCE = 150.0  # seconds: an ingress looks once a minute for what another has left behind


class Proof:
    """Runs all steps against one deployment whose workers write into `folder`; `say` gets a line for each step."""

    def __init__(
        self, deployment: Deployment, folder: Path, url: str, rate: float, say: Callable[[str, str], None]
    ) -> None:
        self._deployment = deployment
        self._folder = folder
        self._ledger = Ledger(folder, [_SUBSCRIPTION])
        self._journal = Journal()
        self._load = Load([url], self._journal, rate=rate, lanes=8, timeout=20.0)
        self._say = say
        self._wrong: list[str] = []

    async def run(self) -> list[str]:
        """Do everything; return what was wrong."""
        await self._bring_up()
        await self._look_inside()
        await self._send_from_inside()
        await self._load.start()
        try:
            await asyncio.sleep(_CALM)
            await self._restart_each()
            await self._lose_an_ingress()
        finally:
            await self._load.stop()
        await self._finish()
        await self._replay()
        await self._settle()
        return self._wrong

    async def _bring_up(self) -> None:
        await self._deployment.make_secrets()
        began = time.monotonic()
        await self._deployment.compose("build")
        size, own = await self._deployment.image_sizes()
        self._say("built", f"{time.monotonic() - began:.1f} s; {size / 1e6:.0f} MB, {own / 1e6:.0f} MB of them ours")
        began = time.monotonic()
        await self._deployment.compose("up", "--detach", "--no-build")
        for service in _SERVICES:
            for container in await self._deployment.containers(service):
                await self._deployment.ready(container)
        self._say("up", f"all ready after {time.monotonic() - began:.1f} s")

    async def _look_inside(self) -> None:
        """See that nothing runs as root, can write, or is without what passes signals on and buries the dead."""
        workers = await self._deployment.containers("worker")
        self._expect("workers", len(workers), 2)
        for container in ["ingress-a", "ingress-b", *workers]:
            [name] = [container] if container in workers else await self._deployment.containers(container)
            first = (await self._deployment.engine("exec", name, "cat", "/proc/1/comm")).strip()
            self._expect(f"first process of {name}", first, "tini")
            state = await self._deployment.engine("exec", name, "cat", "/proc/self/status")
            facts = dict(line.split(":\t", 1) for line in state.splitlines() if ":\t" in line)
            self._expect(f"user of {name}", facts["Uid"].split()[0], "10001")
            self._expect(f"capabilities of {name}", int(facts["CapBnd"], 16), 0)
            self._expect(f"new privileges in {name}", facts["NoNewPrivs"], "1")
            self._expect(f"writable root of {name}", await self._deployment.succeeds(name, "touch", "/x"), other=False)
        self._say("inside", "user 10001, no capabilities, nothing to write to, tini first")

    async def _send_from_inside(self) -> None:
        url = "http://proxy:8080"
        line = ("send", "visma-net-financial", "customer_*", "--count", str(_SAMPLES), "--url", url, "--json")
        summary = json.loads(await self._deployment.cli(*line))
        self._expect("accepted from inside", summary["accepted"], _SAMPLES)
        self._say("cli", f"{_SAMPLES} signed events sent from inside")

    async def _restart_each(self) -> None:
        """Stop and start one container after the other; nobody's request may fail but for the proxy's own restart."""
        before = self._failed()
        for service in ("ingress-a", "ingress-b", "worker", "redis"):
            for container in await self._deployment.containers(service):
                await self._restart(container)
        self._expect("requests that failed meanwhile", self._failed() - before, 0)
        [proxy] = await self._deployment.containers("proxy")
        await self._restart(proxy)

    async def _restart(self, container: str) -> None:
        before = Counter(self._journal.answers)
        down, up = await self._deployment.restart(container)
        await asyncio.sleep(_CALM)
        answers = ", ".join(f"{number}x {answer}" for answer, number in (self._journal.answers - before).items())
        self._say("restart", f"{container}: ended in {down:.1f} s, ready {up:.2f} s after its start; {answers}")

    async def _lose_an_ingress(self) -> None:
        """Kill an ingress that has spooled and let it stay dead: the other one sends what it has left behind."""
        [redis] = await self._deployment.containers("redis")
        [lost] = await self._deployment.containers("ingress-a")
        await self._deployment.engine("stop", "--time", "60", redis)
        before = len(self._journal.acknowledged)
        await asyncio.sleep(2 * _CALM)
        await self._deployment.engine("kill", lost)
        await asyncio.sleep(_CALM)
        spooled = len(self._journal.acknowledged) - before
        if not spooled:
            self._wrong.append("nothing was acknowledged while the store was away")
        began = time.monotonic()
        await self._deployment.start(redis)
        await self._until_all_are_handled()
        took = time.monotonic() - began
        self._say(
            "spool", f"{spooled} acknowledged without Redis; {lost} killed for good; all handled {took:.0f} s later"
        )
        await self._deployment.start(lost)

    async def _finish(self) -> None:
        await self._until_all_are_handled()
        self._say("load", ", ".join(f"{number}x {answer}" for answer, number in self._journal.answers.most_common()))

    async def _replay(self) -> None:
        """Mend the handler, and replay one dead letter, then all of them."""
        letters = await self._dead()
        self._expect("dead letters", bool(letters), other=True)
        (self._folder / "mended").touch()
        one = next(iter(letters))
        await self._deployment.cli("dlq", "replay", one, "--yes", "--reason", "proof")
        await self._until(lambda: self._is_handled(one), "the replayed dead letter is handled")
        await self._deployment.cli("dlq", "replay", "--subscription", _SUBSCRIPTION, "--yes", "--reason", "proof")
        await self._until(lambda: all(map(self._is_handled, letters)), "all dead letters are handled")
        self._say("replay", f"1, then {len(letters) - 1} dead letters handled after the handler was mended")

    async def _settle(self) -> None:
        stored = json.loads(await self._deployment.cli("events", "list", "--json"))
        inside = {row["id"] for row in stored} - self._journal.sent.keys()
        self._expect("events sent from inside that are stored", len(inside), _SAMPLES)
        self._ledger.refresh()
        account = Account(
            sent={*self._journal.sent, *inside},
            acknowledged={*self._journal.acknowledged, *inside},
            stored=[row["id"] for row in stored],
            handled={id_: len(times) for id_, times in self._ledger.handled[_SUBSCRIPTION].items()},
            dead=await self._dead(),
            refused=self._journal.wrong,
        )
        self._wrong += account.complaints()
        self._say("account", ", ".join(f"{number} {what}" for what, number in account.figures().items()))

    async def _dead(self) -> set[str]:
        letters = json.loads(await self._deployment.cli("dlq", "list", "--json"))
        return {letter["id"] for letter in letters}

    async def _until_all_are_handled(self) -> None:
        """Wait until every event acknowledged so far is handled or dead."""
        due = set(self._journal.acknowledged)
        deadline = time.monotonic() + _PATIENCE
        while missing := {id_ for id_ in due if not self._is_handled(id_)} - await self._dead():
            if time.monotonic() > deadline:
                self._wrong.append(f"not handled within {_PATIENCE:.0f} s: {len(missing)}, such as {min(missing)}")
                return
            await asyncio.sleep(1)
            self._ledger.refresh()

    def _is_handled(self, id_: str) -> bool:
        return id_ in self._ledger.handled[_SUBSCRIPTION]

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {_PATIENCE:.0f} s: {what}")
            await asyncio.sleep(0.2)
            self._ledger.refresh()

    def _failed(self) -> int:
        return sum(number for answer, number in self._journal.answers.items() if not answer.startswith("2"))

    def _expect(self, what: str, found: object, other: object) -> None:
        if found != other:
            self._wrong.append(f"{what}: {found!r} instead of {other!r}")
