"""The options that stand for the first four questions, and how any of them is judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from config.errors import ConfigError
from config.files import read_regular
from router.cli.init import judging
from router.cli.options.completing import publishers
from router.cli.options.networks import networks

__all__ = ["Given", "given", "judged", "text_of"]

A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Given:
    """What options say of the first four questions; None where they do not. to: empty for Python."""

    publishers: tuple[str, ...] | None
    secrets: Mapping[str, str] = field(repr=False)
    redis: str | None = field(repr=False)
    to: str | None
    allow_private: tuple[str, ...]


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
    """Return the first four answers, as far as options give them; raises BadParameter for one that cannot be used."""
    if redis_file is not None and redis is not None:
        raise typer.BadParameter("give only one of --redis and --redis-file")
    if redis_file is not None:
        redis = judged("--redis-file", judging.redis_url, text_of(redis_file))
    elif redis is not None:
        redis = judged("--redis", judging.redis_url, redis)
    allowed = tuple(map(str, judged("--allow-private", networks, allow_private or [])))
    return Given(
        publishers=None if publisher is None else judged("--publisher", judging.slugs, publisher),
        secrets={slug: text_of(file) for slug, file in map(_pair, secret or ())},
        redis=redis,
        to=None if to is None else judged("--to", lambda text: judging.receiver(text, allowed), to),
        allow_private=allowed,
    )


def judged(option: str, read: Callable[[A], T], value: A) -> T:
    """Return what was given as an option; raises BadParameter, which names the option, where it cannot be used."""
    try:
        return read(value)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None


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
