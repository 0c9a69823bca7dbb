"""Settings and publishers read again while a process runs, on SIGHUP: so that a secret is rotated and nothing refused.

It is all or nothing. Whatever is wrong with what is read, even that a file is gone, leaves in force what was: tools
that replace files leave a moment without one, and a receiver that then refused everything, or checked less, would be
worse than one that says it kept the old. Only what the settings really say takes something away.
"""

import asyncio
from collections.abc import Callable, Iterator

from pydantic import BaseModel

from config.errors import ConfigError
from config.settings import Settings
from config.sources import load_settings
from router.events.catalogue import Catalogue
from router.telemetry import logs

_LIVE = ("secrets", "allow_unsigned", "hints", "publishers", "publishers_dir", "forward", "notify")
_LIVE_INGRESS = ("allow", "trusted_proxies", "rate_limit", "rate_burst")

_PATIENCE = 10.0
"""Seconds that the files may take to be read."""

_log = logs.get("reload")

Apply = Callable[[Settings, Catalogue], None]
"""Takes over what was read; raises ConfigError, before it changed anything, where it cannot be used."""


class Reload:
    """Reads everything again when it is asked to, and applies it; calls `done` with whether that went well."""

    def __init__(
        self,
        settings: Settings,
        apply: Apply,
        *,
        read: Callable[[], Settings] = load_settings,
        done: Callable[[bool], None] = lambda _went_well: None,
        patience: float = _PATIENCE,
    ) -> None:
        self._settings = settings
        self._apply = apply
        self._read = read
        self._done = done
        self._patience = patience
        self._looking: asyncio.Future[tuple[Settings, Settings, Catalogue]] | None = None

    async def run(self, wanted: asyncio.Event) -> None:
        """Reload each time `wanted` is set, until cancelled; several wishes at once are one."""
        while True:
            await wanted.wait()
            wanted.clear()
            self._done(await self.once())

    async def once(self) -> bool:
        """Reload; return False, and log why, where all stays as it was."""
        try:
            found, settings, catalogue = await self._looked()
            self._apply(settings, catalogue)
        except ConfigError as error:
            _log.error("reload_refused", reason=str(error), kept="all that was in force before")
        except Exception:  # noqa: BLE001 - whatever it is, requests are answered on
            _log.exception("reload_failed", kept="all that was in force before")
        else:
            self._settings = settings
            later = {"not_until_restart": differing} if (differing := list(_differing(settings, found))) else {}
            _log.info("reloaded", publishers=list(catalogue.publishers), **later)
            return True
        return False

    async def _looked(self) -> tuple[Settings, Settings, Catalogue]:
        """Look in a thread, which may hang for good on a file of a network that is away: the next one goes on then."""
        if self._looking is not None and not self._looking.done():
            raise ConfigError("an earlier reload still reads its files: see whether their file system answers")
        self._looking = asyncio.get_running_loop().run_in_executor(None, self._look)
        self._looking.add_done_callback(lambda looked: looked.cancelled() or looked.exception())  # if nobody waits
        done, _ = await asyncio.wait([self._looking], timeout=self._patience)
        if not done:
            raise ConfigError(f"the files could not be read within {self._patience:g} s: see where they are")
        return self._looking.result()

    def _look(self) -> tuple[Settings, Settings, Catalogue]:
        """Return the settings as they are now, those of them that can be applied, and the publishers."""
        found = self._read()
        settings = _applicable(self._settings, found)
        return found, settings, Catalogue.for_settings(settings)


def _applicable(running: Settings, found: Settings) -> Settings:
    """Return the settings that a process runs with, with all in its place that it can take over."""
    ingress = running.ingress.model_copy(update={name: getattr(found.ingress, name) for name in _LIVE_INGRESS})
    silence = found.silence.model_copy(update={"enabled": running.silence.enabled})  # ingress notes traffic, or not
    live = {name: getattr(found, name) for name in _LIVE}
    return running.model_copy(update={"ingress": ingress, "silence": silence, **live})


def _differing(one: Settings, other: Settings) -> Iterator[str]:
    """Name the settings in which two differ."""
    for name in Settings.model_fields:
        ours, theirs = getattr(one, name), getattr(other, name)
        if isinstance(ours, BaseModel):
            yield from (
                f"{name}.{key}" for key in type(ours).model_fields if getattr(ours, key) != getattr(theirs, key)
            )
        elif ours != theirs:
            yield name
