"""The scripts of a keyed subscription's lines, one typed function for each; lib/lines.lua says what they share."""

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from router.store.keys import LINES, Keys
from router.store.scripts import Call, Field, Script

__all__ = ["Claim", "Item", "Lines", "Merging"]

_script = cache(Script)
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Merging(NamedTuple):
    """How events of a key are merged, in milliseconds; `most` is how many a delivery may stand for, 0 for none."""

    quiet: int = 0
    within: int = 0
    most: int = 0


class Item(NamedTuple):
    """An event on its way into the lines: the key of where it comes from and its place there; key, ref and body.

    One without a ref is not added, and only counts as brought.
    """

    source: str
    place: str
    key: bytes
    ref: bytes
    body: bytes


class Claim(NamedTuple):
    """A key in the hands of a worker: its name, and the token of the claim."""

    key: bytes
    token: str


class Lines:
    """The lines of one subscription; `merging` as its definition says."""

    def __init__(self, keys: Keys, subscription: str, merging: Merging = Merging()) -> None:  # noqa: B008 - a constant
        self.keys = keys.lines(subscription)
        self._merging = merging

    @property
    def wake(self) -> str:
        """The key of the stream that says when something has become ready."""
        return self._key("wake")

    @property
    def read(self) -> str:
        """The key of the hash that says what was brought from each source."""
        return self._key("read")

    @property
    def lines(self) -> str:
        """The key of the sorted set that has all events in order."""
        return self._key("lines")

    @property
    def bodies(self) -> str:
        """The key of the hash that has their bodies."""
        return self._key("bodies")

    @property
    def mover(self) -> str:
        """The key of the lease of who brings events."""
        return self._key("mover")

    @property
    def running(self) -> str:
        """The key of the sorted set of the keys that workers have."""
        return self._key("running")

    @property
    def held(self) -> str:
        """The key of the sorted set of the keys that wait for an operator."""
        return self._key("held")

    @property
    def stopped(self) -> str:
        """The key of the sorted set of companies that are paused."""
        return self._key("stopped")

    @property
    def length(self) -> str:
        """The key of the hash that says how many events of each stream there are."""
        return self._key("length")

    @property
    def trials(self) -> str:
        """The key of the hash that says for which entries a user's key function was begun."""
        return self._key("trials")

    def try_keys(self, token: str, trials: Sequence[tuple[str, str, str]]) -> Call:
        """Note for which entries a key function is about to run: source, first and last place. Reply: see try.lua."""
        return self._call("try", token, *(part for trial in trials for part in trial))

    def add(self, token: str, lease: int, items: Sequence[Item], brought: Mapping[str, str] = _NOTHING) -> Call:
        """Bring at most BATCH events, after what was `brought`: the last place, by source.

        Reply: how many were new; -1 where another worker has the lease, -2 where what was brought is not known.
        """
        quiet, within, _ = self._merging
        before = [part for pair in brought.items() for part in pair]
        parts = (part for item in items for part in item)
        return self._call("add", token, lease, quiet, within, len(brought), *before, *parts)

    def keyed_by(self, token: str, keying: str, *, done: bool = False) -> Call:
        """Say what the keys are made by; `done`: they were made again. Reply: see keying.lua."""
        return self._call("keying", token, keying, "1" if done else "0")

    def rekey(self, token: str, moved: Sequence[tuple[bytes, bytes, bytes]]) -> Call:
        """Move at most BATCH events: key, ref, new key. Reply: how many were; nothing without the lease."""
        quiet, within, _ = self._merging
        return self._call("rekey", token, quiet, within, *(part for row in moved for part in row))

    def mend(self, token: str, lease: int, after: bytes, count: int, *, per_company: int = 0) -> Call:
        """Mend what is missing, of so many keys behind `after`. Reply: see mend.lua."""
        return self._call("mend", token, lease, per_company, after, count)

    def restore(self, token: str, events: Sequence[tuple[bytes, bytes]]) -> Call:
        """Put at most BATCH events into their lines: key, ref. Reply: how many were; nothing without the lease."""
        return self._call("restore", token, *(part for row in events for part in row))

    def claim(self, token: str, room: int, lease: int, *, per_company: int = 0, keying: str = "") -> Call:
        """Claim at most `room` keys, of a company so many at once, if made by this rule. Reply: see claim.lua."""
        return self._call("claim", token, room, lease, per_company, *self._merging, keying)

    def settle(self, settled: Sequence[tuple[Claim, Sequence[bytes]]], *, hold: bool = False) -> Call:
        """End the events with these refs, and let their keys go; or `hold` these. Reply: numbers of those lost."""
        quiet, within, _ = self._merging
        parts: list[Field] = []
        for claim, refs in settled:
            parts += [*claim, "1" if hold else "0", len(refs), *refs]
        return self._call("settle", quiet, within, *parts)

    def retry(self, claim: Claim, ref: bytes, body: bytes, delay: int) -> Call:
        """Try an event again in `delay` milliseconds. Reply: 1, or 0 where it was lost."""
        return self._call("retry", *claim, ref, body, delay)

    def back(self, claim: Claim) -> Call:
        """Give a key back unhandled. Reply: 1, or 0 where it was lost."""
        return self._call("back", *claim)

    def doom(self, claim: Claim, ref: bytes, body: bytes) -> Call:
        """Write down that an event is to be a dead letter. Reply: 1, or 0 where it was lost."""
        return self._call("doom", *claim, ref, body)

    def extend(self, claims: Sequence[Claim], lease: int) -> Call:
        """Renew the hold on keys. Reply: numbers of those lost."""
        return self._call("extend", lease, *(part for claim in claims for part in claim))

    def mark(self, claim: Claim) -> Call:
        """Record that a suspect is being started. Reply: 1, or 0 where it was lost."""
        return self._call("mark", *claim)

    def lead(self, token: str, lease: int, *, per_company: int = 0) -> Call:
        """Take or renew the lease of who brings events. Reply: see lead.lua."""
        args = (token, lease, self._merging.most, per_company)
        return Call(_script("lines/lead"), (self._key("mover"), self.read), args)

    def resign(self, token: str) -> Call:
        """Give the lease up. Reply: 1, or 0 where another has it."""
        return self._call("resign", token)

    def figures(self, bound: int) -> Call:
        """Count what is in the lines by stream, with a look at so many keys at most. Reply: see figures.lua."""
        return self._call("figures", bound)

    def drop(self, stream: str, after: bytes, count: int) -> Call:
        """End the events of a stream, looking at so many behind `after`. Reply: see drop.lua."""
        return self._call("drop", stream, after, count)

    def erase(self, events: Sequence[tuple[bytes, bytes, bool]]) -> Call:
        """Remove at most BATCH events for good: key, ref, whether it is noted as dead. Reply: see erase.lua."""
        return self._call(
            "erase", *(part for key, ref, doomed in events for part in (key, ref, "1" if doomed else "0"))
        )

    def clear(self, token: str) -> Call:
        """Delete what is left of lines without events. Reply: 1, or 0 where that may not be."""
        return self._call("clear", token)

    def abandon(self, tokens: str, *, charged: bool = True) -> Call:
        """Take back what is held by tokens that begin so; `charged` as by a worker that died. Reply: how many keys."""
        return self._call("abandon", tokens, "1" if charged else "0")

    def release(self, keys: Sequence[bytes]) -> Call:
        """Let keys go on that are held, at most BATCH. Reply: how many were."""
        return self._call("release", *keys)

    def seize(self, claim: Claim, ref: bytes, lease: int) -> Call:
        """Claim one key whose first event has this ref, for an operator. Reply: see seize.lua."""
        return self._call("seize", *claim, ref, lease)

    def stop(self, company: bytes, milliseconds: int, by: str = "", reason: str = "") -> Call:
        """Have nothing more of a company handled, for so long (0: until it is resumed). Reply: since and until when."""
        return self._call("stop", company, milliseconds, by, reason)

    def paused(self) -> Call:
        """List the companies of which nothing is handled. Reply: see paused.lua."""
        return self._call("paused")

    def resume(self, company: bytes) -> Call:
        """End that. Reply: until when it was to last, nothing where the company was not paused."""
        return self._call("resume", company)

    def names(self, after: bytes | None, count: int) -> Call:
        """Name keys that have events, from the one behind `after` on. Reply: at most `count` keys."""
        return self._call("names", b"-" if after is None else b"(" + after + b"\1", count)

    def look(self, keys: Sequence[bytes], size: int) -> Call:
        """Describe at most BATCH keys; no more after `size` bytes. Reply: see look.lua."""
        return self._call("look", size, *keys)

    def line(self, key: bytes, after: bytes, count: int, size: int) -> Call:
        """List the events of a key behind a ref; no more after `size` bytes. Reply: see line.lua."""
        return self._call("line", key, after, count, size)

    def tally(self) -> Call:
        """Count the keys by their state. Reply: see tally.lua."""
        return self._call("tally")

    def _key(self, name: str) -> str:
        return self.keys[LINES.index(name)]

    def _call(self, name: str, *args: Field) -> Call:
        return Call(_script(f"lines/{name}"), self.keys, args)
