"""A machine that does to the lines whatever workers, clocks and operators may do, and compares with the model."""

import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.lines.agreement import agree
from support.lines.laws import Attempts, Holds, Quiet, Sleepers, Turns, tried
from support.lines.model import Model, before_of, company_of, is_doomed, may_be_merged, stream_of
from support.lines.place import LEASE, Claimed, Place, Reply, body_of
from support.stores import fresh_keys

from router.store.client import Store
from router.store.lines import Claim, Item, Merging

__all__ = ["machine_on"]

STREAMS = ("p/t", "p/t_2")
WORKERS = ("w1:", "w2:", "w3:")
LEADERS = ("l1", "l2")
KEYS = (b"a", b"a\x01", b"ab", b"b", b"\xff", b"shared")
COMPANIES = (b"", b"c", b"cc")
MERGINGS = (Merging(), Merging(0, 0, 3), Merging(3000, 10_000, 4), Merging(5000, 5000, 2))

T = TypeVar("T")
some = st.integers(0, 1000)
rarely = st.sampled_from([False, False, False, True])
spans = st.sampled_from([1, 400, 2500, LEASE // 2, LEASE // 2 + 1, LEASE, 4 * LEASE])
jumps = st.sampled_from([-3_600_000, -20_000, -4000, -900, 700, 4000, 20_000, 3_600_000])


def _one_of(found: Sequence[T], pick: int) -> T:
    return found[pick % len(found)]


class LinesMachine(RuleBasedStateMachine):
    """The rules; `run` waits for a coroutine, `store` is where the lines are."""

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    store: Store

    @initialize(merging=st.sampled_from(MERGINGS), limit=st.integers(0, 3))
    def begin(self, merging: Merging, limit: int) -> None:
        """Start with empty lines."""
        self.store.keys = fresh_keys()
        self.place = Place(self.store, merging, per_company=limit)
        self.model = Model(merging, limit)
        self.turns, self.holds, self.quiet, self.sleepers = Turns(), Holds(), Quiet(), Sleepers()
        self.attempts = Attempts()
        self.log: dict[str, list[Item]] = {}
        self.given: list[Claimed] = []
        self.bodies: dict[bytes, bytes] = {}
        self.leader: str | None = None
        self.claims = 0
        self.run(self.place.set_clock(self.model.now))

    def call(self, calling: Coroutine[Any, Any, Any]) -> Any:
        """Run a script."""
        self.model.see_clock()
        return self.run(calling)

    # events come

    def _append(self, source: str, key: bytes, ref: Callable[[str], bytes], company: bytes, *, before: int = 0) -> None:
        log = self.log.setdefault(source, [])
        at = max(self.model.now, int(log[-1].place.partition("-")[0]) if log else 0)
        place = f"{at:015}-{len(log):05}"
        named = ref(place)
        log.append(Item(source, place, key, named, body_of(company, named, before=before)))
        self.attempts.came(named, before)
        self.bodies[named] = log[-1].body

    @rule(
        stream=st.sampled_from(STREAMS),
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=6),
        pick=some,
        merge=st.sampled_from([True, True, False]),
        bring=st.booleans(),
    )
    def append(self, stream: str, keys: list[bytes], pick: int, *, merge: bool, bring: bool) -> None:
        """Accept events, and bring them into the lines now or later."""
        for key in keys:
            number = pick if key == b"shared" else KEYS.index(key)
            flag = "m" if merge else "o"
            self._append(stream, key, lambda at: f"{at}{flag}/{stream}".encode(), COMPANIES[number % len(COMPANIES)])  # noqa: B023 - called at once
        if bring:
            self._bring(stream, 0, len(keys))

    @precondition(lambda self: self.model.ended)
    @rule(pick=some, key=st.sampled_from(KEYS), before=st.sampled_from([0, 0, 1, 2]))
    def replay(self, pick: int, key: bytes, before: int) -> None:
        """Replay an event that has ended: it has its old place in the order, and may have stood for others."""
        old = _one_of(sorted(self.model.ended), pick)
        if b"." in old:
            return
        head, _, stream = old.partition(b"/")

        def ref(place: str) -> bytes:
            return b"%s.%s%s/%s" % (head[:-1], place.encode(), head[-1:], stream)

        inbox = f"inbox of {stream.decode()}"
        self._append(inbox, key, ref, company_of(self.bodies[old]), before=before)
        self._bring(inbox, 0, 1)

    @precondition(lambda self: self.log)
    @rule(source=some, count=st.integers(1, 5), again=st.integers(0, 3), stale=rarely)
    def bring(self, source: int, count: int, again: int, *, stale: bool) -> None:
        """Bring events, some for the second time; or as a worker that has lost the lease of it."""
        self._bring(_one_of(sorted(self.log), source), again, count, stale=stale)

    def _bring(self, source: str, again: int, count: int, *, stale: bool = False) -> None:
        if self.leader is None:
            self._lead(LEADERS[0])
        log, read = self.log[source], self.model.read.get(source, "")
        start = max(0, sum(item.place <= read for item in log) - again)
        items = log[start : start + again + count]
        new = self.call(self.place.add(*items, token="stale" if stale else self.leader))
        assert new == (-1 if stale else self.model.add(items))

    @rule(token=st.sampled_from(LEADERS), change=st.sampled_from(["lead", "resign", "end"]))
    def leader_changes(self, token: str, change: str) -> None:
        """Let a worker want to be the one that brings events, or give that up, or be gone."""
        if change == "lead":
            self._lead(token)
        elif change == "resign":
            assert self.run(self.place.resign(token)) == (self.leader == token)
            self.leader = None if self.leader == token else self.leader
        else:
            self.run(self.place.end_lease())
            self.leader = None

    @rule()
    def mend(self) -> None:
        """Let the leader look for what is missing, which is nothing."""
        if self.leader is None:
            self._lead(LEADERS[0])
        if self.model.bodies or self.model.runs:  # or it looks at nothing, not even at the clock
            self.model.see_clock()
        assert self.run(self.place.mend(self.leader)) == (b"", 0)

    def _lead(self, token: str) -> None:
        gets_it = self.leader in {None, token}
        assert self.run(self.place.lead(token)) == gets_it
        self.leader = token if gets_it else self.leader

    # workers work

    @rule(worker=st.sampled_from(WORKERS), room=st.sampled_from([0, 1, 2, 50]))
    def claim(self, worker: str, room: int) -> None:
        """Let a worker claim."""
        self._claim(worker, room)

    def _claim(self, worker: str, room: int) -> Reply:
        self.claims += 1
        before = {key: (run.renewed, run.jumps) for key, run in self.model.runs.items()}
        self.model.see_clock(begins=True)
        taken = self.model.look()
        self.quiet.look(self.model)
        reply: Reply = self.run(self.place.claim(f"{worker}{self.claims}", room))
        assert reply.taken == taken
        self.holds.judge(self.model, before)
        promoted = False
        for claimed in reply.claimed:
            if not promoted and not self.model.claimable():
                promoted = True
                self._promote()
            self._judge(claimed)
            self.turns.turn(self.model, claimed)
            self.model.take(claimed)
            self.given.append(claimed)
        if not promoted:
            self._promote()
        assert len(reply.claimed) == room or not self.model.claimable()
        assert len(reply.claimed) <= room
        self._judge_wait(reply)
        self.quiet.after_claim(self.model)
        self.sleepers.asked(self.model, worker, reply, room)
        return reply

    def _promote(self) -> None:
        self.model.promote()
        self.quiet.look(self.model)

    def _judge(self, claimed: Claimed) -> None:
        refs = self.model.delivery(claimed.claim.key)
        assert claimed.refs == refs, "not the first of the line, or not what may be merged into one"
        assert len(refs) == 1 or all(map(may_be_merged, refs))
        assert claimed.body == self.model.bodies[claimed.ref]
        assert [said for _, said in claimed.merged] == self.model.said(claimed.claim.key)
        self.attempts.judge(claimed, self.model.merging.most)
        assert claimed.crashes == self.model.crashes(claimed.claim.key)

    def _judge_wait(self, reply: Reply) -> None:
        moment = self.model.next_moment()
        assert reply.wait == (-1 if moment is None else max(0, moment - self.model.now))

    def _delivery(self, pick: int, *, stale: bool) -> Claimed:
        """Return a delivery that a worker has; or one that it had, for all it knows."""
        running = [run.claimed for run in self.model.runs.values()]
        return _one_of(self.given[-20:] if stale or not running else running, pick)

    @precondition(lambda self: self.given)
    @rule(picks=st.lists(some, min_size=1, max_size=3), stale=rarely, hold=rarely)
    def settle(self, picks: list[int], *, stale: bool, hold: bool) -> None:
        """End deliveries, in one call."""
        self._settle([(one.claim, one.refs) for one in self._deliveries(picks, stale=stale)], hold=hold)

    def _deliveries(self, picks: list[int], *, stale: bool) -> list[Claimed]:
        return [self._delivery(pick, stale=stale) for pick in picks]

    def _settle(self, settled: list[tuple[Claim, list[bytes]]], *, hold: bool) -> None:
        lost = self.call(self.place.settle_refs(settled, hold=hold))
        kept = [self.model.settle(claim, refs, hold=hold) for claim, refs in settled]
        assert lost == [number for number, was_there in enumerate(kept, 1) if not was_there]

    @precondition(lambda self: self.given)
    @rule(pick=some, number=some, hold=rarely)
    def settle_some(self, pick: int, number: int, *, hold: bool) -> None:
        """End the first of those that a delivery stands for: they are dead, and newer ones are not."""
        delivery = self._delivery(pick, stale=False)
        self._settle([(delivery.claim, delivery.refs[: 1 + number % len(delivery.refs)])], hold=hold)

    @precondition(lambda self: self.given)
    @rule(pick=some, delay=st.sampled_from([0, 1, 1500, 8000, 60_000]), stale=rarely)
    def retry(self, pick: int, delay: int, *, stale: bool) -> None:
        """Have a delivery tried again later."""
        one = self._delivery(pick, stale=stale)
        story = {"tried": tried(one) + 1, "before": before_of(one.body)}
        body = body_of(company_of(one.body), one.ref, b"tried %d" % self.claims, **story)
        was_there = self.call(self.place.retry(one, delay, body))
        assert was_there == self.model.retry(one, body, delay)
        if was_there:
            self.attempts.failed(one)

    @precondition(lambda self: self.given)
    @rule(pick=some, verb=st.sampled_from(["back", "doom", "mark"]), stale=rarely)
    def do(self, pick: int, verb: str, *, stale: bool) -> None:
        """Give a key back, write down that a delivery is to be a dead letter, or start a suspect."""
        one = self._delivery(pick, stale=stale)
        if verb == "back":
            assert self.call(self.place.back(one)) == self.model.back(one.claim)
        elif verb == "mark":
            assert self.call(self.place.mark(one)) == self.model.mark(one.claim)
        else:
            before = len(one.merged) + sum(before_of(said) for _, said in one.merged) + before_of(one.body)
            body = body_of(company_of(one.body), one.ref, doomed=True, tried=tried(one), before=before)
            assert self.call(self.place.doom(one, body)) == self.model.doom(one, body)

    @rule(worker=st.sampled_from(WORKERS), number=st.integers(1, 8))
    def extend(self, worker: str, number: int) -> None:
        """Renew the holds on what a worker has, for all it knows; one that is dead or frozen does not."""
        theirs = [one for one in self.given if one.claim.token.startswith(worker)][-number:]
        if theirs:
            lost = self.call(self.place.extend(*theirs))
            before = {key: run.until for key, run in self.model.runs.items()}
            kept = [self.model.extend(one.claim) for one in theirs]
            if any(run.until < before[key] for key, run in self.model.runs.items()):
                self.sleepers.clock_was_set()  # back, since a hold began: renewed, it ends sooner than a sleeper knows
            assert lost == [number for number, was_there in enumerate(kept, 1) if not was_there]

    @rule(worker=st.sampled_from(WORKERS), charged=st.booleans())
    def abandon(self, worker: str, *, charged: bool) -> None:
        """Take back what a worker has that is gone for sure, or whose claims got no reply."""
        taken = self.call(self.place.abandon(worker, charged=charged))
        assert taken == self.model.abandon(worker, charged=charged)

    @precondition(lambda self: self.waiting())
    @rule(pick=some, twice=rarely, changed=rarely)
    def erase(self, pick: int, *, twice: bool, changed: bool) -> None:
        """Remove an event for good; one that was noted as dead since it was seen stays."""
        key, ref = _one_of(self.waiting(), pick)
        doomed = is_doomed(self.model.bodies[ref])
        if changed:
            assert self.call(self.place.erase((key, ref, not doomed))) == [0, 0, 1]
        removed, _, stayed = self.call(self.place.erase(*[(key, ref, doomed)] * (2 if twice else 1)))
        assert (removed, stayed) == (1, 0)
        self.model.erase(key, ref)

    def waiting(self) -> list[tuple[bytes, bytes]]:
        """Return the events that no worker has in hand, each with its key."""
        runs = self.model.runs if hasattr(self, "model") else {}
        lines = self.model.lines if hasattr(self, "model") else {}
        return [
            (key, ref)
            for key, line in lines.items()
            for ref in line
            if key not in runs or ref not in runs[key].claimed.refs
        ]

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
    def release(self, keys: list[bytes]) -> None:
        """Let keys go on that are held, as an operator does."""
        assert self.call(self.place.release(*keys)) == self.model.release(keys)

    # time passes

    @rule(milliseconds=spans)
    def passes(self, milliseconds: int) -> None:
        """Let time pass."""
        self.model.passes(milliseconds)
        self.run(self.place.set_clock(self.model.now))

    @rule()
    def passes_until_next(self) -> None:
        """Let time pass until something is due."""
        moment = self.model.next_moment()
        if moment is not None and moment > self.model.now:
            self.passes(moment - self.model.now)

    @rule(worker=st.sampled_from(WORKERS), rounds=st.integers(1, 3))
    def work(self, worker: str, rounds: int) -> None:
        """Let a worker claim and end what it gets, again and again."""
        for _ in range(rounds):
            for one in self._claim(worker, 2).claimed:
                self._settle([(one.claim, one.refs)], hold=False)

    @rule(worker=st.sampled_from(WORKERS), key=st.sampled_from(KEYS), times=st.integers(1, 3))
    def dies(self, worker: str, key: bytes, times: int) -> None:
        """Let workers start all that they get, and die of it; others notice after a while. Newer events come."""
        for _ in range(times):
            self.append(STREAMS[0], [key], 0, merge=True, bring=True)
            for one in self._claim(worker, 3).claimed:
                assert self.call(self.place.mark(one)) == self.model.mark(one.claim)
            for _ in range(2):
                self.passes(LEASE // 2)
                self._claim("doubter:", 0)

    @rule(worker=st.sampled_from(WORKERS), verb=st.sampled_from(["settle", "hold", "retry", "back"]))
    def wakes_up(self, worker: str, verb: str) -> None:
        """Let a worker sleep while others get what it had, and then go on as if nothing had happened."""
        theirs = self._claim(worker, 2).claimed
        for room in (0, 50):
            self.passes(LEASE // 2)
            self._claim("other:", room)
        for one in theirs:
            if verb == "retry":
                assert self.call(self.place.retry(one, 0)) == self.model.retry(one, one.body, 0)
            elif verb == "back":
                assert self.call(self.place.back(one)) == self.model.back(one.claim)
            else:
                self._settle([(one.claim, one.refs)], hold=verb == "hold")

    @rule(worker=st.sampled_from(WORKERS))
    def renews_late(self, worker: str) -> None:
        """Let a worker renew its holds when they are in doubt, and again."""
        for _ in range(2):
            self.passes(LEASE // 2)
            self._claim("doubter:", 0)
            self.extend(worker, 8)

    @rule(stream=st.sampled_from(STREAMS), key=st.sampled_from(KEYS), times=st.integers(2, 6))
    def trickle(self, stream: str, key: bytes, times: int) -> None:
        """Accept events of a key one by one, each before the quiet after the last one is over."""
        for _ in range(times):
            self.append(stream, [key], 0, merge=True, bring=True)
            self.passes(2500)

    @rule(worker=st.sampled_from(WORKERS), key=st.sampled_from(KEYS), times=st.integers(2, 4))
    def rush(self, worker: str, key: bytes, times: int) -> None:
        """Accept events of a key while a worker handles one delivery at a time."""
        for _ in range(times):
            self.append(STREAMS[0], [key], 0, merge=False, bring=True)
            for one in self._claim(worker, 1).claimed:
                self._settle([(one.claim, one.refs)], hold=False)
                self.quiet.look(self.model)  # what is ready stays so, whatever comes next

    @rule(milliseconds=jumps)
    def clock_is_set(self, milliseconds: int) -> None:
        """Set the server's clock, as if another server had taken over."""
        self.model.jump(milliseconds)
        self.sleepers.clock_was_set()
        self.run(self.place.set_clock(self.model.now))

    @rule(company=st.sampled_from(COMPANIES), milliseconds=spans)
    def stop(self, company: bytes, milliseconds: int) -> None:
        """Pause a company, as an operator does."""
        self.call(self.place.stop(company, milliseconds))
        self.model.stopped[company] = self.model.now + milliseconds

    @rule(company=st.sampled_from(COMPANIES))
    def resume(self, company: bytes) -> None:
        """End the pause of a company."""
        self.call(self.place.resume(company))
        self.model.stopped.pop(company, None)

    @invariant()
    def holds_true(self) -> None:
        """Compare, and judge what only a history shows."""
        if not hasattr(self, "place"):
            return
        kept = self.run(self.place.kept())
        agree(kept, self.model)
        self.turns.look(self.model)
        self.quiet.look(self.model)
        self.sleepers.judge(self.model, kept.woken)

    def teardown(self) -> None:
        """Let all workers crash, and one handle what there is: then everything ends, except what is held."""
        if not hasattr(self, "place"):
            return
        try:
            if sys.exc_info()[0] is None:  # after a failure the model is wrong, and would hide it behind another one
                self._end()
        finally:
            self.run(self.place.clear())

    def _end(self) -> None:
        steps = 0
        while self.model.lines.keys() - self.model.held:
            steps += 1
            assert steps < 300, "the lines do not end"
            reply = self._claim("last:", 4)
            for one in reply.claimed:
                self._settle([(one.claim, one.refs)], hold=False)
            if not reply.claimed and reply.wait > 0:
                self.passes(reply.wait)
        kept = self.run(self.place.kept())
        agree(kept, self.model)
        assert not kept.ready + kept.busy
        assert not kept.due | kept.quiet | kept.running | kept.owners
        assert set(kept.lines) <= set(kept.held)
        assert kept.length == {} or set(kept.length) <= {stream_of(ref) for line in kept.lines.values() for ref in line}


def machine_on(store: Store, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> type[LinesMachine]:
    """Return the machine for a store; `run` waits for a coroutine."""
    return type("LinesMachine", (LinesMachine,), {"store": store, "run": staticmethod(run)})
