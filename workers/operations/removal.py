"""Removing a subscription: its groups, its retries and, only where that is asked for, its dead letters.

The events stay in their streams, for the other subscriptions and until retention takes them.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from config.errors import RouterError
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.globs import select
from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreRefused, forgiven
from router.store.lines import Lines
from router.store.reading import checked
from workers.operations.audit import CHANGED, FAILED
from workers.operations.change import Change
from workers.operations.handover import replayed_keys
from workers.state.former import former_streams
from workers.state.groups import live_consumers
from workers.state.overview import SubscriptionOverview, holdings

FIGURES: Final = ("waiting", "inbox", "scheduled", "dead")
"""What a subscription has on a stream."""

_FORBIDDEN = -1
_LOOKED_AT = 1000  # events of the lines in one step
_ROUNDS = 2  # of retention: after so many without it, a stream is in no worker's catalogue
_NEVER = datetime.fromtimestamp(0, UTC)


class SubscriptionInUse(RouterError):
    """A worker of the subscription lives, which would make it again."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of a removal: how many dead letters went, and on which streams the subscription is left.

    kept: because there are dead letters, which are to be kept. refused: because the server would not, with its words.
    """

    dead_letters: int
    kept: tuple[str, ...]
    refused: dict[str, str]


class Removal(Change[SubscriptionOverview]):
    """Removes a subscription from the streams that it is on, one item each; `removed` says what became of that.

    events: only from the streams that these globs mean. former: only from streams that are not configured any more; its
    workers may run. Raises SubscriptionInUse where a worker could make it again.
    """

    batch = 1_000_000  # all at once: what is left in between would look like what was never removed

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: Settings,
        name: str,
        *,
        events: Sequence[str] = (),
        former: bool = False,
        dead_letters: bool = False,
    ) -> None:
        super().__init__(store, "subscriptions remove", subject=name)
        self._catalogue, self._settings = catalogue, settings
        self._events, self._former, self._dead_letters = tuple(events), former, dead_letters
        self._streams: Sequence[str] = ()
        self.holdings: list[SubscriptionOverview] = []
        self.removed = Removed(0, (), {})

    async def freeze(self) -> datetime | None:
        """Look which of the streams it is on, and what it has there."""
        left = await former_streams(self.store, self._catalogue)
        streams = [*left] if self._former else [*self._catalogue.streams(), *left]
        if self._events:
            streams = [*dict.fromkeys(stream for text in self._events for stream in select(self._catalogue, text))]
        self._streams = streams
        self.holdings = await holdings(self.store, streams, self.subject)
        given = {"former": self._former, "events": [*self._events]}
        sums = {figure: sum(getattr(holding, figure) for holding in self.holdings) for figure in FIGURES}
        self.selector = {**{name: value for name, value in given.items() if value}, **sums}
        if self.holdings:
            await self.refuse_in_use()
        return None

    async def found(self) -> AsyncIterator[SubscriptionOverview]:
        """Yield what it has on each stream."""
        for holding in self.holdings:
            yield holding

    async def apply(self, batch: Sequence[SubscriptionOverview]) -> Counter[str]:
        """Remove it from all the streams, also from those on which something is left of it without a group.

        From each at once or not at all. What it leaves behind when it is interrupted can still be found by its groups.
        """
        keys, name = self.store.keys, self.subject
        if not (self._former or self._events):  # else it has other streams, and workers that live
            own = (keys.consumers(name), keys.pause(name), keys.halted(name), keys.filter(name))
            checked(await self.store.commands([("UNLINK", *own)]))
        await self._remove_lines()
        replies = await self.store.run([self._call(stream) for stream in self._streams])
        checked([reply for reply in replies if not isinstance(reply, StoreRefused)])
        outcomes = dict(zip(self._streams, replies, strict=True))
        refused = {stream: str(reply) for stream, reply in outcomes.items() if isinstance(reply, StoreRefused)}
        dead = {stream: reply for stream, reply in outcomes.items() if stream not in refused}
        kept = tuple(stream for stream, number in dead.items() if number == _FORBIDDEN)
        self.removed = Removed(sum(dead.values()) - _FORBIDDEN * len(kept), kept, refused)
        failed = len(kept) + len(refused)
        return Counter({CHANGED: len(batch) - failed, FAILED: failed})

    async def _remove_lines(self) -> None:
        """Remove what the lines hold of the streams, except of those that dead letters keep; all where none is kept.

        Before the groups, by which what is left of an interrupted removal is found.
        """
        store, streams = self.store, self._streams
        lines = Lines(store.keys, self.subject)
        keys = [store.keys.dead(stream, self.subject) for stream in streams]
        lengths = checked(forgiven(await store.commands([("XLEN", key) for key in keys]), keys, 1))
        goes = [stream for stream, dead in zip(streams, lengths, strict=True) if self._dead_letters or not dead]
        if len(goes) == len(streams) and not (self._former or self._events):
            await store.command("UNLINK", *lines.keys)
            return
        held = await store.command("HGETALL", lines.length)
        for stream in goes:
            if stream.encode() in held:
                await self._drop(lines, stream)
            await store.command("HDEL", lines.read, store.keys.events(stream), store.keys.inbox(stream, self.subject))

    async def _drop(self, lines: Lines, stream: str) -> None:
        """Take the events of a stream out of the lines, a bounded number in each step."""
        after = b""
        while True:
            after, _ = await self.store.call(lines.drop(stream, after, _LOOKED_AT))
            if not after:
                return

    def _call(self, stream: str) -> scripts.Call:
        keys, name = self.store.keys, self.subject
        own = [key(stream, name) for key in (keys.inbox, keys.due, keys.parked, keys.dead, keys.restored)]
        own += replayed_keys(keys, stream, name)
        return scripts.remove(keys.events(stream), own, name, dead_letters=self._dead_letters)

    async def refuse_in_use(self) -> None:
        """Raise SubscriptionInUse if a worker could make it again."""
        if self._former:
            await self._refuse_read()
            return
        name, lease = self.subject, self._settings.workers.lease
        alive = (await live_consumers(self.store, [name], lease))[name]
        if alive:
            over = datetime.now(UTC) + timedelta(seconds=lease)
            workers = f"{len(alive)} worker{'' if len(alive) == 1 else 's'}"
            raise SubscriptionInUse(
                f"{name} has {workers} that would make it again and be given all events once more: "
                f"stop {', '.join(alive)}; one that was killed counts as alive for {lease:g} s, at the latest until "
                f"{over:%H:%M:%S} UTC"
            )

    async def _refuse_read(self) -> None:
        """Raise if a worker may still read one of the streams, because it knows it by another catalogue than ours."""
        noted = await former_streams(self.store, self._catalogue)
        last, stream = max((noted.get(holding.stream, _NEVER), holding.stream) for holding in self.holdings)
        until = last + _ROUNDS * timedelta(seconds=self._settings.retention.interval)
        if until > datetime.now(UTC):
            raise SubscriptionInUse(
                f"at {last:%H:%M:%S} UTC a worker still had {stream} in its catalogue: restart the workers that have, "
                f"and try again after {until:%H:%M:%S} UTC; if it is to stay, run this with their publishers_dir"
            )
