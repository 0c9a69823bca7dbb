"""The operations port: `/healthz`, `/readyz` and `/metrics`, for ingress and workers alike."""

import errno
import json
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from config.errors import RouterError
from config.settings import OpsSettings
from router.http.connection import Limits
from router.http.listener import Listener, sockets
from router.http.request import Request
from router.http.response import Response
from router.http.server import Server
from router.http.site import Route, Site
from router.process.descriptors import OPERATIONS
from router.process.forking import withhold_port
from router.process.ops_token import CHALLENGE, OpsToken, is_loopback
from router.tasks.ending import in_time
from router.telemetry import logs
from router.telemetry.fast_metrics import FastCounter

PROCESS_HEADER = "X-Event-Router"
"""Says of every answer whose it is: `ingress NAME` or `worker NAME`, the name percent-encoded; to strangers no name."""

_log = logs.get(__name__)
_OPEN = ("/healthz", "/readyz")  # an orchestrator has no token
_TEXT = "text/plain; charset=utf-8"
_LIMITS = Limits(header_timeout=10, body_timeout=10, keepalive=30, max_body=262_144)
_GRACE = 1.0  # seconds for answers under way when the process ends

Readiness = Callable[[], Awaitable[Mapping[str, bool | str]]]
"""Answers each check by name: True passes, and so does a text that begins with "ok"; any other says why it does not."""


class OpsServer:
    """Tells an orchestrator how the process is.

    `/healthz` answers while the event loop runs. `/readyz` asks `readiness`, which may take `timeout` seconds, and
    answers 200 or 503 with every check, and with what `warnings` returns, which changes nothing about the status.
    `/metrics` is `registry` as Prometheus text. Each answer says whose it is, by `role` and `name`: several processes
    on one host share the setting of the port, and the one that is asked may be another than the caller wants.

    Before it answers, `refresh` may look up what the metrics say of the store.

    Where the settings have a token, only who brings it sees more than `/healthz` and the bare answer of `/readyz`.
    `extend` may add routes, such as a console's, before it starts; those see to it themselves who may come in.

    Neither many connections nor slow ones take more than the port's share: as the port for webhooks it ends what is
    idle for others, and it has `limits` for every way of being slow.
    """

    def __init__(
        self,
        settings: OpsSettings,
        readiness: Readiness,
        registry: CollectorRegistry,
        *,
        role: str,
        name: str,
        timeout: float = 3.0,
        warnings: Callable[[], Mapping[str, str]] = dict,
        extend: Callable[[Site], None] = lambda _site: None,
        refresh: Callable[[], Awaitable[None]] | None = None,
        limits: Limits = _LIMITS,
    ) -> None:
        self._host, self._port = settings.host, settings.port
        self._readiness = readiness
        self._registry = registry
        self._role, self.name = role, name
        self._timeout = timeout
        self._warnings = warnings
        self._token = OpsToken(settings.token)
        self._refresh = refresh
        self._site = Site(self._guard, self._sign)
        for path, answering in (("/healthz", self._health), ("/readyz", self._ready), ("/metrics", self._metrics)):
            self._site.add("GET", path, answering)
        self._ours = frozenset(route.answering for _, _, route in self._site.routes)
        extend(self._site)
        self._server = Server(self._site, limits)
        text = "Connections of the operations port that were ended to make room for others."
        self._shed = FastCounter("event_router_ops_connections_shed", text, registry).labels()
        self._not_ready: str | None = None
        self._listener: Listener | None = None

    async def start(self) -> int:
        """Listen and return the port: the one asked for, or a free one when that is 0 or taken.

        Raises RouterError when the address cannot be listened on at all.
        """
        try:
            bound = self._listen()
        except OSError as error:
            message = f"operations port {self._host}:{self._port} cannot be opened ({error.strerror or error})"
            raise RouterError(f"{message}; set ops.host and ops.port to an address of this machine") from error
        if not self._token.is_set and not is_loopback(self._host):
            risk = "anyone who reaches the port reads the metrics"
            _log.warning("ops_port_exposed", host=self._host, port=bound, risk=risk, advice="set ROUTER_OPS__TOKEN")
        withhold_port(bound)
        return bound

    async def stop(self) -> None:
        """Close the port; may be called more than once."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        self._server.close()
        await self._server.finish(_GRACE)
        await self._site.aclose()
        self._server.abort()

    def not_ready(self, reason: str) -> None:
        """Answer `/readyz` with 503 and `reason` from now on; called when the process begins to stop."""
        self._not_ready = reason

    def _listen(self) -> int:
        try:
            listening = sockets(self._host, self._port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # Several processes on one host share the setting; none may fail for its operations port.
            listening = sockets(self._host, 0)
            where = f"{self._host}:{self._port}"
            advice = f"{where} answers for another process: set ROUTER_OPS__PORT of this one to a port of its own"
            port = listening[0].getsockname()[1]
            _log.warning("ops_port_taken", host=self._host, wanted=self._port, listening_on=port, advice=advice)
        shed = self._shed.inc
        self._listener = Listener(listening, self._server, lambda: OPERATIONS, port="operations", shed=shed)
        self._listener.start()
        return int(listening[0].getsockname()[1])

    def _guard(self, request: Request, route: Route | None) -> Response | None:
        """Let strangers see only what is open to all, and what has a guard of its own; not even which paths exist."""
        is_apart = route is not None and route.answering not in self._ours
        if is_apart or request.path in _OPEN or self._admits(request):
            return None
        return Response(401, b"the operations token is missing or wrong", _TEXT, CHALLENGE)

    def _admits(self, request: Request) -> bool:
        return self._token.admits(request.header("Authorization"))

    def _sign(self, request: Request, response: Response) -> Response:
        name = f" {quote(self.name, errors='replace')}" if self._admits(request) else ""
        return response.having({PROCESS_HEADER: self._role + name})

    async def _health(self, _request: Request) -> Response:
        return Response(200, b"ok", _TEXT)

    async def _ready(self, request: Request) -> Response:
        checks = await self._checks()
        ready = all(state is True or str(state).startswith("ok") for state in checks.values())
        report: dict[str, object] = {"ready": ready}
        if self._admits(request):
            report |= {"role": self._role, "name": self.name, "checks": dict(checks)}
            if warnings := self._warnings():
                report["warnings"] = dict(warnings)
        return Response(200 if ready else 503, json.dumps(report).encode(), "application/json; charset=utf-8")

    async def _checks(self) -> Mapping[str, bool | str]:
        if self._not_ready is not None:
            return {"process": self._not_ready}
        try:
            return await in_time(self._timeout, self._readiness())
        except TimeoutError:
            return {"readiness": f"no answer within {self._timeout:g} s"}
        except Exception as error:  # noqa: BLE001  a check that breaks is a check that fails
            _log.exception("readiness_check_failed")
            return {"readiness": type(error).__name__}

    async def _metrics(self, _request: Request) -> Response:
        if self._refresh is not None:
            await self._refresh()
        return Response(200, generate_latest(self._registry), CONTENT_TYPE_LATEST)
