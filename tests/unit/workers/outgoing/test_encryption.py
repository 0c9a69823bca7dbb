"""Encryption: the certificate is verified for the name in the URL, whatever address that name leads to."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import uvloop
from support.receiver import Receiver, Request, receiving
from support.tls import Certificates

from config.errors import ConfigError
from workers.outgoing import Outgoing, Target, TimedOut, Unreachable

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return an authority with certificates."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


async def _to_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def sending(receiver: Receiver, host: str = "crm.example", **options: Any) -> AsyncIterator[Outgoing]:
    """Yield what sends to a receiver by a name that leads to it."""
    target = Target(f"https://{host}:{receiver.port}/", allow_private=LOOPBACK, **options)
    async with Outgoing(target, lookup=_to_loopback) as outgoing:
        yield outgoing


async def test_the_name_of_the_url_is_asked_for_and_verified(certificates: Certificates) -> None:
    """SNI, Host and the certificate are those of the name, the connection goes to the address that was judged."""
    context, names = certificates.context("crm.example"), list[str]()
    context.sni_callback = lambda _, name, __: names.append(name)
    async with receiving(context=context) as receiver, sending(receiver, ca_file=certificates.authority) as outgoing:
        exchange = await outgoing.post(b"{}", {})
    assert (exchange.status, exchange.address, names) == (200, "127.0.0.1", ["crm.example"])
    assert receiver.requests[0].headers["host"] == f"crm.example:{receiver.port}"


async def test_a_certificate_of_an_unknown_authority_is_refused(certificates: Certificates) -> None:
    """Nothing is sent to a receiver whose certificate nobody vouches for; the message names ca_file."""
    async with receiving(context=certificates.context("crm.example")) as receiver, sending(receiver) as outgoing:
        with pytest.raises(Unreachable, match=r"certificate is not trusted .*ca_file"):
            await outgoing.post(b"{}", {})
    assert receiver.requests == []


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
async def test_a_certificate_of_another_name_is_refused(certificates: Certificates, host: str) -> None:
    """A certificate counts for its own name alone, not for the address that the name leads to."""
    async with (
        receiving(context=certificates.context("crm.example")) as receiver,
        sending(receiver, host, ca_file=certificates.authority) as outgoing,
    ):
        with pytest.raises(Unreachable, match=r"not valid for|mismatch"):
            await outgoing.post(b"{}", {})
    assert receiver.requests == []


async def test_a_certificate_of_an_address_is_taken_for_it(certificates: Certificates) -> None:
    """A receiver without a name shows a certificate of its address."""
    async with (
        receiving(context=certificates.context("127.0.0.1")) as receiver,
        sending(receiver, "127.0.0.1", ca_file=certificates.authority) as outgoing,
    ):
        assert (await outgoing.post(b"{}", {})).status == 200


async def test_a_receiver_that_asks_for_a_certificate_gets_it(certificates: Certificates) -> None:
    """`client_cert` and `client_key` are shown; without them such a receiver answers nothing."""
    own = {"client_cert": certificates.client, "client_key": certificates.client_key}
    context = certificates.context("crm.example", ask_client=True)
    async with receiving(context=context) as receiver:
        async with sending(receiver, ca_file=certificates.authority, **own) as outgoing:
            assert (await outgoing.post(b"{}", {})).status == 200
        async with sending(receiver, ca_file=certificates.authority) as outgoing:
            with pytest.raises(Unreachable):
                await outgoing.post(b"{}", {})
    assert len(receiver.requests) == 1


async def test_old_encryption_is_refused(certificates: Certificates) -> None:
    """TLS before 1.2 is no encryption that counts."""
    context = certificates.context("crm.example")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with receiving(context=context) as receiver, sending(receiver, ca_file=certificates.authority) as outgoing:
        with pytest.raises(Unreachable, match=r"could be (agreed on|made) \(\w+"):
            await outgoing.post(b"{}", {})
    assert receiver.requests == []


@asynccontextmanager
async def speaking(words: bytes) -> AsyncIterator[tuple[int, bytearray]]:
    """Yield the port of a server without encryption, which says something to anyone, and what it hears."""
    heard = bytearray()
    over = set[asyncio.Task[Any]]()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over.add(asyncio.current_task())  # type: ignore[arg-type]
        writer.write(words)
        with contextlib.suppress(OSError):
            while chunk := await reader.read(4096):
                heard.extend(chunk)
            writer.close()
            await writer.wait_closed()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard
        await asyncio.gather(*over)


async def test_a_receiver_without_encryption_is_not_spoken_to_in_clear() -> None:
    """An https:// target that answers in clear gets nothing of the request."""
    async with (
        speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, heard),
        Outgoing(Target(f"https://127.0.0.1:{port}/", allow_private=LOOPBACK)) as outgoing,
    ):
        with pytest.raises(Unreachable, match="no encryption could be agreed on"):
            await outgoing.post(b"needle", {"x": "needle"})
    assert b"needle" not in heard


