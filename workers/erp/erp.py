"""The interface of one ERP, for one tenant: what handlers call."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec
from yarl import URL

from config.erp import ErpSettings
from router.events.event import Event
from workers.erp import background
from workers.erp.address import Params, address
from workers.erp.errors import (
    BackgroundExpired,
    BackgroundPending,
    ErpConflict,
    ErpRefused,
    ErpUnavailable,
    ErpUnreadable,
)
from workers.erp.judgement import read_record
from workers.erp.quota import Guard, Quota
from workers.erp.tokens import Tokens
from workers.erp.transport import Answer, Transport
from workers.erp.writes import CREATED, UNKNOWN, Noted, Unnoted, Writes, made_on, path_made
from workers.record import Background, Record

__all__ = ["Connection", "Erp"]

_POLLS = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between looks at a background answer; the last one again and again."""
_PENDING = 30.0
"""Seconds until an attempt that waited in vain is made again."""
_MARGIN = 5.0
"""Seconds that a write may take beside its requests."""
_TURNS = 3
"""How often a record is fetched for a write that others may be faster than."""


class Connection:
    """What all tenants of one ERP share; `sleep` takes seconds."""

    def __init__(
        self,
        settings: ErpSettings,
        transport: Transport,
        tokens: Tokens,
        quota: Quota,
        guard: Guard,
        writes: Writes | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self.transport = transport
        self.tokens = tokens
        self.quota = quota
        self.guard = guard
        self.writes = writes or Unnoted()
        self.sleep = sleep


class Erp:
    """The ERP of a publisher, as its configured client sees it for the tenant of an event.

    Paths are relative to the configured base, `v1/customer/55555`: no other host is ever asked, and no redirect
    followed. Every call raises ErpError where it does not succeed.
    """

    def __init__(
        self,
        connection: Connection,
        tenant: str,
        event: Event,
        quota: Quota | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._connection = connection
        self._tenant = tenant
        self._event = event
        self._quota = quota or connection.quota
        self._guard = guard or connection.guard

    async def get(self, path: str, params: Params | None = None) -> Record:
        """Return a record; its `gone` says that there is none. What the ERP answers in the background is waited for."""
        record = await self._request("GET", path, params=params)
        if record.background is None:
            return record
        return await self.background(record.background.id, background.version_of(path))

    async def put(self, path: str, body: Any, *, if_match: str | None = None) -> Record:
        """Change a record; with `if_match`, only that version of it: else ErpConflict is raised.

        `body` is written as JSON. Where the ERP does it in the background, the record says so: see `background`. Where
        a subscription tells echoes of this record, it is fetched before a write without `if_match`.
        """
        writes, whose = self._connection.writes, self.whose
        noted = await writes.begin(whose, path, 2 * self._connection.settings.timeout + _MARGIN)
        version, on = None, UNKNOWN
        try:
            record, on = await self._put(path, body, if_match, guarded=noted.guarded)
            version = None if record.status == HTTPStatus.ACCEPTED else record.etag
        finally:
            await writes.end(whose, path, noted, version, on)
        return record

    async def _put(self, path: str, body: Any, if_match: str | None, *, guarded: bool) -> tuple[Record, str]:
        """Change a record; return what was answered, and which version the write was made on."""
        for _ in range(_TURNS if guarded and if_match is None else 0):
            try:
                if (before := (await self._request("GET", path)).etag) is None:
                    break
                return await self._request("PUT", path, body=body, if_match=before), made_on(before)
            except ErpConflict:
                continue
            except ErpRefused:
                break  # it may be the condition that the ERP does not take; what it refused was not done
        return await self._request("PUT", path, body=body, if_match=if_match), made_on(if_match)

    async def post(self, path: str, body: Any) -> Record:
        """Make a record, as `put` changes one."""
        record, answer = await self._exchange("POST", path, body=body)
        if (made := path_made(path, answer.headers.get("Location"), record)) is not None:
            await self._connection.writes.end(self.whose, made, Noted(), record.etag, CREATED)
        return record

    async def background(self, id_: str, version: str = "v1") -> Record:
        """Return a background answer, waiting for it up to `background_wait` seconds.

        Raises BackgroundPending where it has not finished by then, BackgroundExpired where the ERP no longer has it.
        """
        path, waited = background.path_of(id_, version), 0.0
        for turn in range(10_000):
            state = await self._request("GET", path)
            if state.gone:
                raise BackgroundExpired(f"the ERP has no background answer {id_}: it keeps each for 24 hours")
            found, status, has_content = background.read_state(id_, state.body)
            if background.has_ended(found):
                return await self._ended(state, found, status, f"{path}/content" if has_content else "")
            pause = _POLLS[min(turn, len(_POLLS) - 1)]
            if waited + pause > self._connection.settings.background_wait:
                break
            await self._connection.sleep(pause)
            waited += pause
        raise BackgroundPending(f"the ERP has not finished the background answer {id_} yet", _PENDING)

    async def _ended(self, state: Record, found: Background, status: int | None, content: str) -> Record:
        if found.failed or not content:
            status = status or (HTTPStatus.INTERNAL_SERVER_ERROR if found.failed else HTTPStatus.NO_CONTENT)
            return Record(status, fetched_at=state.fetched_at, background=found)
        record = await self._request("GET", content)
        if record.gone:
            raise BackgroundExpired(f"the ERP has no content of the background answer {found.id} any more")
        return Record(status or record.status, record.etag, record.body, fetched_at=record.fetched_at, background=found)

    @property
    def whose(self) -> tuple[str, str, str]:
        """The publisher, tenant and company whose records these are."""
        return self._event.publisher, self._tenant, self._event.company_id or ""

    async def _request(
        self, method: str, path: str, *, params: Params | None = None, body: Any = None, if_match: str | None = None
    ) -> Record:
        record, _ = await self._exchange(method, path, params=params, body=body, if_match=if_match)
        return record

    async def _exchange(
        self, method: str, path: str, *, params: Params | None = None, body: Any = None, if_match: str | None = None
    ) -> tuple[Record, Answer]:
        url = address(self._connection.settings.base_url, path, params)
        headers = {"Accept": "application/json"} | ({"If-Match": if_match} if if_match else {})
        data = None
        if method != "GET":
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        fetched_at = datetime.now(UTC)
        about = f"{method} {path}"
        answer = await self._authorized(method, url, headers, data)
        record = read_record(answer, about, fetched_at, reading=method == "GET")
        if answer.status != HTTPStatus.ACCEPTED:
            return record, answer
        id_ = background.id_of(record.body)
        if id_ is None and method == "GET":
            raise ErpRefused(f"{about}: 202 without the id of a background answer", answer.status)
        return replace(record, background=Background(id_) if id_ else None), answer

    async def _authorized(self, method: str, url: URL, headers: dict[str, str], data: bytes | None) -> Answer:
        """Send a request with the tenant's token; a second time with a new one, where that was refused."""
        tokens = self._connection.tokens
        token = await tokens.get(self._tenant)
        answer = await self._counted(method, url, headers | token.header, data)
        if answer.status != HTTPStatus.UNAUTHORIZED:
            return answer
        tokens.drop(self._tenant, token)
        token = await tokens.get(self._tenant)
        return await self._counted(method, url, headers | token.header, data)

    async def _counted(self, method: str, url: URL, headers: dict[str, str], data: bytes | None) -> Answer:
        """Send a request once the breaker and the quota let it go, and have both hear of the answer."""
        quota = self._quota
        async with self._guard as asked:
            await quota.acquire(self._event)
            try:
                answer = await self._connection.transport.send(method, url, headers, data)
            except (ErpUnavailable, ErpUnreadable):
                await quota.learn(self._event, {}, 0)
                raise
            asked.answered(answer.status)
            await quota.learn(self._event, answer.headers, answer.status)
        return answer
