"""The lines of one subscription at a time that the test sets, on any store; and all that is kept of them."""

from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from hashlib import sha1
from typing import Any, NamedTuple

from router.store.client import Store
from router.store.keys import LINES
from router.store.lines import Claim, Item, Lines, Merging
from router.store.scripts import Call, Script

__all__ = ["LEASE", "START", "Claimed", "Kept", "MakeLines", "Place", "Reply", "body_of", "item"]

START = 1_800_000_000_000
"""When tests begin, epoch milliseconds."""

LEASE = 10_000
"""How long a hold lasts in tests, milliseconds."""

_FOREVER = 100_000_000  # milliseconds: the lease of who brings events ends by the server's own clock


class Claimed(NamedTuple):
    """What one claim hands out of one key: as in claim.lua."""

    claim: Claim
    ref: bytes
    crashes: int
    body: bytes
    merged: tuple[tuple[bytes, bytes], ...]

    @property
    def refs(self) -> list[bytes]:
        """All that the delivery stands for, oldest first."""
        return [*(ref for ref, _ in self.merged), self.ref]


class Reply(NamedTuple):
    """What a claim replies."""

    claimed: list[Claimed]
    wait: int
    last: bytes
    taken: int

    @property
    def one(self) -> Claimed:
        """The one delivery that was claimed."""
        [claimed] = self.claimed
        return claimed


class Kept(NamedTuple):
    """All that the store keeps of the lines, by the names of lib/lines.lua."""

    lines: dict[bytes, list[bytes]]
    bodies: dict[bytes, bytes]
    ready: list[tuple[bytes, int, bytes, bytes]]
    turns: list[bytes]
    due: dict[bytes, int]
    quiet: dict[bytes, int]
    running: dict[bytes, int]
    owners: dict[bytes, bytes]
    busy: list[tuple[bytes, bytes]]
    held: list[bytes]
    stopped: dict[bytes, int]
    crashed: dict[bytes, int]
    length: dict[bytes, int]
    read: dict[str, str]
    woken: bytes


class _AtVirtualTime(Script):
    """A script that asks a key for the time."""

    def __init__(self, script: Script) -> None:
        asks, reads = b"redis.call('TIME')", b"redis.call('HMGET', KEYS[1] .. ':time', 'seconds', 'micros')"
        assert script.source.count(asks) <= 1
        self.name = script.name
        self.source = script.source.replace(asks, reads)
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()


_at_virtual_time = cache(_AtVirtualTime)


def item(
    key: bytes, at: int, *, company: bytes = b"c", merge: bool = True, stream: str = "p/t", number: int = 0
) -> Item:
    """Return an event that a stream has taken at this time."""
    place = f"{at:015}-{number:05}"
    ref = f"{place}{'m' if merge else 'o'}/{stream}".encode()
    return Item(stream, place, key, ref, body_of(company, ref))


def body_of(
    company: bytes, ref: bytes, said: bytes = b"", *, doomed: bool = False, tried: int = 0, before: int = 0
) -> bytes:
    """Return the body of an event, as lib/lines.lua says: how often tried, and how many it has stood for before."""
    story = b" %d %d" % (tried, before) if tried or before else b""
    return b"\0".join((company, ref, b"at", (b"1" if doomed else b"0") + story, said))


