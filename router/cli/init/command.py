"""`init`: asks five questions, and writes settings, a worker or a forward, and a file for compose."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from config.publishers import load_publishers
from router.cli.command.exits import usage
from router.cli.init import asking, judging
from router.cli.init.answers import EMBEDDED, NONE, NOTIFIER, Answers, is_here, unreached_by_containers
from router.cli.init.channel_options import GivenChannel, given_channel
from router.cli.init.options import Given, given, judged
from router.cli.init.writing import COMPOSE, SETTINGS, WORKER, Written, refuse, write
from router.cli.options.common import taking
from router.cli.output.results import JsonFlag, print_json, print_line

_USUAL = "visma-net-financial"


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
    if channel.url is not None:
        judged("--notify-url-file", partial(judging.target_url, allowed=first.allow_private), channel.url)
    slugs = _publishers(first.publishers, asks=asks)
    answers = Answers(
        publishers=slugs,
        secrets=_secrets(first.secrets, slugs, asks=asks),
        redis=first.redis or (asking.ask_redis() if asks else EMBEDDED),
        forward=_forward(first.to, first.allow_private, asks=asks),
        allow_private=first.allow_private,
        **_channel(channel, first.allow_private, asks=asks),
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
    return tuple(chosen)


def _secrets(given: Mapping[str, str], slugs: Sequence[str], *, asks: bool) -> dict[str, str]:
    if others := [slug for slug in given if slug not in slugs]:
        usage(f"--secret names {', '.join(others)}, which is no --publisher")
    asked = (slug for slug in slugs if asks and slug not in given)
    return {**given, **{slug: text for slug in asked if (text := asking.ask_secret(slug))}}


def _forward(to: str | None, allowed: tuple[str, ...], *, asks: bool) -> str:
    if to is None:
        return asking.ask_forward(allowed) if asks else ""
    return to


def _channel(given: GivenChannel, allowed: tuple[str, ...], *, asks: bool) -> dict[str, Any]:
    """Return what the answers have of the channel."""
    kind = given.kind or (asking.ask_channel() if asks else None)
    if kind in (None, NONE):
        return {}
    if kind == "smtp":
        if given.mail is None and not asks:
            usage("--notify smtp needs --mail-host, --mail-from, --mail-to")
        return {"channel": kind, "mail": given.mail or asking.ask_mail()}
    if given.url is None and not asks:
        usage(f"--notify {kind} needs --notify-url-file")
    return {"channel": kind, "channel_url": given.url or asking.ask_url(kind, allowed)}


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
    if unreached := unreached_by_containers(answers):
        yield ""
        yield f"A container finds itself at localhost: give {', '.join(unreached)} an address that containers reach."


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
