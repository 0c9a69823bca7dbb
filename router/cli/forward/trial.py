"""`forward test`: one signed sample, and what the receiver makes of it."""

from typing import Annotated, Any

import typer

from config.forward import ForwardSettings
from config.settings import Settings
from config.sources import forward_secret_files, load_settings, settings_file
from router.cli.command.exits import ExitCode, NothingMatched, complain
from router.cli.command.loop import run
from router.cli.output.results import JsonFlag, fields_of, print_json, print_record
from router.events.catalogue import Catalogue
from workers.forward.advice import advice
from workers.forward.making import check
from workers.forward.sample import sample_for
from workers.forward.trial import Trial, try_forward
from workers.forward.verdict import named


def try_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the forward.")],
    *,
    event: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Which of its events; one that is well known by default.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send one signed sample of a forward's events to its URL, and show the exchange.

    The sample passes the forward's `where` if one can be made that does. Nothing is taken from the store and nothing is
    tried again. Secrets are not shown, and of a signature the beginning.
    Exits with 0 where the receiver answered 2xx, with 1 for another answer, with 4 for none.
    """
    settings = load_settings()
    catalogue = Catalogue.for_settings(settings)
    forward = _find(settings, name)
    check(forward, catalogue)
    chosen = sample_for(forward, catalogue, event)
    if chosen is None:
        raise NothingMatched(f"forward {name!r} gets no {event}: its events are {', '.join(forward.events)}")
    sample, passes = chosen
    if not passes:
        complain(f"no sample could be made that passes the filter of {name!r}: this one would be skipped by its where")
    found = run(try_forward(forward, sample))
    print_json(_json(found)) if as_json else print_record(_record(found))
    if found.error:
        complain(found.error)
        raise typer.Exit(ExitCode.UNREACHABLE)
    if not found.is_taken:
        what = advice(found.status or 0, _secret_of(name))
        complain(f"the receiver answered {found.status}: only 2xx takes an event; {what}")
        raise typer.Exit(ExitCode.PARTLY_FAILED)


def _secret_of(name: str) -> str:
    """Return where the secret of a forward is."""
    return ", ".join(map(str, forward_secret_files(name))) or f"the settings of forward {name!r}"


def _find(settings: Settings, name: str) -> ForwardSettings:
    forward = next((forward for forward in settings.forward if forward.name == name), None)
    if forward is None:
        names = ", ".join(forward.name for forward in settings.forward)
        there = (
            f"there {'are' if ',' in names else 'is'} {names}"
            if names
            else f"the settings of {settings_file()} have no [[forward]]"
        )
        raise NothingMatched(f"no forward is named {name!r}: {there}")
    return forward


def _json(found: Trial) -> dict[str, Any]:
    what = fields_of(found, "forward", "url", "stream", "id")
    request = {"headers": dict(found.sent), "body": found.body}
    answer = None
    if found.status is not None:
        answer = {"status": found.status, "headers": dict(found.headers), "body": found.answer}
    how = {"seconds": round(found.seconds, 4), "address": found.address or None, "error": found.error or None}
    return {**what, "ok": found.is_taken, "request": request, "answer": answer, **how}


def _record(found: Trial) -> dict[str, object]:
    ended = "none" if found.status is None else f"{named(found.status)} from {found.address}"
    return {
        "forward": found.forward,
        "url": found.url,
        "sample": f"{found.stream}, id {found.id}, {len(found.body.encode())} bytes",
        "headers sent": _lines(found.sent),
        "answer": f"{ended} in {found.seconds:.3f} s",
        "headers received": _lines(found.headers),
        "body received": found.answer,
        "error": found.error,
    }


def _lines(headers: Any) -> str:
    text = "\n".join(f"{name}: {value}" for name, value in headers.items())
    return f"{text}\n" if text else ""