class Place:
    """The lines, and the scripts on them, each at the time `now`."""

    def __init__(self, store: Store, merging: Merging = Merging(), *, per_company: int = 0) -> None:  # noqa: B008 - a constant
        self.store = store
        self.lines = Lines(store.keys, "sub", merging)
        self.keys = dict(zip(LINES, self.lines.keys, strict=True))
        self.per_company = per_company
        self.now = START

    async def call(self, call: Call) -> Any:
        """Run one of the scripts."""
        return await self.store.call(Call(_at_virtual_time(call.script), call.keys, call.args))

    async def set_clock(self, now: int) -> None:
        """Set the clock that the scripts see."""
        self.now = now
        time = (now // 1000, now % 1000 * 1000)
        await self.store.command("HSET", f"{self.lines.keys[0]}:time", "seconds", time[0], "micros", time[1])

    async def passes(self, milliseconds: int) -> None:
        """Let time pass."""
        await self.set_clock(self.now + milliseconds)

    async def lead(self, token: str) -> bool:
        """Take the lease of who brings events, or renew it."""
        reply = await self.call(self.lines.lead(token, _FOREVER))
        return bool(reply[0])

    async def add(self, *items: Item, token: str = "leader") -> int:
        """Bring events."""
        return int(await self.call(self.lines.add(token, _FOREVER, items)))

    async def claim(self, token: str, room: int = 10) -> Reply:
        """Claim keys."""
        call = self.lines.claim(token, room, LEASE, per_company=self.per_company)
        rows, wait, last, taken, _ = await self.call(call)
        claimed = [
            Claimed(Claim(key, token), ref, crashes, body, tuple(zip(merged[::2], merged[1::2], strict=True)))
            for key, ref, crashes, body, merged in rows
        ]
        return Reply(claimed, wait, last, taken)

    async def settle(self, *claimed: Claimed, hold: bool = False) -> list[int]:
        """End all that these deliveries stand for."""
        return await self.settle_refs([(one.claim, one.refs) for one in claimed], hold=hold)

    async def settle_refs(self, settled: Sequence[tuple[Claim, Sequence[bytes]]], *, hold: bool = False) -> list[int]:
        """End events by their refs."""
        lost: list[int] = await self.call(self.lines.settle(settled, hold=hold))
        return lost

    async def retry(self, claimed: Claimed, delay: int, body: bytes | None = None) -> bool:
        """Try a delivery again later."""
        return bool(await self.call(self.lines.retry(claimed.claim, claimed.ref, body or claimed.body, delay)))

    async def back(self, claimed: Claimed) -> bool:
        """Give a key back."""
        return bool(await self.call(self.lines.back(claimed.claim)))

    async def doom(self, claimed: Claimed, body: bytes) -> bool:
        """Write down that a delivery is to be a dead letter."""
        return bool(await self.call(self.lines.doom(claimed.claim, claimed.ref, body)))

    async def mark(self, claimed: Claimed) -> bool:
        """Record that a suspect is being started."""
        return bool(await self.call(self.lines.mark(claimed.claim)))

    async def extend(self, *claimed: Claimed) -> list[int]:
        """Renew the hold on keys."""
        lost: list[int] = await self.call(self.lines.extend([one.claim for one in claimed], LEASE))
        return lost

    async def abandon(self, worker: str, *, charged: bool = True) -> int:
        """Take back what a worker held."""
        return int(await self.call(self.lines.abandon(worker, charged=charged)))

    async def resign(self, token: str) -> bool:
        """Give up the lease of who brings events."""
        return bool(await self.call(self.lines.resign(token)))

    async def mend(self, token: str) -> tuple[bytes, int]:
        """Mend what is missing; return the key to go on behind, and how much was."""
        after, mended, _ = await self.call(self.lines.mend(token, LEASE, b"", 1000, per_company=self.per_company))
        return after, mended

    async def end_lease(self) -> None:
        """Let the lease of who brings events run out."""
        await self.store.command("DEL", self.keys["mover"])

    async def stop(self, company: bytes, milliseconds: int) -> None:
        """Pause a company."""
        await self.call(self.lines.stop(company, milliseconds))

    async def resume(self, company: bytes) -> None:
        """End the pause of a company."""
        await self.call(self.lines.resume(company))

    async def erase(self, *events: tuple[bytes, bytes, bool]) -> list[int]:
        """Remove events for good: key, ref, whether it is noted as dead; return the reply."""
        return list(await self.call(self.lines.erase(events)))

    async def release(self, *keys: bytes) -> int:
        """Let keys go on that are held."""
        return int(await self.call(self.lines.release(keys)))

    async def clear(self) -> None:
        """Remove all that is kept."""
        await self.store.command("DEL", *self.lines.keys, f"{self.lines.keys[0]}:time")

    async def kept(self) -> Kept:
        """Return all that is kept."""
        ranges = ("lines", "ready", "turns", "due", "quiet", "running", "busy", "held", "stopped")
        hashes = ("bodies", "owners", "crashed", "length", "read")
        replies = await self.store.commands(
            [
                *(("ZRANGE", self.keys[name], 0, -1, "WITHSCORES") for name in ranges),
                *(("HGETALL", self.keys[name]) for name in hashes),
                ("XREVRANGE", self.keys["wake"], "+", "-", "COUNT", 1),
            ]
        )
        found = dict(zip((*ranges, *hashes, "wake"), replies, strict=True))
        scores = {name: {member: int(score) for member, score in found[name]} for name in ranges}
        lines: dict[bytes, list[bytes]] = {}
        for member in scores["lines"]:
            key, _, ref = member.rpartition(b"\0")
            lines.setdefault(key, []).append(ref)
        ready = [member.replace(b" ", b"\0", 1).split(b"\0", 3) for member in scores["ready"]]
        busy = [member.split(b"\0", 1) for member in scores["busy"]]
        return Kept(
            lines=lines,
            bodies=found["bodies"],
            ready=[(company, int(since), ref, key) for company, since, ref, key in ready],
            turns=list(scores["turns"]),
            due=scores["due"],
            quiet=scores["quiet"],
            running=scores["running"],
            owners=found["owners"],
            busy=[(company, key) for company, key in busy],
            held=list(scores["held"]),
            stopped=scores["stopped"],
            crashed={ref: int(number) for ref, number in found["crashed"].items()},
            length={stream: int(number) for stream, number in found["length"].items()},
            read={source.decode(): place.decode() for source, place in found["read"].items() if source != b"most"},
            woken=found["wake"][0][0] if found["wake"] else b"0-0",
        )


MakeLines = Callable[..., Awaitable[Place]]
"""The fixture that makes lines: how events are merged, and `per_company`."""
