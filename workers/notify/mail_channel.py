"""The channel that is a mail server. It holds no thread, so that a server that hangs holds up no end of a process."""

import asyncio
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, Final, Self

from config.notify import NotifySettings
from router.telemetry.printable import printable
from workers.notify.mail import mail_of
from workers.notify.message import Message
from workers.notify.sending import SendFailed, Sent
from workers.outgoing import Target
from workers.outgoing.encryption import encryption_for
from workers.outgoing.resolver import SystemLookup

__all__ = ["MailChannel"]

_SHOWN: Final = 200
_PERMANENT: Final = 500


class MailChannel:
    """Hands mails to one server, over a connection of their own each. `clock` in epoch seconds.

    Raises ConfigError for certificates of authorities that are of no use.
    """

    def __init__(self, settings: NotifySettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._encryption = encryption_for(Target("", ca_file=settings.ca_file)) if settings.is_encrypted else None
        self._lookup: SystemLookup | None = None
        self.shown = f"{settings.host}:{settings.mail_port}"

    async def __aenter__(self) -> Self:
        self._lookup = SystemLookup()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._lookup is not None:
            self._lookup.close()

    async def send(self, message: Message) -> Sent:
        """Hand a mail over; raises SendFailed."""
        import aiosmtplib  # noqa: PLC0415 - few send mails

        settings = self._settings
        mail = mail_of(message, settings.sender, settings.to, datetime.fromtimestamp(self._clock(), UTC))
        request = f"{self._how}\n\n{mail.as_bytes().decode(errors='replace')}".replace("\r\n", "\n")
        began = time.monotonic()
        try:
            async with asyncio.timeout(settings.timeout):
                address, refused, answer = await self._deliver(mail)
        except TimeoutError:
            raise SendFailed(f"{self.shown}: no answer within {settings.timeout:g} seconds", request=request) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            refuses = isinstance(error, aiosmtplib.SMTPDataError) and error.code >= _PERMANENT
            answered = isinstance(error, aiosmtplib.SMTPResponseException | aiosmtplib.SMTPRecipientsRefused)
            text = f"{self.shown}: {_words(error)}"
            raise SendFailed(text, refused=refuses, answered=answered, request=request) from error
        warning = f"refused for {', '.join(sorted(refused))}" if refused else ""
        return Sent(request, printable(answer)[:_SHOWN], address, time.monotonic() - began, warning)

    @property
    def _how(self) -> str:
        settings = self._settings
        encrypted = "TLS" if settings.tls else "STARTTLS" if settings.starttls else "not encrypted"
        return f"SMTP {self.shown}, {encrypted}, {f'as {settings.user}' if settings.user else 'without a login'}"

    async def _deliver(self, mail: EmailMessage) -> tuple[str, list[str], str]:
        """Return the address of the server, the recipients that it refused while it took others, and its answer."""
        import aiosmtplib  # noqa: PLC0415 - few send mails

        settings = self._settings
        opened, address = await self._connected()
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            sock=opened,
            timeout=settings.timeout,
            use_tls=settings.tls,
            start_tls=settings.starttls and not settings.tls,
            tls_context=self._encryption,
            local_hostname=settings.sender.rpartition("@")[2],  # asking for our own name may take long
            username=settings.user or None,
            password=settings.password.get_secret_value() if settings.password else None,
        )
        try:
            await client.connect()
            refused, answer = await client.send_message(mail, sender=settings.sender, recipients=list(settings.to))
        finally:
            client.close()  # at once: the mail is taken, or not
        return address, list(refused), answer

    async def _connected(self) -> tuple[socket.socket, str]:
        """Return a connection to the first address of the server that takes one, and that address; raises OSError."""
        failed: OSError | None = None
        for address in await self._addresses():
            opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            opened.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(opened, (address, self._settings.mail_port))
            except BaseException as error:
                opened.close()
                if not isinstance(error, OSError):
                    raise
                failed = error
            else:
                return opened, address
        raise OSError("no connection could be made") from failed

    async def _addresses(self) -> list[str]:
        assert self._lookup is not None
        try:
            return await self._lookup(self._settings.host, self._settings.mail_port)
        except OSError as error:
            raise OSError(f"its name cannot be resolved ({error.strerror})") from error


def _words(error: Exception) -> str:
    """Say what a server answered, or why there was no answer."""
    refused: list[Any] = getattr(error, "recipients", [])
    if refused:
        return f"it takes the mail for nobody: {_words(refused[0])}"
    code = max(0, getattr(error, "code", 0)) or ""  # -1 is no code of a server
    text = getattr(error, "message", "") or getattr(error, "strerror", "") or error
    return printable(" ".join(f"{code} {text}".split()))[:_SHOWN]
