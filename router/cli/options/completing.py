"""What a shell completes: event types and publishers from the catalogue, subscriptions and fingerprints from the store.

Nobody who presses Tab wants to wait or to read an error: what is not known in no time is not completed.
"""

import contextlib
import io
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, TypeVar
from urllib.parse import quote

from config.settings import Settings
from config.sources import load_settings
from router.events.catalogue import Catalogue

__all__ = ["event_types", "fingerprints", "publishers", "subscriptions"]

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
    return [name for name in _of_store(_subscriptions) if name.startswith(incomplete)]


def fingerprints(incomplete: str) -> list[tuple[str, str]]:
    """Complete the fingerprint of an error of the newest dead letters, and tell the error."""
    return [row for row in _of_store(_fingerprints) if row[0].startswith(incomplete.lower())]


@contextlib.contextmanager
def _silently() -> Iterator[None]:
    """Let nothing be said, and nothing go wrong."""
    nowhere = io.StringIO()
    with contextlib.suppress(Exception), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def _of_catalogue(names: Callable[[Catalogue], Iterable[str]]) -> list[str]:
    found: list[str] = []
    with _silently():
        found.extend(names(Catalogue.for_settings(load_settings())))
    return found


def _of_store(ask: Callable[[Any, Catalogue], Coroutine[Any, Any, list[T]]]) -> list[T]:
    """Ask the store, if it answers at once; an embedded one is not started for this."""
    from router.cli.command.loop import run  # noqa: PLC0415 - what needs no store is completed without all of this

    found: list[T] = []
    with _silently():
        settings = load_settings()
        found.extend(run(_asked(settings, Catalogue.for_settings(settings), ask)))
    return found


async def _asked(
    settings: Settings, catalogue: Catalogue, ask: Callable[[Any, Catalogue], Coroutine[Any, Any, list[T]]]
) -> list[T]:
    from router.store.client import connect  # noqa: PLC0415
    from router.store.keys import Keys  # noqa: PLC0415
    from router.tasks.ending import in_time  # noqa: PLC0415 - as above

    store = connect(_url(settings), Keys(settings.redis.prefix), connect_timeout=_PATIENCE, timeout=_PATIENCE)
    try:
        return await in_time(_PATIENCE, ask(store, catalogue))
    finally:
        await store.aclose()


def _url(settings: Settings) -> str:
    from router.embedded.access import EMBEDDED  # noqa: PLC0415 - as above
    from router.embedded.socket import socket_path  # noqa: PLC0415

    if settings.redis.url != EMBEDDED:
        return settings.redis.url
    return f"unix://{quote(str(socket_path(settings.data_dir.resolve() / 'redis')))}"


async def _subscriptions(store: Any, catalogue: Catalogue) -> list[str]:
    from workers.state.groups import existing_groups  # noqa: PLC0415 - as above

    found = await existing_groups(store, catalogue.streams())
    return sorted({group.name for groups in found.values() for group in groups})


async def _fingerprints(store: Any, catalogue: Catalogue) -> list[tuple[str, str]]:
    from router.tasks.iterating import first  # noqa: PLC0415 - as above
    from workers.fingerprint import fold_message  # noqa: PLC0415
    from workers.operations.dead_letters.letters import DeadLetters  # noqa: PLC0415
    from workers.operations.dead_letters.selector import Selector  # noqa: PLC0415

    newest = first(DeadLetters(store, catalogue).newest(Selector()), _LOOKED_AT)
    errors = {letter.fingerprint: f"{letter.error} {fold_message(letter.message)}" async for letter in newest}
    return sorted(errors.items())
