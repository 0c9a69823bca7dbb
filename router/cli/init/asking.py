"""Asking the five questions on a terminal; what options have answered is not asked."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar, get_args

import typer

from config.notify import Channel
from router.cli.init import judging
from router.cli.init.answers import EMBEDDED, NONE, Mail

__all__ = ["ask_channel", "ask_forward", "ask_mail", "ask_publishers", "ask_redis", "ask_secret", "ask_url"]

T = TypeVar("T")

_CHANNELS: Final = (NONE, *get_args(Channel))


def ask_publishers(known: Sequence[str]) -> tuple[str, ...]:
    """Ask which publishers send."""
    typer.echo(f"1. Who sends webhooks? Known are {', '.join(known)}", err=True)
    return _asked("   Publishers, separated by commas", known[0], lambda text: _slugs(text, known))


def ask_secret(slug: str) -> str:
    """Ask for the secret of a publisher; empty to have one made."""
    typer.echo(
        f"2. The secret that the portal shows for {slug} (it is not shown here; Enter makes one to try with)", err=True
    )
    return str(typer.prompt("   Secret", default="", hide_input=True, show_default=False, err=True)).strip()


def ask_redis() -> str:
    """Ask where the streams are."""
    typer.echo(
        "3. Where are the streams? embedded runs a server of its own; or the URL of a Redis, redis://…", err=True
    )
    return _asked("   Redis", EMBEDDED, judging.redis_url)


def ask_forward(allowed: tuple[str, ...]) -> str:
    """Ask what is done with events; return the URL of a receiver, empty for Python. allowed: private networks."""
    typer.echo(
        "4. What is done with events? python: a module of yours; or the URL of a receiver in any language", err=True
    )
    return _asked("   python or https://…", "python", lambda text: judging.receiver(text, allowed))


def ask_channel() -> Channel | None:
    """Ask who hears of incidents."""
    typer.echo("5. Who hears of incidents, such as that webhooks stay away?", err=True)
    return _asked(f"   {', '.join(_CHANNELS)}", NONE, _channel)


def ask_url(channel: str, allowed: tuple[str, ...]) -> str:
    """Ask for the URL of a channel. allowed: private networks."""
    words = f"   The URL of {channel} (it is not shown here)"
    return _asked(words, "", lambda text: judging.target_url(text, allowed), hidden=True)


def ask_mail() -> Mail:
    """Ask for a mail server."""
    host = _asked("   Mail server", "", judging.mail_host)
    sender = _asked("   Mails come from", "", judging.mail_address)
    to = _asked("   Mails go to, separated by commas", "", lambda text: judging.mail_addresses([text]))
    user = _asked("   User of the mail server (Enter for none)", "", str.strip)
    password = _asked("   Its password (it is not shown here)", "", _password, hidden=True) if user else ""
    return Mail(host, sender, to, user, password)


def _asked(words: str, default: str, read: Callable[[str], T], *, hidden: bool = False) -> T:
    """Ask until the answer can be read."""
    while True:
        try:
            answer = typer.prompt(words, default=default, hide_input=hidden, show_default=bool(default), err=True)
            return read(str(answer))
        except ValueError as error:
            typer.echo(f"   {error}", err=True)


def _password(text: str) -> str:
    if not text.strip():
        raise ValueError("a user needs a password")
    return text.strip()


def _slugs(text: str, known: Sequence[str]) -> tuple[str, ...]:
    slugs = judging.slugs([text])
    if unknown := [slug for slug in slugs if slug not in known]:
        raise ValueError(f"{', '.join(unknown)}: unknown; known are {', '.join(known)}")
    return slugs


def _channel(text: str) -> Channel | None:
    name = text.strip().lower()
    found: Channel | None = next((each for each in get_args(Channel) if each == name), None)
    if found is None and name != NONE:
        raise ValueError(f"{text.strip()!r} is none of {', '.join(_CHANNELS)}")
    return found
