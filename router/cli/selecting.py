"""The options that select dead letters, the same for every command that works on them."""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from router.catalogue import Catalogue
from workers.selector import Selector, parse_moment

__all__ = ["Since", "Until", "What", "narrowed", "select_streams", "selecting"]

_STDIN = "-"


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Since = Annotated[
    datetime | None, typer.Option(parser=_moment, metavar="TIME", help="From then on: 15m, 2h, 3d, or an ISO time.")
]
Until = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="Until then, likewise.")]

What = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID|GLOB]...", help="Ids of events or entries; - reads them on stdin; or a glob."),
]


def select_streams(catalogue: Catalogue, glob: str | None) -> tuple[str, ...]:
    """Return the streams that a glob selects, as in a selector; raises UnknownStream, since it is a slip of the pen."""
    return Selector(glob).streams(catalogue.streams()) or catalogue.select(glob or "*")


def _selector(
    events: Annotated[
        str | None,
        typer.Option("--event", "--events", metavar="GLOB", help="PUBLISHER/TYPE, or TYPE of any publisher."),
    ] = None,
    subscription: Annotated[str | None, typer.Option(metavar="NAME", help="The subscription that failed.")] = None,
    error: Annotated[str | None, typer.Option(metavar="GLOB", help="Class of the last error.")] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="Part of its message, or of the reason.")] = None,
    resource: Annotated[str | None, typer.Option(metavar="GLOB", help="Such as customer/*.")] = None,
    attempts: Annotated[int, typer.Option(min=0, help="Failed at least so often.")] = 0,
    since: Since = None,
    until: Until = None,
) -> Selector:
    """Declare the options, and make of what is given the selector."""
    return Selector(events, subscription, error, text, resource, attempts, since, until)


_OPTIONS = inspect.signature(_selector).parameters


def selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command whose first parameter is `selector` the options that make one."""

    def selected(**given: Any) -> Any:
        options = {name: given.pop(name) for name in _OPTIONS}
        return command(_selector(**options), **given)

    own = list(inspect.signature(command).parameters.values())[1:]
    arguments = [parameter for parameter in own if parameter.default is inspect.Parameter.empty]
    others = [parameter for parameter in own if parameter.default is not inspect.Parameter.empty]
    parameters = [*arguments, *_OPTIONS.values(), *others]
    selected.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    selected.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    selected.__name__, selected.__doc__ = command.__name__, command.__doc__
    return selected


def narrowed(selector: Selector, arguments: Sequence[str] | None) -> Selector:
    """Narrow a selector to what the command line names: ids, those on stdin for `-`, and at most one glob."""
    globs = [argument for argument in arguments or () if "/" in argument or "*" in argument]
    ids = [argument for argument in arguments or () if argument not in (*globs, _STDIN)]
    if len(globs) + (selector.events is not None) > 1:
        raise typer.BadParameter("give one glob over events, not several")
    if _STDIN in (arguments or ()):
        ids += sys.stdin.read().split()
        if not ids:  # an empty list of ids must not select everything
            raise typer.BadParameter("no ids on stdin")
    return replace(selector, events=globs[0] if globs else selector.events).narrowed(*ids)
