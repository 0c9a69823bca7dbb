"""The channels that are a URL: Teams, Slack and any receiver of HTTP. The path of such a URL is a secret, too."""

import time
from collections.abc import Callable, Mapping
from typing import Final, Self
from urllib.parse import urlsplit

from config.notify import NotifySettings
from router.telemetry.printable import printable
from workers.notify.message import Message
from workers.notify.sending import SendFailed, Sent
from workers.notify.slack import blocks_of
from workers.notify.teams import card_of
from workers.notify.webhook import json_of
from workers.outgoing import Exchange, Outgoing, OutgoingError, Target, signed

__all__ = ["HttpChannel"]

_BODIES: Final[Mapping[str, Callable[[Message], bytes]]] = {"teams": card_of, "slack": blocks_of, "webhook": json_of}
_REFUSES: Final = frozenset({400, 413, 422})
"""The answers that may be about what a message says."""
_LATER: Final = frozenset({429, 503})
_SHOWN: Final = 200
"""Characters of an answer that are shown."""


class HttpChannel:
    """Posts to one URL. `clock` in epoch seconds. Raises ConfigError for a URL that can never be reached."""

    def __init__(self, settings: NotifySettings, clock: Callable[[], float] = time.time) -> None:
        assert settings.url is not None
        self._settings = settings
        self._clock = clock
        url = settings.url.get_secret_value()
        self.shown = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}/…"
        self._outgoing = Outgoing(
            Target(
                url=url,
                timeout=settings.timeout,
                allow_private=settings.allow_private,
                ca_file=settings.ca_file,
                connections=1,
            )
        )

    async def __aenter__(self) -> Self:
        await self._outgoing.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._outgoing.__aexit__(None, None, None)

    async def send(self, message: Message) -> Sent:
        """Post a message once; raises SendFailed."""
        body = _BODIES[self._settings.kind or "webhook"](message)
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if secrets := [secret.get_secret_value() for secret in self._settings.secrets]:
            headers |= signed(secrets, message.id, int(self._clock()), body)
        request = self._request(headers, body)
        try:
            exchange = await self._outgoing.post(body, headers)
        except OutgoingError as error:
            text = str(error).replace(self._outgoing.shown, self.shown)
            raise SendFailed(text, request=request) from None  # whose cause may hold the URL
        return self._judged(exchange, request)

    def _judged(self, exchange: Exchange, request: str) -> Sent:
        answer = _shown(exchange)
        if exchange.status // 100 == 2:  # noqa: PLR2004 - success, however it is called
            return Sent(request, answer, exchange.address, exchange.seconds)
        raise SendFailed(
            f"{self.shown}: answered {answer}",
            retry_after=exchange.retry_after if exchange.status in _LATER else None,
            refused=exchange.status in _REFUSES,
            answered=True,
            request=request,
        )

    def _request(self, headers: Mapping[str, str], body: bytes) -> str:
        shown = {name: "***" if name == "webhook-signature" else value for name, value in headers.items()}
        lines = [f"POST {self.shown}", *(f"{name}: {value}" for name, value in shown.items()), "", body.decode()]
        return "\n".join(lines)


def _shown(exchange: Exchange) -> str:
    text = printable(" ".join(exchange.answer.decode(errors="replace").split()))
    return f"{exchange.status} {text[:_SHOWN]}".strip()
