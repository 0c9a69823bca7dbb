"""What a shell completes: event types and publishers from the catalogue, subscriptions and fingerprints from the store.

Nobody who presses Tab wants to wait or to read an error: what is not known in no time is not completed.
"""

import contextlib
import io
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

from config.settings import Settings
from config.sources import load_settings
from router.events.catalogue import Catalogue

if TYPE_CHECKING:
    from workers.operations.operations import Operations

T = TypeVar("T")

_PATIENCE: Final = 1.0  # seconds
_LOOKED_AT: Final = 200  # dead letters, the newest


def publishers(incomplete: str) -> list[str]:
    """Complete the slug of a publisher."""
    return [
        slug for slug in _of_catalogue(lambda catalogue: catalogue.publishers) if slug.startswith(incomplete.lower())
    ]


def event_types(incomplete: str) -> list[str]:
    """Complete an event type, or `publisher/type` once the publisher is begun."""
    wanted = incomplete.lower()
    streams = _of_catalogue(Catalogue.streams)
    types = dict.fromkeys(stream.partition("/")[2] for stream in streams)
    found = [type_ for type_ in types if type_.startswith(wanted)]
    return found if found and wanted else [stream for stream in streams if stream.startswith(wanted)]


def subscriptions(incomplete: str) -> list[str]:
    """Complete the name of a subscription that exists."""
    return [name for name in _of_store(lambda operations: operations.subscriptions()) if name.startswith(incomplete)]


def notifiers(incomplete: str) -> list[str]:
    """Complete the name of a notifier of the settings."""
    return [each.name for each in _silently(lambda: load_settings().notify) if each.name.startswith(incomplete)]


def incident_kinds(incomplete: str) -> list[str]:
    """Complete the kind of an incident that lasts."""
    found = _of_store(lambda operations: operations.incidents())
    return sorted({one.kind for one in found if one.kind.startswith(incomplete)})


def incident_subjects(incomplete: str) -> list[str]:
    """Complete what an incident that lasts is about."""
    found = _of_store(lambda operations: operations.incidents())
    return sorted({one.subject for one in found if one.subject.startswith(incomplete)})


def fingerprints(incomplete: str) -> list[tuple[str, str]]:
    """Complete the fingerprint of an error of the newest dead letters, and tell the error."""
    return [row for row in _of_store(_fingerprints) if row[0].startswith(incomplete.lower())]


def _silently(names: Callable[[], Iterable[T]]) -> list[T]:
    """Return what these are; none where something goes wrong, of which nothing is said."""
    nowhere = io.StringIO()
    with contextlib.suppress(Exception), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        return list(names())
    return []


def _of_catalogue(names: Callable[[Catalogue], Iterable[str]]) -> list[str]:
    return _silently(lambda: names(Catalogue.for_settings(load_settings())))


def _of_store(ask: "Callable[[Operations], Awaitable[list[T]]]") -> list[T]:
    """Ask the store, if it answers at once; an embedded one is not started for this."""
    from router.cli.command.loop import run  # noqa: PLC0415 - what needs no store is completed without all of this
    from router.tasks.ending import in_time  # noqa: PLC0415 - likewise
    from workers.operations.operations import Operations  # noqa: PLC0415

    async def asked(settings: Settings) -> list[T]:
        quick = {"url": _url(settings), "connect_timeout": _PATIENCE, "command_timeout": _PATIENCE}
        redis = settings.redis.model_copy(update=quick)
        async with Operations.open(settings.model_copy(update={"redis": redis})) as operations:
            return await in_time(_PATIENCE, ask(operations))

    return _silently(lambda: run(asked(load_settings())))


def _url(settings: Settings) -> str:
    from router.embedded.access import EMBEDDED  # noqa: PLC0415 - as above
    from router.embedded.socket import socket_path  # noqa: PLC0415

    if settings.redis.url != EMBEDDED:
        return settings.redis.url
    return f"unix://{quote(str(socket_path(settings.data_dir.resolve() / 'redis')))}"


async def _fingerprints(operations: "Operations") -> list[tuple[str, str]]:
    from router.tasks.iterating import first  # noqa: PLC0415 - as above
    from workers.failure import fold_message  # noqa: PLC0415

    newest = first(operations.dead_letters(), _LOOKED_AT)
    errors = {letter.fingerprint: f"{letter.error} {fold_message(letter.message)}" async for letter in newest}
    return sorted(errors.items())
