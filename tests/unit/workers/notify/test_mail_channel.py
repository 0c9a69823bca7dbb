"""Rules of the channel that is a mail server: encryption, login, and what counts as taken."""

import socket
from collections.abc import Awaitable
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.mail_server import MailServer, mail_server
from support.tls import Certificates

from config.errors import ConfigError
from config.notify import NotifySettings
from workers.notify.message import sample
from workers.notify.opening import channel_of
from workers.notify.sending import SendFailed, Sent

MESSAGE = sample("ops", 1_796_000_000_000, ZoneInfo("UTC"))


def settings_for(port: int, **more: object) -> NotifySettings:
    """Return a notifier that mails to two through a server of the loopback."""
    values = {"starttls": False, "to": ["ops@example.com", "boss@example.com"], "timeout": 10, **more}
    return NotifySettings(name="mail", kind="smtp", host="127.0.0.1", port=port, sender="er@example.com", **values)  # type: ignore[arg-type]


def sending(settings: NotifySettings) -> Awaitable[Sent]:
    """Send the sample."""

    async def send() -> Sent:
        async with channel_of(settings) as channel:
            return await channel.send(MESSAGE)

    return send()


def text_of(server: MailServer) -> str:
    """Return the text of the one mail that came."""
    [mail] = server.mails
    return str(message_from_bytes(mail, policy=default).get_content())  # type: ignore[attr-defined]


async def test_a_mail_is_handed_over() -> None:
    """A relay that asks for nothing gets the whole mail, for all recipients at once."""
    async with mail_server() as server:
        sent = await sending(settings_for(server.port))
    assert (server.senders, server.recipients) == (["er@example.com"], [["ops@example.com", "boss@example.com"]])
    assert "This is a test of the notifier ops: nothing is wrong." in text_of(server)
    assert (sent.answer, sent.address, sent.warning) == ("2.0.0 queued as 4711", "127.0.0.1", "")
    assert sent.request.startswith(f"SMTP 127.0.0.1:{server.port}, not encrypted, without a login\n\nFrom: ")


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_mail_is_encrypted_and_logged_in(tmp_path: Path, *, at_once: bool) -> None:
    """By STARTTLS, and by TLS from the beginning, the login goes over the encryption; no password shows."""
    certificates = Certificates(tmp_path)
    how = {"starttls": not at_once, "tls": at_once, "ca_file": certificates.authority, "user": "er"}
    async with mail_server(certificates.context(), login=True, at_once=at_once) as server:
        sent = await sending(settings_for(server.port, password="hunter2", **how))
        with pytest.raises(SendFailed, match="535") as caught:
            await sending(settings_for(server.port, password="wrong-needle", **how))
    assert (set(server.logins), server.encrypted) == ({"er"}, [True])
    assert "hunter2" not in sent.request
    assert "needle" not in f"{caught.value}{caught.value.request}"


async def test_a_server_that_cannot_encrypt_gets_nothing() -> None:
    """With starttls nothing is sent in clear, whatever the server offers."""
    async with mail_server() as server:
        with pytest.raises(SendFailed, match="STARTTLS"):
            await sending(settings_for(server.port, starttls=True))
    assert server.mails == []


async def test_a_certificate_of_nobody_known_is_not_believed(tmp_path: Path) -> None:
    """The certificate is verified."""
    async with mail_server(Certificates(tmp_path).context()) as server:
        with pytest.raises(SendFailed, match="certificate"):
            await sending(settings_for(server.port, starttls=True))
    assert server.mails == []


async def test_one_recipient_that_is_refused_keeps_the_mail_from_no_other() -> None:
    """The mail is taken for the others, and who was refused is said; another attempt would be a second mail."""
    async with mail_server() as server:
        server.unknown = ("boss@example.com",)
        sent = await sending(settings_for(server.port))
        assert (server.recipients, sent.warning) == ([["ops@example.com"]], "refused for boss@example.com")
        server.unknown = ("boss@example.com", "ops@example.com")
        with pytest.raises(SendFailed, match=r"it takes the mail for nobody: 550 5\.1\.1 no such user"):
            await sending(settings_for(server.port))


@pytest.mark.parametrize(("answer", "refused"), [("552 5.3.4 too large", True), ("451 4.3.0 later", False)])
async def test_a_mail_that_is_refused_says_why(answer: str, *, refused: bool) -> None:
    """The failure has the server's answer, and says whether it is for good."""
    async with mail_server() as server:
        server.refuse = answer
        with pytest.raises(SendFailed, match=answer) as caught:
            await sending(settings_for(server.port))
    assert caught.value.refused is refused


async def test_a_server_that_hangs_is_given_up_in_time() -> None:
    """One that takes the connection and says nothing costs the timeout, and no thread is left with it."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(SendFailed, match="no answer within"):
        await sending(settings_for(server.getsockname()[1], timeout=0.05))


async def test_a_server_that_is_away_is_said() -> None:
    """Nobody listens, or the name has no address: a failure that says so."""
    async with mail_server() as server:
        port = server.port
    with pytest.raises(SendFailed, match=r"127.0.0.1:\d+: no connection could be made"):
        await sending(settings_for(port))


def test_files_of_authorities_are_looked_at_first(tmp_path: Path) -> None:
    """A certificate file that is none is an error at the start, with the name of the notifier."""
    with pytest.raises(ConfigError, match=r"notify 'mail': ca_file="):
        channel_of(settings_for(25, starttls=True, ca_file=tmp_path / "gone.pem"))
