"""A plain model of the lines: what must be in them after each step, said without a store.

What claim.lua hands out is not foretold but judged: any order of companies that their turns allow is right.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from support.lines.place import LEASE, START, Claimed

from router.store.lines import Claim, Item, Merging

__all__ = ["SLACK", "Model", "Run", "before_of", "company_of", "may_be_merged", "millis_of", "stream_of", "tried_of"]

SLACK = 1000
"""By so much, milliseconds, two clocks may differ and nobody minds."""


def may_be_merged(ref: bytes) -> bool:
    """Whether the event may stand behind a later one."""
    return ref.partition(b"/")[0].endswith(b"m")


def millis_of(ref: bytes) -> int:
    """Return when the store took the event, epoch milliseconds."""
    return int(ref.partition(b"-")[0])


def stream_of(ref: bytes) -> bytes:
    """Return the stream that the event came from."""
    return ref.partition(b"/")[2]


def company_of(body: bytes) -> bytes:
    """Return the company of an event."""
    return body.partition(b"\0")[0]


def is_doomed(body: bytes) -> bool:
    """Whether the event is to be a dead letter."""
    return body.split(b"\0")[3][:1] == b"1"


def waits_since(body: bytes) -> int:
    """Return from when on an event that has failed waits for its turn again, epoch milliseconds; 0 for others."""
    return int(body.split(b"\0")[3][1:].split(b" ")[0] or 0)


def tried_of(body: bytes) -> int:
    """Return how often an event was tried, as far as its body says; 0 where it is the head of one alone."""
    return int(_story(body)[0])


def before_of(body: bytes) -> int:
    """Return how many events an event has stood for before."""
    return int(_story(body)[1])


def _story(body: bytes) -> list[bytes]:
    return [*body.split(b"\0"), b"", b"", b""][3].split(b" ")[1:] or [b"0", b"0"]


def waiting_since(body: bytes, moment: int) -> bytes:
    """Return the body of an event that has failed, and waits for its turn again from then on."""
    company, id_, at, doomed, packed = body.split(b"\0", 4)
    _, space, story = doomed.partition(b" ")
    return b"\0".join((company, id_, at, doomed[:1] + b"%d" % moment + space + story, packed))


@dataclass
class Run:
    """A key in the hands of a worker."""

    claimed: Claimed
    company: bytes
    until: int
    renewed: int
    jumps: int
    suspect: bool
    started: bool = False
    doubted: bool = False


@dataclass
class Model:
    """The lines as they must be. `elapsed` is the time that really passed, `now` what the server's clock says."""

    merging: Merging
    limit: int
    now: int = START
    elapsed: int = 0
    jumps: int = 0
    seen: int = 0
    seen_at: int = 0
    unseen: int = 0
    """How long, in all, nobody saw the time pass: between a script and the next, if the clock was set back; and by how
    much it was set back before the first claim."""
    lines: dict[bytes, list[bytes]] = field(default_factory=dict)
    bodies: dict[bytes, bytes] = field(default_factory=dict)
    ready: set[bytes] = field(default_factory=set)
    due: dict[bytes, int] = field(default_factory=dict)
    quiet: dict[bytes, int] = field(default_factory=dict)
    runs: dict[bytes, Run] = field(default_factory=dict)
    held: set[bytes] = field(default_factory=set)
    stopped: dict[bytes, int] = field(default_factory=dict)
    crashed: dict[bytes, int] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)
    accepted: int = 0
    ended: set[bytes] = field(default_factory=set)
    early: set[bytes] = field(default_factory=set)
    """Keys that are tried again, whatever has come since they were handed out."""

    # what is asked of it

    def company(self, key: bytes) -> bytes:
        """Return the company that a key's first event is of."""
        return company_of(self.bodies[self.lines[key][0]])

    def since(self, key: bytes) -> int:
        """Return since when a key waits for its turn, or has to wait again: epoch milliseconds."""
        head = self.lines[key][0]
        return max(millis_of(head), waits_since(self.bodies[head]))

    def busy(self, company: bytes) -> int:
        """Return how many of a company run."""
        return sum(run.company == company for run in self.runs.values())

    def claimable(self) -> set[bytes]:
        """Return the companies that may have a turn now."""
        return {
            company
            for company in map(self.company, self.ready)
            if company not in self.stopped and not (self.limit and self.busy(company) >= self.limit)
        }

    def next_moment(self) -> int | None:
        """Return when the clock alone makes something ready or doubtful."""
        moments = [*self.due.values(), *self.quiet.values(), *self.stopped.values()]
        return min([*moments, *(run.until for run in self.runs.values())], default=None)

    def has(self, claim: Claim) -> bool:
        """Whether the key is with this claim still."""
        return claim.key in self.runs and self.runs[claim.key].claimed.claim == claim

    def delivery(self, key: bytes) -> list[bytes]:
        """Return what a claim of this key has to hand out, oldest first."""
        line = self.lines[key]
        number = stands_for = 0
        for ref in line[: self.merging.most]:
            body = self.bodies[ref]
            stands_for += 1 if is_doomed(body) else 1 + before_of(body)
            if not may_be_merged(ref) or (number and stands_for > self.merging.most):
                break
            number += 1
            if is_doomed(body):
                break
        return line[: max(number, 1)]

    def said(self, key: bytes) -> list[bytes]:
        """Return what a claim of this key has to say of each that is merged: its head, or the whole body.

        Whole is what has stood for others, and the most tried of all, where the newest was tried less often.
        """
        *others, newest = [self.bodies[ref] for ref in self.delivery(key)]
        most = max([*map(tried_of, others), 0])
        last = max([at for at, body in enumerate(others) if tried_of(body) == most > tried_of(newest)], default=-1)
        return [body if before_of(body) or at == last else body.rsplit(b"\0", 2)[0] for at, body in enumerate(others)]

    def crashes(self, key: bytes) -> int:
        """Return how many workers are thought to have died of what a claim of this key has to hand out."""
        return sum(self.crashed.get(ref, 0) for ref in self.delivery(key))

    # what happens to it

    def passes(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now += milliseconds
        self.elapsed += milliseconds

    def jump(self, milliseconds: int) -> None:
        """Set the clock forward or back."""
        self.now += milliseconds
        self.jumps += 1
        if not self.seen:  # what waits before the first claim is not brought nearer
            self.unseen += max(0, -milliseconds)

    def add(self, items: list[Item]) -> int:
        """Bring events; return how many were new."""
        came: dict[bytes, set[bytes]] = defaultdict(set)
        for one in items:
            if one.place > self.read.get(one.source, ""):
                self.read[one.source] = one.place
                self.lines.setdefault(one.key, []).append(one.ref)
                self.bodies[one.ref] = one.body
                came[one.key].add(one.ref)
        for key, refs in came.items():
            self._place(key, refs)
        new = sum(map(len, came.values()))
        self.accepted += new
        return new

    def _place(self, key: bytes, came: set[bytes]) -> None:
        """Have a key wait where it belongs, for which events have come together."""
        line = self.lines[key]
        line.sort()
        before = self.quiet.pop(key, None)
        steps_in_front = key in self.ready and line[0] in came
        if came.issuperset(line) or before is not None or steps_in_front:
            self.ready.discard(key)
            self._queue(key, before=before)

    def look(self) -> int:
        """Do what a claim does first; return how many keys were taken back."""
        return self._take_back()

    def promote(self) -> None:
        """Make ready what has become due."""
        for waiting in (self.due, self.quiet):
            for key in [key for key, at in waiting.items() if at <= self.now]:
                del waiting[key]
                self.ready.add(key)
        self.stopped = {company: until for company, until in self.stopped.items() if until > self.now}

    def see_clock(self, *, begins: bool = False) -> None:
        """Notice that the clock was set back, as each script does that changes something, from the first claim on."""
        if not (begins or self.seen):
            return
        by = self.seen - self.now
        if by > SLACK:
            self.unseen += self.elapsed - self.seen_at
            for times in (self.due, self.quiet, self.stopped):
                for name in times:
                    times[name] -= by
            for run in self.runs.values():
                run.until -= by
        self.seen, self.seen_at = self.now, self.elapsed

    def _take_back(self) -> int:
        past = [run for run in self.runs.values() if run.until <= self.now]
        for run in past:
            if run.doubted:
                self._recover(run)
            else:
                run.doubted, run.until = True, self.now + LEASE // 2
        return len([run for run in past if run.claimed.claim.key not in self.runs])

    def _recover(self, run: Run, *, at_once: bool = False, charged: bool = True) -> None:
        claimed = run.claimed
        if charged and (run.started or not run.suspect):
            self.crashed[claimed.ref] = self.crashed.get(claimed.ref, 0) + 1
        del self.runs[claimed.claim.key]
        self._queue(claimed.claim.key, at_once=at_once)

    def take(self, claimed: Claimed) -> None:
        """Hand a delivery out."""
        key = claimed.claim.key
        self.ready.remove(key)
        self.runs[key] = Run(
            claimed, self.company(key), self.now + LEASE // 2, self.elapsed, self.jumps, suspect=self.crashes(key) > 0
        )

    def settle(self, claim: Claim, refs: list[bytes], *, hold: bool) -> bool:
        """End events; return whether the key was with this claim still."""
        if not self.has(claim):
            return False
        for ref in refs:
            self.lines[claim.key].remove(ref)
            del self.bodies[ref]
            self.crashed.pop(ref, None)
            self.ended.add(ref)
        if not self.lines[claim.key]:
            del self.lines[claim.key]
        del self.runs[claim.key]
        self.early.discard(claim.key)
        if hold:
            self.held.add(claim.key)
        self._queue(claim.key)
        return True

    def retry(self, claimed: Claimed, body: bytes, delay: int) -> bool:
        """Have a delivery tried again."""
        if not self.has(claimed.claim):
            return False
        key, due = claimed.claim.key, self.now + delay
        self.bodies[claimed.ref] = body
        before = [self.since(other) for other in self.ready if self.company(other) == self.company(key)]
        since = max(due, 1 + max(before, default=0))
        for ref in {self.lines[key][0], claimed.ref}:
            self.bodies[ref] = waiting_since(self.bodies[ref], since)
        del self.runs[key]
        self.due[key] = due
        self.early.add(key)
        return True

    def back(self, claim: Claim) -> bool:
        """Give a key back."""
        if not self.has(claim):
            return False
        del self.runs[claim.key]
        self._queue(claim.key, at_once=True)
        return True

    def doom(self, claimed: Claimed, body: bytes) -> bool:
        """Write down that a delivery is to be a dead letter."""
        if not self.has(claimed.claim):
            return False
        self.bodies[claimed.ref] = body
        return True

    def mark(self, claim: Claim) -> bool:
        """Record that a suspect is started."""
        if not self.has(claim):
            return False
        self.runs[claim.key].started = True
        return True

    def extend(self, claim: Claim) -> bool:
        """Renew a hold."""
        if not self.has(claim):
            return False
        run = self.runs[claim.key]
        run.until, run.doubted, run.renewed, run.jumps = self.now + LEASE // 2, False, self.elapsed, self.jumps
        return True

    def abandon(self, worker: str, *, charged: bool) -> int:
        """Take back what a worker held; `charged` as by one that died."""
        theirs = [run for run in self.runs.values() if run.claimed.claim.token.startswith(worker)]
        for run in theirs:
            self._recover(run, at_once=True, charged=charged)
        return len(theirs)

    def erase(self, key: bytes, ref: bytes) -> None:
        """Remove an event that no worker has in hand."""
        is_first = self.lines[key][0] == ref
        self.lines[key].remove(ref)
        del self.bodies[ref]
        self.crashed.pop(ref, None)
        self.ended.add(ref)
        if not self.lines[key]:
            del self.lines[key]
        if is_first and key not in self.runs:
            self.ready.discard(key)
            self.due.pop(key, None)
            self.quiet.pop(key, None)
            self._queue(key, at_once=True)

    def release(self, keys: list[bytes]) -> int:
        """Let keys go on that are held."""
        released = [key for key in keys if key in self.held]
        for key in released:
            self.held.discard(key)
            self._queue(key, at_once=True)
        return len(released)

    def _queue(self, key: bytes, *, at_once: bool = False, before: int | None = None) -> None:
        if key not in self.lines or key in self.held:
            return
        if at_once:
            self.early.add(key)
        at = 0 if at_once else self._quiet_until(key, before)
        if at > self.now:
            self.quiet[key] = at
        else:
            self.ready.add(key)

    def _quiet_until(self, key: bytes, before: int | None) -> int:
        quiet, within, _ = self.merging
        first, last = self.lines[key][0], self.lines[key][-1]
        if not quiet or not may_be_merged(first):
            return 0
        at = min(millis_of(last) + quiet, millis_of(first) + within, self.now + within)
        return at if before is None or millis_of(last) <= self.now + SLACK else min(at, before)
