"""The containers of compose.yaml, brought up under a project name of their own, and all that is done to them."""

import asyncio
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

__all__ = ["ROOT", "Deployment", "Failed"]

ROOT = Path(__file__).parents[2]

_BASE = "docker.io/library/python:3.13-slim"
_PATIENCE = 90.0
_GRACE = "60"  # seconds, above every stop_grace_period


class Failed(Exception):
    """A command ended with an error, or what was waited for did not come."""


class Deployment:
    """Runs `compose` (such as `docker compose`) and `engine` (such as `docker`) with the variables of one project."""

    def __init__(self, compose: Sequence[str], engine: str, environment: Mapping[str, str]) -> None:
        self._compose = [
            *compose,
            "-f",
            str(ROOT / "compose.yaml"),
            "-f",
            str(ROOT / "tests/containers/compose.proof.yaml"),
        ]
        self._engine = engine
        self._project = environment["COMPOSE_PROJECT_NAME"]
        self._environment = {**os.environ, **environment}

    async def compose(self, *arguments: str) -> str:
        """Run a compose command; return its output."""
        return await self._run(*self._compose, "--profile", "tools", *arguments)

    async def engine(self, *arguments: str) -> str:
        """Run a command of the engine; return its output."""
        return await self._run(self._engine, *arguments)

    async def cli(self, *arguments: str) -> str:
        """Run a command of the router as its operator."""
        return await self.compose("run", "--rm", "-T", "cli", *arguments)

    async def containers(self, service: str) -> list[str]:
        """Return the names of the containers of a service, also of those that have ended."""
        names = (await self.engine("ps", "--all", "--format", "{{.Names}}")).split()
        starts = (f"{self._project}_{service}_", f"{self._project}-{service}-")
        return sorted(name for name in names if name.startswith(starts))

    async def restart(self, container: str) -> tuple[float, float]:
        """Stop a container in order, start it, and wait until it is ready; return the seconds that both parts took."""
        began = time.time()
        await self.engine("restart", "--time", _GRACE, container)
        await self.ready(container)
        started = await self.started_at(container)
        return started - began, time.time() - started

    async def ready(self, container: str) -> None:
        """Wait until a container does its work: a router by its own word, another by its health check."""
        async with asyncio.timeout(_PATIENCE):
            while not await self._is_ready(container):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.02)

    async def start(self, container: str) -> None:
        """Start a stopped container, and wait until it is ready."""
        await self.engine("start", container)
        await self.ready(container)

    async def started_at(self, container: str) -> float:
        """Return when a container was started, in seconds of the epoch."""
        text = (await self._inspect(container))["State"]["StartedAt"]
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text)).timestamp()

    async def succeeds(self, container: str, *command: str) -> bool:
        """Run a command in a container; return whether it ended well."""
        try:
            await self.engine("exec", container, *command)
        except Failed:
            return False
        return True

    async def image_sizes(self) -> tuple[int, int]:
        """Return the bytes of the router's image, and of those the bytes that are not its base's."""
        images = self._environment["ROUTER_IMAGE"], _BASE
        whole, base = [int(await self.engine("image", "inspect", "--format", "{{.Size}}", image)) for image in images]
        return whole, whole - base

    async def make_secrets(self) -> None:
        """Make the files with secrets that are not there yet."""
        await self._run("sh", str(ROOT / "deploy/make-secrets"), self._environment["SECRETS_DIR"])

    async def _inspect(self, container: str) -> dict[str, Any]:
        """Return what the engine knows of a container."""
        found: list[dict[str, Any]] = json.loads(await self.engine("inspect", container))
        return found[0]

    async def _is_ready(self, container: str) -> bool:
        if "ingress" in container or "worker" in container:
            networks = (await self._inspect(container))["NetworkSettings"]["Networks"]
            addresses = [network["IPAddress"] for network in networks.values() if network["IPAddress"]]
            return bool(addresses) and await _answers(f"http://{addresses[0]}:9090/readyz")
        test = (await self._inspect(container))["Config"]["Healthcheck"]["Test"]
        return await self.succeeds(container, *(test[1:] if test[0] == "CMD" else ["sh", "-c", test[1]]))

    async def _run(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        if process.returncode:
            raise Failed(f"{' '.join(command)}: exit code {process.returncode}\n{errors.decode(errors='replace')}")
        return output.decode(errors="replace")


async def _answers(url: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
            session.get(url) as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
