"""`init`: asks five questions, and writes settings, a worker or a forward, and a file for compose."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, get_args

import typer

from config.notify import Channel
from config.publishers import load_publishers
from router.cli.command.exits import usage
from router.cli.init import asking
from router.cli.init.answers import EMBEDDED, NOTIFIER, Answers, Mail, is_here
from router.cli.init.options import Given, GivenChannel, given, given_channel, text_of
from router.cli.init.writing import COMPOSE, SETTINGS, WORKER, Written, refuse, write
from router.cli.options.common import taking
from router.cli.output.results import JsonFlag, print_json, print_line

_PYTHON, _NONE, _USUAL = "python", "none", "visma-net-financial"


@taking(first=given, channel=given_channel)
def init(
    *,
    first: Given,
    channel: GivenChannel,
    folder: Annotated[Path, typer.Option(metavar="PATH", help="Where the files are written.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take the default for what no option says.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask five questions, and write router.toml, a worker module or a forward, and compose.override.yaml.

    Each question is an option, too, so that it works without a terminal. What is written was loaded before; where that
    fails nothing is written. Secrets go into files of the folder `secrets`, for your user alone, and are never shown;
    those that were made before stay, also with --force.
    """
    asks = not yes and sys.stdin.isatty()
    asked = {"publisher": first.publishers, "redis": first.redis, "to": first.to, "notify": channel.kind}
    if not (asks or yes) and (missing := [f"--{name}" for name, value in asked.items() if value is None]):
        usage(f"nobody can be asked: give {', '.join(missing)}, or --yes for the defaults")
    refuse(folder, (SETTINGS, COMPOSE), force=force)
    slugs = _publishers(first.publishers, asks=asks)
    answers = Answers(
        publishers=slugs,
        secrets=_secrets(first.secrets, slugs, asks=asks),
        redis=first.redis or (asking.ask_redis() if asks else EMBEDDED),
        forward=_forward(first.to, first.allow_private, asks=asks),
        allow_private=first.allow_private,
        **_channel(channel, asks=asks),
    )
    written = write(answers, folder, force=force)
    if as_json:
        print_json(_json(answers, written, folder))
        return
    for line in _lines(answers, written, folder):
        print_line(line)


def _publishers(chosen: Sequence[str] | None, *, asks: bool) -> tuple[str, ...]:
    known = [publisher.slug for publisher in load_publishers(on_demand=True)]
    known.sort(key=lambda slug: slug != _USUAL)
    if chosen is None:
        return asking.ask_publishers(known) if asks else (_USUAL,)
    if unknown := [slug for slug in chosen if slug not in known]:
        usage(f"no publisher {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(chosen) or (_USUAL,)


def _secrets(files: dict[str, Path], slugs: Sequence[str], *, asks: bool) -> dict[str, str]:
    if others := [slug for slug in files if slug not in slugs]:
        usage(f"--secret names {', '.join(others)}, which is no --publisher")
    found = {slug: text_of(file) for slug, file in files.items()}
    if asks:
        found |= {slug: text for slug in slugs if slug not in found and (text := asking.ask_secret(slug))}
    return found


def _forward(to: str | None, allowed: tuple[str, ...], *, asks: bool) -> str:
    if to is None:
        return asking.ask_forward(allowed) if asks else ""
    return "" if to.lower() == _PYTHON else to


def _channel(given: GivenChannel, *, asks: bool) -> dict[str, Any]:
    """Return what the answers have of the channel."""
    kinds = get_args(Channel)
    if given.kind not in (None, _NONE, *kinds):
        usage(f"--notify {given.kind}: is none of {', '.join((_NONE, *kinds))}")
    kind = given.kind or (asking.ask_channel() if asks else None)
    if kind in (None, _NONE):
        return {}
    if kind == "smtp":
        return {"channel": kind, "mail": _mail(given, asks=asks)}
    if given.url is None and not asks:
        usage(f"--notify {kind} needs --notify-url-file")
    return {"channel": kind, "channel_url": text_of(given.url) if given.url else asking.ask_url(kind)}


def _mail(given: GivenChannel, *, asks: bool) -> Mail:
    if asks and not given.host:
        return asking.ask_mail()
    needed = {"--mail-host": given.host, "--mail-from": given.sender, "--mail-to": given.to}
    if missing := [name for name, value in needed.items() if not value]:
        usage(f"--notify smtp needs {', '.join(missing)}")
    password = text_of(given.password) if given.password else ""
    return Mail(given.host, given.sender, given.to, given.user, password)


def _lines(answers: Answers, written: Written, folder: Path) -> Iterator[str]:
    for file in written.files:
        yield f"wrote {file}"
    for secret in written.secrets:
        how = "as given" if secret.is_given else "made at random"
        yield f"wrote {folder / 'secrets' / secret.name}: {secret.what}, {how}"
    for name in written.kept:
        yield f"kept {folder / 'secrets' / name}"
    yield ""
    yield "Next:"
    yield from (f"  {command}" for command in _next(answers, folder))
    made = [secret.name for secret in written.secrets if secret.name in answers.publishers and not secret.is_given]
    if made:
        yield ""
        files = ", ".join(str(folder / "secrets" / name) for name in made)
        yield f"Put the secrets that the portal shows into {files}."
    if is_here(answers.forward):
        yield ""
        yield "From a container the receiver is reached only if it listens on 0.0.0.0 too, not on 127.0.0.1 alone."


def _next(answers: Answers, folder: Path) -> list[str]:
    """Return the commands to go on with."""
    here = folder.resolve() == Path.cwd()
    event_router = "event-router" if here else f"event-router --config {quote(str(folder / SETTINGS))}"
    worker = "" if answers.forward else f" {quote(str(folder / WORKER))}"
    commands = [f"{event_router} up{worker}"]
    commands += [
        f"{event_router} send {answers.publishers[0]} {_sample(answers.publishers[0])}",
        f"{event_router} doctor",
    ]
    if answers.forward:
        commands.append(f"{event_router} forward test receiver")
    if answers.channel:
        commands.append(f"{event_router} notify test {NOTIFIER}")
    if (folder / "compose.yaml").exists():
        profile = " --profile forward" if answers.forward else ""
        commands.append(f"sh deploy/make-secrets && docker compose{profile} up --build --detach")
    return commands


def _sample(slug: str) -> str:
    """Return an event of a publisher to try with."""
    [publisher] = [found for found in load_publishers(on_demand=True) if found.slug == slug]
    types = [event.type for event in publisher.events]
    return "customer_changed" if "customer_changed" in types else types[0]


def _json(answers: Answers, written: Written, folder: Path) -> dict[str, Any]:
    return {
        "files": [str(file) for file in written.files],
        "secrets": [
            {"file": str(folder / "secrets" / secret.name), "what": secret.what, "given": secret.is_given}
            for secret in written.secrets
        ],
        "kept": [str(folder / "secrets" / name) for name in written.kept],
        "next": _next(answers, folder),
    }
