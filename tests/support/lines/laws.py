"""The laws of the lines that one moment does not show: each watches the model, which is what the store holds."""

from collections import Counter

from support.lines.model import SLACK, Model, before_of, may_be_merged, millis_of, tried_of
from support.lines.place import LEASE, Claimed, Reply

__all__ = ["Attempts", "Holds", "Quiet", "Sleepers", "Turns"]


class Turns:
    """A company that may have a turn has it before any other has two."""

    def __init__(self) -> None:
        self._waited: dict[bytes, Counter[bytes]] = {}

    def turn(self, model: Model, claimed: Claimed) -> None:
        """Judge a turn before it is taken: it is of a company that may have one, and what waits longest goes first."""
        key, company = claimed.claim.key, model.company(claimed.claim.key)
        assert key in model.ready
        assert company in model.claimable()
        waiting = [other for other in model.ready if model.company(other) == company]
        first = min((model.since(other), model.lines[other][0]) for other in waiting)
        assert (model.since(key), model.lines[key][0]) == first, "an event of the company overtook one before it"
        self.look(model)
        self._waited[company].clear()
        for other, turns in self._waited.items():
            if other != company:
                turns[company] += 1
                assert turns[company] == 1, f"{company!r} had two turns while {other!r} waited"

    def look(self, model: Model) -> None:
        """Let those wait anew that may not have a turn now."""
        self._waited = {company: self._waited.get(company, Counter()) for company in model.claimable()}


class Attempts:
    """A delivery knows how often it was tried, whatever newer events it stands for, and all that it stands for."""

    def __init__(self) -> None:
        self._tried: dict[bytes, int] = {}
        self._before: dict[bytes, int] = {}

    def came(self, ref: bytes, before: int) -> None:
        """Take note of an event that has stood for others before."""
        self._before[ref] = before

    def failed(self, claimed: Claimed) -> None:
        """Take note of a delivery that is tried again."""
        self._tried[claimed.ref] = tried(claimed) + 1

    def judge(self, claimed: Claimed, most: int) -> None:
        """Judge a delivery: with an event that was tried it was tried as often, and what one stands for is there."""
        assert tried(claimed) >= max(self._tried.get(ref, 0) for ref in claimed.refs), "attempts begin anew"
        rows = [*claimed.merged, (claimed.ref, claimed.body)]
        for ref, said in rows:
            assert before_of(said) >= self._before.get(ref, 0), "names of what an event stood for are lost"
        before = sum(self._before.get(ref, 0) for ref, _ in claimed.merged)
        assert len(rows) == 1 or len(rows) + before <= most, "a delivery stands for too many"


def tried(claimed: Claimed) -> int:
    """Return how often a delivery was tried, as its worker sees it."""
    return max(tried_of(said) for said in (claimed.body, *(said for _, said in claimed.merged)))


class Holds:
    """A hold is not taken away from a worker that renews it in time, also when the clock is set once."""

    def judge(self, model: Model, before: dict[bytes, tuple[int, int]]) -> None:
        """Judge which runs have ended by a claim; `before`: when each was renewed, and after how many jumps."""
        for key, (renewed, jumps) in before.items():
            if key not in model.runs and model.jumps - jumps < 2:
                least = LEASE if model.jumps == jumps else LEASE // 2
                assert model.elapsed - renewed >= least, "a hold was taken away too early"


class Quiet:
    """Nothing waits for more to merge longer than `within`, nor is ready before it may be."""

    def __init__(self) -> None:
        self._since: dict[bytes, int] = {}
        self._ripe: dict[bytes, bytes] = {}

    def look(self, model: Model) -> None:
        """See which keys wait now; and judge those that have become ready, or whose first event is another one."""
        self._since = {key: self._since.get(key, model.elapsed) for key in model.quiet}
        before, self._ripe = self._ripe, {key: model.lines[key][0] for key in model.ready}
        if model.jumps == 0 and model.merging.quiet:
            for key in [key for key in model.ready - model.early if before.get(key) != self._ripe[key]]:
                self._became_ready(model, key)

    def after_claim(self, model: Model) -> None:
        """Judge what still waits although a worker has asked."""
        self.look(model)
        longest = model.merging.within + SLACK * (model.jumps + 1) + model.unseen
        for since in self._since.values():
            assert model.elapsed - since < longest, "a key waits for longer than `within`"

    def _became_ready(self, model: Model, key: bytes) -> None:
        first, last = model.lines[key][0], model.lines[key][-1]
        quiet, within, _ = model.merging
        ripe = model.now >= min(millis_of(last) + quiet, millis_of(first) + within)
        assert ripe or not may_be_merged(first), "a key did not wait for more"


class Sleepers:
    """A worker that has claimed all there was sleeps as long as the reply says, or until woken, and misses nothing."""

    def __init__(self) -> None:
        self._sleeping: dict[str, tuple[int | None, bytes]] = {}

    def asked(self, model: Model, worker: str, reply: Reply, room: int) -> None:
        """Let a worker that has claimed sleep, unless it has no room for more."""
        self._sleeping.pop(worker, None)
        if len(reply.claimed) < room:
            until = None if reply.wait < 0 else model.elapsed + reply.wait
            self._sleeping[worker] = until, reply.last

    def clock_was_set(self) -> None:
        """Nobody can know beforehand when a clock is set forward."""
        self._sleeping.clear()

    def judge(self, model: Model, woken: bytes) -> None:
        """Judge whether each sleeper will wake up when there is something to do."""
        moment = model.next_moment()
        for worker, (until, last) in self._sleeping.items():
            if woken != last or (until is not None and until <= model.elapsed):
                continue
            assert not model.claimable(), f"{worker} sleeps while there is something to claim"
            if moment is not None:
                left = moment - model.now
                assert until is not None, f"{worker} sleeps for good"
                assert until - model.elapsed <= left, f"{worker} sleeps longer than until something becomes ready"
