"""A site: paths, and who answers them, over the connections of `router/http/connection.py`.

This is the one place that turns whatever happens into an answer. Nothing of a request and no text of an exception gets
into one that says what went wrong, or into the log beside it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from router.http.body import BadBody
from router.http.connection import Connection, Malformed
from router.http.parser import RawRequestMessage
from router.http.rate_limit import RateLimit, Sparing
from router.http.request import BadRequest, Request
from router.http.response import Response, problem
from router.tasks.ending import end
from router.telemetry import logs

_log = logs.get(__name__)

_LOGGED = (1.0, 20)  # requests that failed, a second and at once

Answering = Callable[[Request], Awaitable[Response]]
Guard = Callable[[Request, "Route | None"], Response | None]
"""Returns the answer to a request that may not go on; `Route` is None where nothing answers its path."""


class Route(NamedTuple):
    """Who answers a method on a path; `reads` where that ends as soon as nobody waits for the answer any more.

    is_page: people look at the answer, so that what is wrong is shown to them, too: a method of browsers that the path
    does not take by `Site.otherwise`, and a body that could not be read by `Site.shown`.
    """

    answering: Answering
    reads: bool = False
    is_page: bool = False


class _Refused(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Site:
    """Answers requests by their method and path, those without one by `otherwise`; HEAD is answered as GET is.

    `guard` judges each request before its body is read, and `sign` completes each answer to one that could be read.
    `shown` makes the page of a body that could not be read, from its status and what was wrong.
    """

    def __init__(
        self,
        guard: Guard = lambda _request, _route: None,
        sign: Callable[[Request, Response], Response] = lambda _request, response: response,
    ) -> None:
        self._guard, self._sign = guard, sign
        self._routes: dict[str, dict[str, Route]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged = Sparing(RateLimit(*_LOGGED))
        self.otherwise: Route | None = None
        self.shown: Callable[[int, str], Response] = problem

    @property
    def routes(self) -> list[tuple[str, str, Route]]:
        """All routes, each with its method and path."""
        return [(method, path, route) for path, found in self._routes.items() for method, route in found.items()]

    def add(self, method: str, path: str, answering: Answering, *, reads: bool = False, is_page: bool = False) -> None:
        """Have a method on a path answered; `reads` and `is_page` as in Route."""
        self._routes.setdefault(path, {})[method] = Route(answering, reads, is_page)

    async def aclose(self) -> None:
        """End what is still being answered."""
        await end(self._tasks)

    # What a connection asks

    def find(self, head: RawRequestMessage, connection: Connection) -> Route:
        """Return the route of a request; raises where it may not go on, or has none."""
        request = Request(head, remote=connection.peer)
        method = "GET" if head.method == "HEAD" else head.method
        methods = self._routes.get(request.path, {})
        route = methods.get(method) or self._rest(method, methods)
        response = self._guard(request, route)
        if response is None and route is None:
            response = _missing(methods)
        if response is not None:
            # Its body, if it has one, is not wanted.
            raise _Refused(self._sign(request, response._replace(close=response.close or method != "GET")))
        assert route is not None
        return route

    def admit(self, head: RawRequestMessage) -> None:
        """Read the body of every request that has a route."""

    def accept(self, door: Route, head: RawRequestMessage, body: bytes, connection: Connection) -> None:
        """Answer a whole request in a task of its own."""
        request = Request(head, body, connection.peer)
        task = asyncio.get_running_loop().create_task(self._respond(door, request, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if door.reads:
            connection.when_left(task.cancel)

    def refuse(self, error: Exception, door: Route | None, connection: Connection) -> Response:
        """Return the answer to what could not be read, or failed before it was taken up."""
        if isinstance(error, _Refused):
            return error.response
        if isinstance(error, BadBody):
            self._say(error.status, type(error).__name__, connection)
            shown = self.shown if door is not None and door.is_page else problem
            return shown(error.status, str(error))._replace(close=True)
        if isinstance(error, Malformed | BadRequest):
            self._say(400, "malformed", connection)
            return problem(400, "the request is not well-formed", close=True)
        self._fail(error, "")
        return _failed()

    def _rest(self, method: str, methods: dict[str, Route]) -> Route | None:
        """Return who answers what no route does: GET on any path, and POST where that is a page or nothing."""
        is_shown = method == "POST" and all(route.is_page for route in methods.values())
        return self.otherwise if method == "GET" or is_shown else None

    async def _respond(self, route: Route, request: Request, connection: Connection) -> None:
        try:
            response = await route.answering(request)
            encoded = self._sign(request, response)
        except asyncio.CancelledError:
            connection.answer(problem(503, "the request was given up", close=True))
            raise
        except BadRequest as error:
            encoded = self._sign(request, problem(400, str(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender gets an answer
            self._fail(error, request.path if request.path in self._routes else "")
            encoded = self._sign(request, _failed())
        connection.answer(encoded)

    def _say(self, status: int, reason: str, connection: Connection) -> None:
        if (more := self._logged.next()) is not None:
            _log.info("request_refused", status=status, reason=reason, client=connection.peer, **more)

    def _fail(self, error: Exception, path: str) -> None:
        if (more := self._logged.next()) is not None:
            _log.error("request_failed", path=path, exc_info=error, **more)


def _missing(methods: dict[str, Route]) -> Response:
    if methods:
        return problem(405, "this method is not allowed here", headers={"Allow": ", ".join(sorted(methods))})
    return problem(404, "there is nothing here")


def _failed() -> Response:
    return problem(500, "the request could not be handled; the log says more", close=True)
