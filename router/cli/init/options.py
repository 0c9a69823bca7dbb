"""The options that stand for the questions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError
from config.files import read_regular
from router.cli.options.completing import publishers

__all__ = ["Given", "GivenChannel", "given", "given_channel", "text_of"]


@dataclass(frozen=True, slots=True)
class Given:
    """What options say of the first four questions; None where they do not."""

    publishers: tuple[str, ...] | None
    secrets: dict[str, Path]
    redis: str | None
    to: str | None
    allow_private: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GivenChannel:
    """What they say of the fifth."""

    kind: str | None
    url: Path | None
    host: str
    sender: str
    to: tuple[str, ...]
    user: str
    password: Path | None


def given(
    publisher: Annotated[
        list[str] | None,
        typer.Option(metavar="SLUG", help="1. Who sends webhooks; may be repeated.", autocompletion=publishers),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(metavar="SLUG=FILE", help="2. The file with a publisher's secret; otherwise one is made."),
    ] = None,
    redis: Annotated[str | None, typer.Option(metavar="URL", help="3. The URL of a Redis, or embedded.")] = None,
    redis_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The same out of a file: for a URL with a password.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="python|URL", help="4. What gets events: a module in Python, or a URL.")
    ] = None,
    allow_private: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="A private network that URLs may lead to, such as 10.0.0.0/8."),
    ] = None,
) -> Given:
    """Return the first four answers, as far as options give them."""
    if redis_file is not None and redis is not None:
        raise typer.BadParameter("give only one of --redis and --redis-file")
    return Given(
        publishers=None if publisher is None else _listed(publisher),
        secrets=dict(map(_pair, secret or ())),
        redis=text_of(redis_file) if redis_file else redis,
        to=to,
        allow_private=_listed(allow_private or []),
    )


def given_channel(
    notify: Annotated[
        str | None, typer.Option(metavar="KIND", help="5. Who hears of incidents: none, teams, slack, webhook or smtp.")
    ] = None,
    notify_url_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file with the URL of teams, slack or webhook.")
    ] = None,
    mail_host: Annotated[str, typer.Option(metavar="HOST", help="The mail server of smtp.")] = "",
    mail_from: Annotated[str, typer.Option(metavar="ADDRESS", help="The address that mails come from.")] = "",
    mail_to: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="An address that mails go to; may be repeated.")
    ] = None,
    mail_user: Annotated[str, typer.Option(metavar="NAME", help="As whom to log in to the mail server.")] = "",
    mail_password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file with the password of that user.")
    ] = None,
) -> GivenChannel:
    """Return the fifth answer, as far as options give it."""
    to = _listed(mail_to or [])
    return GivenChannel(notify, notify_url_file, mail_host, mail_from, to, mail_user, mail_password_file)


def text_of(file: Path) -> str:
    """Return the one line that a file holds; raises ConfigError."""
    try:
        lines = [line.strip() for line in read_regular(file).decode("utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); name a readable file") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is no UTF-8 text") from None
    if len(lines) != 1:
        raise ConfigError(f"{file}: holds {len(lines)} lines; write one")
    return lines[0]


def _pair(text: str) -> tuple[str, Path]:
    slug, _, file = text.partition("=")
    if not slug or not file:
        raise typer.BadParameter(f"{text!r} is no SLUG=FILE")
    return slug, Path(file)


def _listed(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for text in texts for part in text.split(",") if part.strip()))
