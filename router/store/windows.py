"""How long a notification is remembered against its repetition, publisher by publisher.

A publisher whose window is 0 has no repetitions: each webhook of it is stored, whatever the ids in it. All the same,
one webhook must not be stored twice because we try its append again ourselves: its reply was lost, or the spool is
drained a second time. So the marker of such an item names the webhook, too: by a random name that is made when the
webhook comes, and stays with the entry through the spool. It lives as long as other markers do.
"""

from collections.abc import Mapping
from functools import lru_cache

from config.settings import Settings, fold_slug
from router.store.keys import publisher_of


class Windows:
    """The windows in milliseconds: the usual one, and those of some publishers, by their folded slugs."""

    def __init__(self, usual: int, own: Mapping[str, int] | None = None) -> None:
        self._usual = usual
        self._own = dict(own or {})
        self.of = lru_cache(maxsize=4096)(self._of)

    @classmethod
    def for_settings(cls, settings: Settings) -> "Windows":
        """Return the windows of the settings."""
        own = {slug: seconds * 1000 for slug, seconds in settings.dedup_windows.items()}
        return cls(settings.ingress.dedup_window * 1000, own)

    def repeats(self, publisher: str) -> bool:
        """Return whether every webhook of a publisher is stored, however often it says the same."""
        return self._own.get(fold_slug(publisher)) == 0

    def _of(self, key: str) -> int:
        """Return the time to live of a marker of the stream or quarantine with this key."""
        return self._own.get(fold_slug(publisher_of(key)), 0) or self._usual
