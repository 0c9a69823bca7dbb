"""Whether the archive can be read and written."""

from config.errors import ConfigError, described
from config.settings import Settings
from router.store.health.judgement import Check
from workers.archive.archive import Archive, open_archive
from workers.archive.errors import ArchiveUnreachable
from workers.archive.place import ABOUT

__all__ = ["judge_archive"]

_NAME = "archive"
_TEXT = b"This folder holds events that the event router has archived. docs/archive.md says in which form.\n"


async def judge_archive(settings: Settings) -> list[Check]:
    """Write a note into the archive and read it again; nothing where there is no archive."""
    archived = settings.archive
    if not archived.to:
        return []
    try:
        await _try(open_archive(archived))
    except ConfigError as error:
        return [Check(_NAME, "failed", str(error), "install that package where workers run")]
    except ArchiveUnreachable as error:
        advice = "mend the folder or the bucket (docs/archive.md); until then events stay in Redis"
        return [Check(_NAME, "failed", described(error), advice)]
    if archived.in_clear:
        detail = f"{archived.endpoint} IS NOT ENCRYPTED: events and what signs for the key go over the network in clear"
        return [Check(_NAME, "warning", detail, "take an endpoint with https://")]
    return [Check(_NAME, "ok", f"{archived.to} takes and gives objects")]


async def _try(archive: Archive) -> None:
    await archive.place.put(ABOUT, _TEXT, _at_once)
    with await archive.place.open(ABOUT):
        pass


async def _at_once() -> None:
    """Let the note have its name: nobody else writes another."""