async def test_a_handshake_without_end_is_within_the_timeout() -> None:
    """A port that takes connections and says nothing costs the timeout and no more."""
    async with speaking(b"") as (port, _):
        target = Target(f"https://127.0.0.1:{port}/", timeout=0.1, allow_private=LOOPBACK)
        async with Outgoing(target) as outgoing:
            with pytest.raises(TimedOut):
                await outgoing.post(b"{}", {})


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("ca_file", "ca_file=.*none.pem: No such file"),
        ("client_cert", "client_cert=.*none.pem: No such file"),
        ("client_key", "client_key=.*none.pem is of no use alone"),
    ],
)
def test_a_file_that_is_not_there_is_an_error_of_the_settings(option: str, why: str, tmp_path: Path) -> None:
    """Files are read when a target is made, and a missing one is named with its setting."""
    with pytest.raises(ConfigError, match=why):
        Outgoing(Target("https://crm.example/", **{option: tmp_path / "none.pem"}))


@pytest.mark.parametrize("option", ["ca_file", "client_cert"])
@pytest.mark.parametrize("content", ["", "rubbish"])
def test_a_file_that_is_no_certificate_is_an_error_of_the_settings(option: str, content: str, tmp_path: Path) -> None:
    """So is one that holds something else."""
    file = tmp_path / "file.pem"
    file.write_text(content)
    with pytest.raises(ConfigError, match=f"{option}=.*file.pem: .*PEM"):
        Outgoing(Target("https://crm.example/", **{option: file}))


def test_workers_run_on_uvloop(certificates: Certificates) -> None:
    """Exchanges, refusals and time-outs are the same on the event loop that workers run on."""

    async def never(request: Request) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def scenario() -> None:
        context = certificates.context("crm.example")
        files = {"ca_file": certificates.authority}
        async with receiving(context=context) as receiver:
            async with sending(receiver, **files) as outgoing:
                assert (await outgoing.post(b"{}", {})).address == "127.0.0.1"
            async with sending(receiver, "other.example", **files) as outgoing:
                with pytest.raises(Unreachable, match="certificate is not trusted"):
                    await outgoing.post(b"{}", {})
            receiver.answer = never
            async with sending(receiver, timeout=0.2, **files) as outgoing:
                with pytest.raises(TimedOut):
                    await outgoing.post(b"{}", {})

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_what_is_trusted_is_read_once_and_again_when_it_was_renewed(
    certificates: Certificates, tmp_path: Path
) -> None:
    """Targets share what they trust; a file with another authority counts for what is made from then on."""
    file = tmp_path / "ca.pem"
    file.write_bytes(Certificates(tmp_path / "other").authority.read_bytes())
    async with receiving(context=certificates.context("crm.example")) as receiver:
        async with sending(receiver, ca_file=file) as outgoing:
            with pytest.raises(Unreachable, match="certificate is not trusted"):
                await outgoing.post(b"{}", {})
        renewed = tmp_path / "renewed.pem"
        renewed.write_bytes(certificates.authority.read_bytes())
        renewed.replace(file)
        async with sending(receiver, ca_file=file) as one, sending(receiver, ca_file=file) as two:
            assert (await one.post(b"{}", {})).status == 200
            assert one._encryption is two._encryption
