"""The operations port: `/healthz`, `/readyz` and `/metrics`, for ingress and workers alike."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from pydantic import SecretStr

from config.errors import RouterError
from router import logs
from router.forking import withhold_port
from router.ops_token import CHALLENGE, OpsToken, is_loopback

__all__ = ["PROCESS_HEADER", "OpsServer", "Readiness"]

PROCESS_HEADER = "X-Event-Router"
"""Says of every answer whose it is: `ingress NAME` or `worker NAME`, the name percent-encoded; to strangers no name."""

_log = logs.get(__name__)
_OPEN = ("/healthz", "/readyz")  # an orchestrator has no token

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Readiness = Callable[[], Awaitable[Mapping[str, bool | str]]]
"""Answers each check by name: True passes, and so does a text that begins with "ok"; any other says why it does not."""


class OpsServer:
    """Tells an orchestrator how the process is.

    `/healthz` answers while the event loop runs. `/readyz` asks `readiness`, which may take `timeout` seconds, and
    answers 200 or 503 with every check, and with what `warnings` returns, which changes nothing about the status.
    `/metrics` is `registry` as Prometheus text. Each answer says whose it is, by `role` and `name`: several processes
    on one host share the setting of the port, and the one that is asked may be another than was meant.

    Before it is told, `refresh` may look up what the metrics say of the store.

    With a `token` only who brings it sees more than `/healthz` and the bare answer of `/readyz`. `extend` may add
    routes to the application, such as a console's, before it starts; those see to it themselves who may come in.
    """

    def __init__(
        self,
        host: str,
        port: int,
        readiness: Readiness,
        registry: CollectorRegistry = REGISTRY,
        *,
        role: str,
        name: str,
        timeout: float = 3.0,
        warnings: Callable[[], Mapping[str, str]] = dict,
        token: SecretStr | None = None,
        extend: Callable[[web.Application], None] = lambda _application: None,
        refresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._readiness = readiness
        self._registry = registry
        self._role, self._name = role, name
        self._timeout = timeout
        self._warnings = warnings
        self._token = OpsToken(token)
        self._extend = extend
        self._refresh = refresh
        self._apart: frozenset[web.AbstractResource] = frozenset()
        self._not_ready: str | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen and return the port: the one asked for, or a free one when that is 0 or taken.

        Raises RouterError when the address cannot be listened on at all.
        """
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            bound = await self._bind(self._runner)
        except OSError as error:
            await self.stop()
            message = f"operations port {self._host}:{self._port} cannot be opened ({error.strerror or error})"
            raise RouterError(f"{message}; set ops.host and ops.port to an address of this machine") from error
        if not self._token.is_set and not is_loopback(self._host):
            risk = "anyone who reaches the port reads the metrics"
            _log.warning("ops_port_exposed", host=self._host, port=bound, risk=risk, advice="set ROUTER_OPS__TOKEN")
        withhold_port(bound)
        return bound

    async def stop(self) -> None:
        """Close the port; may be called more than once."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def not_ready(self, reason: str) -> None:
        """Answer `/readyz` with 503 and `reason` from now on; called when the process begins to stop."""
        self._not_ready = reason

    async def _bind(self, runner: web.AppRunner) -> int:
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # Several processes on one host share the setting; none may fail for its operations port.
            await web.TCPSite(runner, self._host, 0).start()
            bound = int(runner.addresses[0][1])
            where = f"{self._host}:{self._port}"
            advice = f"{where} answers for another process: set ROUTER_OPS__PORT of this one to a port of its own"
            _log.warning("ops_port_taken", host=self._host, wanted=self._port, listening_on=bound, advice=advice)
        return int(runner.addresses[0][1])

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard])
        application.on_response_prepare.append(self._sign)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics)
        ours = frozenset(application.router.resources())
        self._extend(application)
        self._apart = frozenset(application.router.resources()) - ours
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let strangers see only what is open to all, and what has a guard of its own; not even which paths exist."""
        if self._admits(request) or request.path in _OPEN or request.match_info.route.resource in self._apart:
            return await handler(request)
        return web.Response(status=401, text="the operations token is missing or wrong", headers=CHALLENGE)

    def _admits(self, request: web.Request) -> bool:
        return self._token.admits(request.headers.get("Authorization"))

    async def _sign(self, request: web.Request, response: web.StreamResponse) -> None:
        name = f" {quote(self._name, errors='replace')}" if self._admits(request) else ""
        response.headers[PROCESS_HEADER] = self._role + name

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _ready(self, request: web.Request) -> web.Response:
        checks = await self._checks()
        ready = all(state is True or str(state).startswith("ok") for state in checks.values())
        if not self._admits(request):
            return web.json_response({"ready": ready}, status=200 if ready else 503)
        report: dict[str, object] = {"ready": ready, "role": self._role, "name": self._name, "checks": dict(checks)}
        if warnings := self._warnings():
            report["warnings"] = dict(warnings)
        return web.json_response(report, status=200 if ready else 503)

    async def _checks(self) -> Mapping[str, bool | str]:
        if self._not_ready is not None:
            return {"process": self._not_ready}
        try:
            return await asyncio.wait_for(self._readiness(), self._timeout)
        except TimeoutError:
            return {"readiness": f"no answer within {self._timeout:g} s"}
        except Exception as error:  # noqa: BLE001  a check that breaks is a check that fails
            _log.exception("readiness_check_failed")
            return {"readiness": type(error).__name__}

    async def _metrics(self, _request: web.Request) -> web.Response:
        if self._refresh is not None:
            await self._refresh()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
