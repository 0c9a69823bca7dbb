"""A mail server for tests, which keeps what it gets: with encryption and a login where that is asked for."""

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

__all__ = ["MailServer", "mail_server"]


@dataclass
class MailServer:
    """What came; `refuse` answers DATA in place of 250, and `unknown` are recipients that it does not have."""

    port: int = 0
    refuse: str = ""
    unknown: tuple[str, ...] = ()
    mails: list[bytes] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, or not."""
        if address in self.unknown:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - likewise
        """Keep a mail."""
        if self.refuse:
            return self.refuse
        assert isinstance(envelope.original_content, bytes)
        self.mails.append(envelope.original_content)
        self.senders.append(envelope.mail_from or "")
        self.recipients.append(envelope.rcpt_tos)
        self.encrypted.append(session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None)
        return "250 2.0.0 queued as 4711"

    def login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: object
    ) -> AuthResult:
        """Let in one user."""
        assert isinstance(given, LoginPassword)
        self.logins.append(given.login.decode())
        return AuthResult(success=given.password == b"hunter2", handled=False)


@contextlib.asynccontextmanager
async def mail_server(
    context: ssl.SSLContext | None = None, *, login: bool = False, at_once: bool = False
) -> AsyncIterator[MailServer]:
    """Yield a server at a free port; `context` encrypts, by STARTTLS or from the beginning (`at_once`)."""
    kept = MailServer()
    serving = list[SMTP]()

    def protocol() -> SMTP:
        with warnings.catch_warnings():  # it does not see an encryption that is there from the beginning
            warnings.simplefilter("ignore")
            made = SMTP(
                kept,
                hostname="mail.test",
                tls_context=None if at_once else context,
                require_starttls=context is not None and not at_once,
                auth_required=login,
                auth_require_tls=login and not at_once,
                authenticator=kept.login if login else None,
            )
        serving.append(made)
        return made

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=context if at_once else None)
    kept.port = server.sockets[0].getsockname()[1]
    try:
        yield kept
    finally:
        server.close()
        for each in serving:
            if each.transport is not None:
                each.transport.abort()
        await asyncio.sleep(0)
