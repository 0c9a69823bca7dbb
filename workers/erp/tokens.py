"""Tokens of the client: one for each tenant, and one request for it however many wait."""

import asyncio
import contextvars
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from yarl import URL

from config.erp import ErpSettings
from router.tasks.ending import end
from workers.erp.errors import ErpBusy, ErpError, ErpRefused, ErpUnauthorized, ErpUnreadable
from workers.erp.judgement import check, said_by
from workers.erp.quota import Guard, Unguarded
from workers.erp.transport import Answer, Transport

__all__ = ["Token", "Tokens"]

_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_MARGIN: Final = 60.0  # seconds before its end at which a token is renewed, or a tenth of its life where that is less
_REFUSED: Final = 10.0  # seconds for which a refused client does not ask again: thousands of events may wait
_UNSAID: Final = 300.0  # seconds that a token lives whose answer does not say it
_WORD: Final = re.compile(r"[a-z_]{1,40}")
_VALUE: Final = re.compile(r"[!-~]{1,20000}")


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, from when on another is asked for, and when it ends (monotonic seconds)."""

    value: str = field(repr=False)
    renew_at: float
    ends_at: float

    @property
    def header(self) -> dict[str, str]:
        """The header that a request carries it in."""
        return {"Authorization": f"Bearer {self.value}"}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why there is no token for a tenant, and until when nobody asks again (monotonic seconds)."""

    error: ErpError
    until: float


class Tokens:
    """Has the token of each tenant, and makes it when it is asked for; `monotonic` in seconds."""

    def __init__(
        self,
        settings: ErpSettings,
        transport: Transport,
        monotonic: Callable[[], float],
        guard: Guard | None = None,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._monotonic = monotonic
        self._guard = guard or Unguarded()
        self._tokens: dict[str, Token] = {}
        self._refusals: dict[str, _Refusal] = {}
        self._asking: dict[str, asyncio.Task[Token | ErpError]] = {}
        self._context = contextvars.copy_context()

    async def get(self, tenant: str) -> Token:
        """Return the token of a tenant, a new one where it is about to end; raises ErpError."""
        token, now = self._tokens.get(tenant), self._monotonic()
        if token is not None and now < token.renew_at:
            return token
        refusal = self._refusals.get(tenant)
        if refusal is not None and now < refusal.until:
            raise refusal.error.again()
        if (asking := self._asking.get(tenant)) is None:
            # A task of the worker, not of the attempt that happens to be the first: others wait for it, too.
            asking = self._context.run(asyncio.get_running_loop().create_task, self._ask(tenant))
            self._asking[tenant] = asking
            asking.add_done_callback(lambda task: self._asked(tenant, task), context=self._context)
        found = await asyncio.shield(asking)
        if not isinstance(found, ErpError):
            return found
        if token is not None and self._tokens.get(tenant) is token and self._monotonic() < token.ends_at:
            return token  # good for a little longer; the next request asks again
        raise found.again()

    def drop(self, tenant: str, token: Token) -> None:
        """Forget a token that was refused, unless another one has taken its place already."""
        if self._tokens.get(tenant) is token:
            del self._tokens[tenant]

    async def aclose(self) -> None:
        """End the requests under way."""
        await end(self._asking.values())

    def _asked(self, tenant: str, task: asyncio.Task[Token | ErpError]) -> None:
        self._asking.pop(tenant, None)
        if task.cancelled() or task.exception() is not None:
            return
        self._refusals.pop(tenant, None)
        found = task.result()
        if isinstance(found, Token):
            self._tokens[tenant] = found
        elif isinstance(found, ErpUnauthorized | ErpUnreadable | ErpBusy):
            seconds = min(found.retry_after, _MARGIN) if isinstance(found, ErpBusy) else _REFUSED
            self._refusals[tenant] = _Refusal(found, self._monotonic() + seconds)

    async def _ask(self, tenant: str) -> Token | ErpError:
        try:
            return await self._request(tenant)
        except ErpError as error:
            return error

    async def _request(self, tenant: str) -> Token:
        settings, asked_at = self._settings, self._monotonic()
        secret = settings.client_secret
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": secret.get_secret_value() if secret else "",
            "scope": settings.scope,
            "tenant_id": tenant,
        }
        url = URL(settings.token_url)
        async with self._guard as asked:
            answer = await self._transport.send("POST", url, _FORM, urlencode(form).encode())
            asked.answered(answer.status)
        return _token(answer, tenant, asked_at, f"the token of tenant {tenant} from {url.host}")


def _token(answer: Answer, tenant: str, asked_at: float, about: str) -> Token:
    try:
        check(answer, about, datetime.now(UTC))
    except (ErpRefused, ErpUnauthorized):
        raise _refused(answer, tenant) from None
    found = answer.parsed()
    value = found.get("access_token") if isinstance(found, dict) else None
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise ErpUnreadable(f"{about}: the answer holds no access_token; correct token_url")
    lives = _seconds(found.get("expires_in"))
    ends_at = asked_at + lives
    return Token(value, ends_at - min(_MARGIN, lives / 10), ends_at)


def _refused(answer: Answer, tenant: str) -> ErpError:
    """Say who refused what; of the answer only the word that the standard has for it."""
    found = said_by(answer)
    word = found.get("error") if isinstance(found, dict) else None
    said = f" ({word})" if isinstance(word, str) and _WORD.fullmatch(word) else ""
    return ErpUnauthorized(
        f"no token for tenant {tenant}: {answer.status}{said}; check client_id, client_secret and scope, and that the "
        "tenant has approved the client"
    )


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return _UNSAID
    return seconds if 0 < seconds < float("inf") else _UNSAID
