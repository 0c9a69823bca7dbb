"""`listen`: the events that come, posted to a developer's machine while the command runs."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Annotated, Literal

import typer

from config.errors import ConfigError
from config.outgoing import signing_key
from config.sources import load_settings
from router.cli.command.exits import complain
from router.cli.command.reader import ended_early, follow
from router.cli.events.coming import for_each
from router.cli.events.listing import wanted_events
from router.cli.listen.lines import as_json_line, as_text
from router.cli.listen.showing import Showing
from router.cli.options.common import EventGlob, taking
from router.cli.options.networks import as_option, networks
from router.events.catalogue import Catalogue
from router.events.globs import select
from router.ingress.signing_secrets import kept_secret
from router.tasks.backoff import Backoff
from workers.forward.listening import NAME, Poster
from workers.operations.audit import Deed, accounted
from workers.operations.events import EventFilter
from workers.operations.operations import Operations
from workers.outgoing import Outgoing, Target
from workers.outgoing.signature import new_secret

_SECRET = "listen-secret"  # noqa: S105 - the name of a file
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_LONGEST_WAIT = 3.0  # seconds between attempts while nobody listens: a developer has just started the receiver again

To = Annotated[str, typer.Option("--to", metavar="URL", help="Where to post, such as http://127.0.0.1:3000/hook.")]
ReplayLast = Annotated[
    int | None, typer.Option("--replay-last", min=0, metavar="N", help="Begin with the last so many past ones.")
]
Format = Annotated[
    Literal["cloudevents", "raw"],
    typer.Option("--format", help="What is posted: a CloudEvents event, or the item as it came."),
]
SecretFile = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Holds the secret that signs; one of the data folder by default."),
]
AllowPrivate = Annotated[
    list[str] | None,
    typer.Option(metavar="NETWORK", help="A private network that may be posted to, besides loopback."),
]
Timeout = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="For one answer.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Print the values of bodies and answers, too.")]
AsLines = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each event.")]


@taking(wanted=wanted_events)
def listen(
    glob: EventGlob = "*",
    *,
    to: To,
    wanted: EventFilter,
    replay_last: ReplayLast = None,
    format_: Format = "cloudevents",
    secret_file: SecretFile = None,
    allow_private: AllowPrivate = None,
    timeout: Timeout = 30.0,
    reveal: Reveal = False,
    as_json: AsLines = False,
) -> None:
    """Post events to a URL as they come, for as long as the command runs.

    For a developer's machine, signed as forwards do it, until Ctrl-C or the time of --until. One event at a time, in
    the order of acceptance, each once; it waits while nobody listens there. Subscriptions do not notice it, and nothing
    of it is left in the store, however it ends. Bodies are posted whole and printed without their values; the audit
    says who posted what where.
    """
    settings = load_settings()
    streams = select(Catalogue.for_settings(settings), glob)
    outgoing = _outgoing(to, allow_private or (), timeout)
    kept = secret_file or settings.data_dir / _SECRET
    secret = _secret(kept)
    selector = {"glob": glob, "to": outgoing.shown, **wanted.describe(), **({"reveal": "true"} if reveal else {})}
    past = replay_last if replay_last is not None or wanted.since is not None else 0

    async def work(operations: Operations) -> None:
        counts: Counter[str] = Counter()
        deed = Deed(NAME, selector=selector)
        # The end is written before connections are closed: who is impatient then changes no line of the audit.
        async with outgoing, accounted(operations.store, deed, counts, strictly=True):
            backoff = Backoff(Random(), 0.2, _LONGEST_WAIT)  # noqa: S311 - jitter
            poster = Poster(outgoing, secret, format_, _say, sleep=asyncio.sleep, backoff=backoff)
            write = as_json_line if as_json else partial(as_text, operations.catalogue)
            showing = Showing(poster, write, counts, kept, reveal=reveal, is_for_people=not as_json)
            early = await ended_early(
                for_each(operations, streams, wanted, past, showing.post, none_past=_say_nothing_past)
            )
        if early is not None:
            raise early

    follow(work)


def _outgoing(to: str, allowed: Iterable[str], timeout: float) -> Outgoing:
    try:
        found = networks(allowed)
    except ValueError as error:
        raise typer.BadParameter(f"--allow-private: {error}") from None
    try:
        return Outgoing(Target(to, timeout=timeout, allow_private=(*_LOOPBACK, *found), connections=1))
    except ConfigError as error:
        raise ConfigError(as_option(str(error))) from None


def _say(why: str) -> None:
    complain(f"{why}: waiting" if why else "somebody listens there again")


def _say_nothing_past() -> None:
    complain("no past event matches: posting what comes from now on")


def _secret(kept: Path) -> str:
    """Return the secret that signs, which is made where there is none yet, and say where it is."""
    secret = kept_secret(kept, new_secret)
    try:
        signing_key(secret)
    except ValueError as error:
        raise typer.BadParameter(f"{kept}: the secret {error}") from None
    complain(f"signs with the secret in {kept}: start the receiver with WEBHOOK_SECRET=$(cat {kept})")
    return secret
