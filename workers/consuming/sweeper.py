"""Taking over from consumers that died: what they had in hand goes to the inbox, where any live consumer reads it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import chain

from config.errors import described
from router.store import scripts
from router.store.errors import STORE_ERRORS, is_no_group
from router.store.reading import checked
from workers.consuming.context import Context
from workers.delivery import error_line
from workers.outcomes import WorkerLost
from workers.state.groups import name_of, raw_of

_KEYED = 4
"""How many times as long a keyed subscription waits: what its workers hold is in its lines, with a lease of its own."""


class Sweeper:
    """Recovers the work of dead consumers; calls `recovered` after each, since its retries need a new watcher."""

    def __init__(self, context: Context, recovered: Callable[[], None]) -> None:
        self._context = context
        self._recovered = recovered

    async def run(self) -> None:
        """Look for orphans at once and then every `sweep_interval`, until cancelled.

        A dead consumer is normally found by the heartbeat within a lease. This catches those the heartbeats do not
        know of: the store was flushed, or the whole subscription was down for long. Consumers that hold nothing leave
        their groups with it.
        """
        context = self._context
        pause = context.settings.sweep_interval * (_KEYED if context.subscription.keyed else 1)
        while True:
            try:
                for consumer in await self.orphans():
                    await self.recover(consumer, idle=int(context.settings.lease * 1000))
                self._recovered()
            except STORE_ERRORS as error:
                context.log.warning("sweep_failed", error=described(error))
            await asyncio.sleep(pause * context.random.uniform(0.75, 1.25))

    async def orphans(self) -> list[str]:
        """Return the consumers without a heartbeat that hold something, or have done nothing for a lease.

        Asked for the heartbeats last: a worker gives one before it joins, so each that was seen and lives is there.
        """
        context, lease = self._context, self._context.settings.lease * 1000
        commands = [("XINFO", "CONSUMERS", key, context.group) for _, _, key in context.sources()]
        held: Counter[str] = Counter()
        idle: dict[str, int] = {}
        replies = [reply for reply in await context.store.commands(commands) if not is_no_group(reply)]
        for row in chain.from_iterable(checked(replies)):
            name = name_of(row[b"name"])
            held[name] += row[b"pending"]
            idle[name] = min(row[b"idle"], idle.get(name, row[b"idle"]))
        alive = await context.store.command("ZRANGE", context.keys.consumers(context.group), 0, -1)
        gone = (name for name in idle if held[name] or idle[name] > lease)
        return [name for name in gone if name != context.consumer and raw_of(name) not in alive]

    async def recover(self, consumer: str, idle: int = 0) -> None:
        """Move to the inboxes what `consumer` held for `idle` milliseconds; forget it when nothing is left."""
        context = self._context
        shown = raw_of(consumer).decode(errors="backslashreplace")
        lost = WorkerLost(f"worker {shown} died or lost its lease with the event in its hands")
        line = error_line(lost, 0, context.clock())
        moved = await self._move_all(consumer, idle, line)
        context.metrics.recovered.labels(context.group).inc(moved)
        log = context.log.warning if moved else context.log.info
        log("consumer_recovered", consumer=shown, deliveries=moved)
        if await forget(context, consumer):
            await context.store.command("ZREM", context.keys.consumers(context.group), raw_of(consumer))
        self._recovered()

    async def _move_all(self, consumer: str, idle: int, line: str) -> int:
        """Move everything a consumer holds, a bounded number from each stream in one round trip; return how many."""
        context, name, total = self._context, raw_of(consumer), 0
        sources = [(source, context.keys.inbox(stream, context.group)) for stream, _, source in context.sources()]
        while sources:
            calls = [scripts.recover(source, inbox, context.group, name, idle, line) for source, inbox in sources]
            replies = await context.store.run(calls)
            results = checked([(0, 0, 0) if is_no_group(reply) else reply for reply in replies])
            total += sum(moved for moved, _, _ in results)
            if gone := sum(gone for _, gone, _ in results):
                context.metrics.gone.labels(context.group).inc(gone)
                context.log.error("entries_gone", entries=gone)
            sources = [source for source, (_, _, left) in zip(sources, results, strict=True) if left]
        return total


async def forget(context: Context, consumer: str) -> bool:
    """Remove a consumer from the groups where it holds nothing; return whether it holds nothing anywhere."""
    calls = [scripts.forget(source, context.group, raw_of(consumer)) for _, _, source in context.sources()]
    return all(reply == 0 or is_no_group(reply) for reply in await context.store.run(calls))
