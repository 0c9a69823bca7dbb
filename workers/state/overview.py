"""How full the streams are, and how far each subscription is with them.

An event is, for a subscription, in one place at a time, and each place is counted in one figure: `lag` waits for a
worker (in the stream, in the subscription's inbox or in its lines), `pending` is held by one, `scheduled` waits for its
next attempt, and `dead` was given up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.store.client import Store
from router.store.errors import forgiven, is_no_group
from router.store.keys import Keys
from router.store.reading import checked
from workers.state.groups import Group, parse_groups
from workers.state.in_lines import InLines, in_lines

FIGURES = ("lag", "pending", "scheduled", "dead")
"""What is counted of a subscription, in the order in which an event passes through it; JSON and metrics name it so."""

HEADINGS = ("LAG", "IN HAND", "SCHEDULED", "DEAD")
"""The same, as people read it."""

MOST_COUNTED = 1000
"""Where the server cannot tell a lag, entries are counted, and no more than this: such a lag means `at least`."""

_QUESTIONS = 4  # asked of each subscription in the second round trip


@dataclass(frozen=True, slots=True)
class SubscriptionOverview:
    """How far a subscription is with one stream; one without an inbox is the group of another program.

    `inbox` and `lines` are what these hold, part of the other figures; `waiting` is not finished in the stream or the
    lines.
    `last_delivered` is the last entry of the stream that it was given.
    """

    name: str
    lag: int
    pending: int
    scheduled: int
    dead: int
    has_inbox: bool = field(default=True, compare=False)
    stream: str = field(default="", compare=False)
    inbox: int = field(default=0, compare=False)
    last_delivered: str = field(default="0-0", compare=False)
    lines: InLines = field(default=InLines(), compare=False)

    @property
    def waiting(self) -> int:
        """How many events of the stream itself, and in the lines, it has not finished."""
        return self.lag + self.pending - self.inbox

    @property
    def unfinished(self) -> int:
        """How many events are on their way to it."""
        return self.lag + self.pending + self.scheduled

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way, or dead."""
        return not any(getattr(self, figure) for figure in FIGURES)

    @property
    def is_counted_in_part(self) -> bool:
        """Whether the lag may be more than is said."""
        return self.lag == MOST_COUNTED


@dataclass(frozen=True, slots=True)
class StreamOverview:
    """How many events a stream holds, and its subscriptions; `added`: how many there ever were, None if not known."""

    stream: str
    length: int
    subscriptions: tuple[SubscriptionOverview, ...] = ()
    added: int | None = field(default=None, compare=False)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to see: no events, and none that are on their way."""
        return not self.length and all(way.is_idle for way in self.subscriptions)


async def overview(store: Store, streams: Sequence[str]) -> list[StreamOverview]:
    """Look at these streams in three round trips; raises StoreUnavailable."""
    keys = [store.keys.events(stream) for stream in streams]
    replies = await store.commands([(*command, key) for key in keys for command in (("XLEN",), ("XINFO", "GROUPS"))])
    lengths = checked(forgiven(replies[::2], keys, 0))
    groups = dict(zip(streams, map(parse_groups, replies[1::2]), strict=True))
    subscriptions = await _subscriptions(store, [(stream, group) for stream in streams for group in groups[stream]])
    return [
        StreamOverview(
            stream,
            length,
            tuple(subscriptions[stream, group.name] for group in groups[stream]),
            _added(groups[stream]),
        )
        for stream, length in zip(streams, lengths, strict=True)
    ]


async def holdings(store: Store, streams: Sequence[str], name: str) -> list[SubscriptionOverview]:
    """Return how far one subscription is with each of these streams that it is on; raises StoreUnavailable."""
    return [way for seen in await overview(store, streams) for way in seen.subscriptions if way.name == name]


def _added(groups: Iterable[Group]) -> int | None:
    """Return how many events a stream ever got: any group that knows its place knows that."""
    known = (group.read + group.lag for group in groups if group.read is not None and group.lag is not None)
    return max(known, default=None)


async def _subscriptions(
    store: Store, pairs: Sequence[tuple[str, Group]]
) -> dict[tuple[str, str], SubscriptionOverview]:
    unknown = [(stream, group) for stream, group in pairs if group.lag is None]
    questions = [question for stream, group in pairs for question in _questions(store.keys, stream, group.name)]
    questions += [
        ("XRANGE", store.keys.events(stream), f"({group.last_delivered}", "+", "COUNT", MOST_COUNTED)
        for stream, group in unknown
    ]
    keys = [question[1] for question in questions]
    replies = iter(forgiven(await store.commands(questions), keys, 0))
    answers = [[next(replies) for _ in range(_QUESTIONS)] for _ in pairs]
    lags = {(stream, group.name): len(checked([next(replies)])[0] or ()) for stream, group in unknown}
    lines = await in_lines(store, (group.name for _, group in pairs))
    return {
        (stream, group.name): _put_together(
            stream,
            group,
            group.lag or lags.get((stream, group.name), 0),
            answer,
            lines.get((stream, group.name), InLines()),
        )
        for (stream, group), answer in zip(pairs, answers, strict=True)
    }


def _questions(keys: Keys, stream: str, name: str) -> list[tuple[Any, ...]]:
    inbox = keys.inbox(stream, name)
    return [
        ("XPENDING", inbox, name),
        ("XLEN", inbox),
        ("ZCARD", keys.due(stream, name)),
        ("XLEN", keys.dead(stream, name)),
    ]


def _put_together(stream: str, group: Group, lag: int, answer: Sequence[Any], lines: InLines) -> SubscriptionOverview:
    pending, *others = answer
    inbox, scheduled, dead = checked(others)
    has_inbox = not is_no_group(pending)
    held = checked([pending])[0]["pending"] if pending and has_inbox else 0
    return SubscriptionOverview(
        name=group.name,
        lag=lag + max(0, inbox - held) + lines.waiting,
        pending=group.pending + held + lines.in_hand,
        scheduled=scheduled + lines.scheduled,
        dead=dead,
        has_inbox=has_inbox,
        stream=stream,
        inbox=inbox,
        last_delivered=group.last_delivered,
        lines=lines,
    )
