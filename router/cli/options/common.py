"""The options and arguments that commands of several groups take."""

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from router.cli.options.completing import event_types

_STDIN = "-"


def taking(**makers: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what gives a command, in the place of each parameter named here, the options of what makes its value."""
    options = {name: inspect.signature(make).parameters for name, make in makers.items()}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def taken(**given: Any) -> Any:
            for name, make in makers.items():
                given[name] = make(**{option: given.pop(option) for option in options[name]})
            return command(**given)

        own = inspect.signature(command).parameters
        found = [option for name in own for option in options.get(name, {name: own[name]}).values()]
        parameters = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in found]
        taken.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        taken.__annotations__ = {option.name: option.annotation for option in parameters}
        return taken

    return decorate


def _moment(text: str) -> datetime:
    from workers.operations.criteria import parse_moment  # noqa: PLC0415 - slow to import, and few give a time

    try:
        return parse_moment(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def lasting(text: str) -> timedelta:
    """Return the time that an option such as `--for 2h` names; a usage error for any other text."""
    from config.times import parse_duration  # noqa: PLC0415 - as above

    if not (found := parse_duration(text)):
        raise typer.BadParameter(f"{text!r} is no time: write 90s, 30m, 2h, 1d or 1w")
    return found


Since = Annotated[
    datetime | None, typer.Option(parser=_moment, metavar="TIME", help="From then on: 15m, 2h, 3d, or an ISO time.")
]
Until = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="Until then, likewise.")]
EventGlob = Annotated[
    str,
    typer.Argument(metavar="[GLOB]", help="PUBLISHER/TYPE, or TYPE of any publisher.", autocompletion=event_types),
]
Resource = Annotated[str | None, typer.Option(metavar="GLOB", help="Such as customer/*.")]
Company = Annotated[str | None, typer.Option(metavar="ID", help="The company in the ERP.")]


def ids_among(what: Sequence[str], is_id: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Return the ids among arguments, those on stdin too where one is `-`, and the other arguments.

    Raises BadParameter where none is on stdin: an empty list must not select all.
    """
    given = [argument for argument in what if argument != _STDIN]
    ids = [argument for argument in given if is_id(argument)]
    if _STDIN in what:
        if not (read := sys.stdin.read().split()):
            raise typer.BadParameter("no ids on stdin")
        ids += read
    return ids, [argument for argument in given if not is_id(argument)]
