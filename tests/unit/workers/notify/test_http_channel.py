"""Rules of the channels that are a URL: what is sent, what counts as taken, and that no URL shows."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from standardwebhooks import Webhook
from support.receiver import OK, Answering, Receiver, receiving
from support.tls import Certificates

from config.errors import ConfigError
from config.notify import NotifySettings
from workers.notify.http_channel import HttpChannel
from workers.notify.message import sample
from workers.notify.opening import channel_of
from workers.notify.sending import SendFailed, Sent

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
OTHER = "whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2"
MESSAGE = sample("ops", 1_796_000_000_000, ZoneInfo("UTC"))


def answering(status: str, *headers: str, body: str = "") -> bytes:
    """Return an answer."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body)
    return "\r\n".join(lines).encode()


@asynccontextmanager
async def opened(
    kind: str, answer: bytes | Answering = OK, **more: object
) -> AsyncIterator[tuple[HttpChannel, Receiver]]:
    """Yield a channel to a receiver."""
    async with receiving(answer) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/services/T0/needle?sig=needle"
        if kind == "webhook":
            more = {"secrets": [SECRET], **more}
        settings = NotifySettings(name="ops", kind=kind, url=url, allow_private=["127.0.0.0/8"], **more)  # type: ignore[arg-type]
        channel = channel_of(settings)
        assert isinstance(channel, HttpChannel)
        async with channel:
            yield channel, receiver


@pytest.mark.parametrize("kind", ["teams", "slack", "webhook"])
async def test_each_kind_posts_its_body(kind: str) -> None:
    """One POST of JSON, to the whole URL; what is shown of it has neither the path nor a signature."""
    async with opened(kind, answering("202 Accepted", body="ok")) as (channel, receiver):
        sent = await channel.send(MESSAGE)
    [request] = receiver.requests
    assert request.line == "POST /services/T0/needle?sig=needle HTTP/1.1"
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert "Test of the notifier ops" in json.dumps(json.loads(request.body))
    assert isinstance(sent, Sent)
    assert (sent.answer, sent.address) == ("202 ok", "127.0.0.1")
    assert "needle" not in sent.request
    assert request.body.decode() in sent.request
    assert "v1," not in sent.request


async def test_a_webhook_is_signed() -> None:
    """The library of the standard verifies it, with the new secret and with the old one."""
    async with opened("webhook", secrets=[SECRET, OTHER]) as (channel, receiver):
        await channel.send(MESSAGE)
    [request] = receiver.requests
    for secret in (SECRET, OTHER):
        found = Webhook(secret).verify(request.body.decode(), request.headers)
        assert found["type"] == "event-router.incidents"
    assert request.headers["webhook-id"] == MESSAGE.id


@pytest.mark.parametrize(
    ("status", "retry_after", "refused"),
    [
        ("400 Bad Request", None, True),
        ("403 Forbidden", None, False),
        ("404 Not Found", None, False),
        ("413 Too Large", None, True),
        ("429 Too Many Requests", 7.0, False),
        ("500 Oops", None, False),
        ("503 Busy", 7.0, False),
        ("302 Found", None, False),
    ],
)
async def test_what_is_no_success_is_a_failure(status: str, retry_after: float | None, *, refused: bool) -> None:
    """Only 2xx is taken. The failure says the answer, when to come again, and whether the message is at fault."""
    answer = answering(status, "Retry-After: 7", "Location: http://127.0.0.1:1/", body="invalid_payload")
    async with opened("slack", answer) as (channel, receiver):
        with pytest.raises(SendFailed) as caught:
            await channel.send(MESSAGE)
        assert len(receiver.requests) == 1
    assert (caught.value.retry_after, caught.value.refused) == (retry_after, refused)
    assert str(caught.value).endswith(f"/…: answered {status[:3]} invalid_payload")
    assert "needle" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_one_that_does_not_answer_is_given_up_in_time() -> None:
    """A receiver that hangs costs the timeout, and its URL does not show."""
    never = asyncio.Event()

    async def hang(_: object) -> bytes:
        await never.wait()
        return OK

    async with opened("teams", hang, timeout=0.05) as (channel, _):
        with pytest.raises(SendFailed, match=r"/…: no answer within 0.05 seconds") as caught:
            await channel.send(MESSAGE)
    assert "needle" not in str(caught.value)


async def test_one_that_is_away_is_said_without_its_url() -> None:
    """Nobody listens: a failure, not an error of its own; its cause shows no URL either."""
    async with receiving() as receiver:
        port = receiver.port
    url = f"http://127.0.0.1:{port}/needle"
    settings = NotifySettings(name="ops", kind="teams", url=url, allow_private=["127.0.0.0/8"])  # type: ignore[arg-type]
    async with channel_of(settings) as channel:
        with pytest.raises(SendFailed, match=r"no connection could be made") as caught:
            await channel.send(MESSAGE)
    assert "needle" not in f"{caught.value} {caught.value.__cause__}"


async def test_private_addresses_need_leave() -> None:
    """A URL of a private address is refused at the start, with the name of the notifier."""
    settings = NotifySettings(name="ops", kind="teams", url="https://10.0.0.1/needle")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"notify 'ops': .*allow_private") as caught:
        channel_of(settings)
    assert "needle" not in str(caught.value)


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """A receiver is believed by its certificate alone, of an authority that is named."""
    certificates = Certificates(tmp_path)
    async with receiving(context=certificates.context()) as receiver:
        url = f"https://127.0.0.1:{receiver.port}/needle"
        for authority, is_taken in ((certificates.authority, True), (None, False)):
            settings = NotifySettings(
                name="ops",
                kind="teams",
                url=url,
                ca_file=authority,
                allow_private=["127.0.0.0/8"],  # type: ignore[arg-type]
            )
            async with channel_of(settings) as channel:
                if is_taken:
                    await channel.send(MESSAGE)
                else:
                    with pytest.raises(SendFailed, match="certificate is not trusted"):
                        await channel.send(MESSAGE)
    assert len(receiver.requests) == 1
