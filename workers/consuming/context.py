"""What the parts of one running subscription share."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import structlog

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.keys import Keys
from router.tasks.outage import Outage
from workers.consuming.in_hand import InHand
from workers.consuming.moves import Moves, StreamMoves
from workers.metrics import WorkerMetrics
from workers.state.filters import Tally
from workers.state.groups import create_groups
from workers.subscription import Subscription

if TYPE_CHECKING:
    from router.telemetry.spans import Tracing
    from workers.feedback.feedback import Feedback


@dataclass(slots=True)
class Context:
    """One subscription as one consumer runs it; `clock` in epoch seconds, `monotonic` in seconds."""

    subscription: Subscription
    streams: tuple[str, ...]
    consumer: str
    store: Store
    catalogue: Catalogue
    settings: WorkerSettings
    metrics: WorkerMetrics
    random: Random = field(default_factory=Random)
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    in_hand: InHand = field(default_factory=InHand)
    spoilt: set[str] = field(default_factory=set)
    log: Any = None
    outage: Outage = field(init=False)
    moves: Moves = field(init=False)
    skipped: Tally = field(init=False)
    tracing: "Tracing | None" = None
    feedback: "Feedback | None" = None

    def __post_init__(self) -> None:
        self.log = structlog.get_logger("worker").bind(subscription=self.group)
        self.outage = Outage(self.log, self.monotonic)
        self.moves = StreamMoves(self.keys, self.group, self.consumer)
        self.skipped = Tally(self.store, self.group)

    @property
    def group(self) -> str:
        """The consumer group: the subscription's name."""
        return self.subscription.name

    @property
    def keys(self) -> Keys:
        """The key names."""
        return self.store.keys

    def sources(self) -> list[tuple[str, bool, str]]:
        """Return every (stream, inbox?, key) this subscription reads."""
        pairs = [(stream, inbox) for stream in self.streams for inbox in (False, True)]
        return [(stream, inbox, self.keys.source(stream, self.group, inbox=inbox)) for stream, inbox in pairs]

    async def ensure_groups(self, start: str = "earliest") -> int:
        """Make the groups that are missing on every stream and inbox of the subscription; return how many were made.

        An inbox always starts at its earliest entry, and so does a group that has to be made again
        (`start="earliest"`): what was delivered before comes once more, since what had been finished is not known any
        more. Keys that hold something else than a stream are noted in `spoilt`, and the others do without them.
        """
        latest = start == "latest"
        firsts = {key: "$" if latest and not inbox else "0" for _, inbox, key in self.sources()}
        made, self.spoilt = await create_groups(self.store, self.group, firsts)
        if self.spoilt:
            self.log.error("keys_of_another_type", keys=sorted(self.spoilt), advice="rename or delete them")
        return made
