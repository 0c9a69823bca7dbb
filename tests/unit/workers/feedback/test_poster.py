"""Notes are posted beside everything else: whatever the ERP does, nothing waits for it, and each note is counted."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from support.erp import SLUG, TENANT, Clock, customer_event, erp_settings
from support.waiting import eventually

from workers import Record
from workers.breakers.breakers import Breakers, breaking
from workers.breakers.of_erp import erp_breaker
from workers.erp import Clients, Erp, ErpUnauthorized, ErpUnavailable, ErpUnreadable, open_clients
from workers.erp.fake import FakeErp
from workers.erp.quota import Quota, Unlimited
from workers.feedback import FeedbackMetrics, Poster
from workers.feedback.note import Note
from workers.limits import Limiter, limiting
from workers.limits.of_erp import OF_FEEDBACK, erp_limit


class Naps:
    """A sleep that ends when the test says so, or at once; and what was to be slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.awake = asyncio.Event()
        self.awake.set()

    async def __call__(self, seconds: float) -> None:
        """Sleep."""
        self.slept.append(seconds)
        await self.awake.wait()
        await asyncio.sleep(0.001)


class Desk:
    """A poster, and what it counted."""

    def __init__(self, poster: Poster, registry: CollectorRegistry, clock: Clock, naps: Naps, clients: Clients) -> None:
        self.poster = poster
        self.registry = registry
        self.clock = clock
        self.naps = naps
        self.clients = clients

    def put(self, id_: str, **about: Any) -> None:
        """Put a note that is tried for an hour."""
        event = customer_event(**about)
        now = self.clock()
        self.poster.put(Note(id_, event, "customer-sync", "done", success=True, made=now, until=now + 3600))

    def count(self, outcome: str) -> float:
        """Return how many notes ended so."""
        labels = {"publisher": SLUG, "outcome": outcome}
        return self.registry.get_sample_value("event_router_feedback_total", labels) or 0.0

    @property
    def waiting(self) -> float | None:
        """How many notes wait."""
        return self.registry.get_sample_value("event_router_feedback_waiting")


@asynccontextmanager
async def desk(erp: FakeErp, quota: Quota | None = None, *, breaker: Any = None, **options: Any) -> AsyncIterator[Desk]:
    """Yield a poster for the fake ERP."""
    registry, clock, naps = CollectorRegistry(), Clock(), Naps()
    async with open_clients(erp_settings(erp, **options), quota=quota, breaker=breaker) as clients:
        metrics = FeedbackMetrics(registry)
        poster = Poster(clients, quota or Unlimited(), metrics, breaker=breaker, monotonic=clock, sleep=naps)
        yield Desk(poster, registry, clock, naps, clients)
        naps.awake.set()
        await poster.stop(0)


def posted(erp: FakeErp) -> list[str]:
    """Return the ids of the notifications that feedback was given for."""
    return [body["notificationId"] for _, body in erp.feedback]


async def test_a_note_is_posted(erp: FakeErp) -> None:
    """The ERP gets id, source, description and success, as the tenant of the event."""
    async with desk(erp) as found:
        found.put("n1")
        await eventually(lambda: found.count("posted") == 1)
        assert found.waiting == 0
    body = {"notificationId": "n1", "source": "customer-sync", "description": "done", "isSuccess": True}
    assert list(erp.feedback) == [(TENANT, body)]


async def test_an_erp_that_is_away(erp: FakeErp) -> None:
    """While the ERP answers 503 notes wait, with pauses that grow to a minute; when it is back each is posted once."""
    erp.failing = 503
    async with desk(erp) as found:
        for number in range(5):
            found.put(f"n{number}")
        await eventually(lambda: len(found.naps.slept) >= 9)
        assert found.waiting == 5
        assert max(found.naps.slept) <= 60
        assert found.naps.slept[8] >= 30
        erp.failing = None
        await eventually(lambda: found.count("posted") == 5)
    assert sorted(posted(erp)) == [f"n{number}" for number in range(5)]


async def test_what_ails_feedback_keeps_no_handler(erp: FakeErp) -> None:
    """Where all feedback is answered with 503, its own breaker opens, and handlers reach the ERP as before."""

    def judge(method: str, _path: str) -> None:
        erp.failing = 503 if method == "POST" else None

    erp.on_request = judge
    erp.books(TENANT).put("v1/customer/1", {"name": "Ada"})
    async with breaking(Breakers(None)), desk(erp, breaker=erp_breaker) as found:
        for number in range(20):
            found.put(f"n{number}", company_id=str(number))
        await eventually(lambda: bool(found.naps.slept) and len(found.naps.slept) >= 20)
        tried = len(erp.seen)
        record = await found.clients.for_event(customer_event()).get("v1/customer/1")
        assert record.body == {"name": "Ada"}
        assert tried < 20


async def test_a_note_that_the_erp_breaks_at(erp: FakeErp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note that the ERP always breaks at holds none behind it up, and is given up in the end."""
    post = Erp.post

    async def breaking(self: Erp, path: str, body: Any) -> Record:
        if body["notificationId"] == "bad":
            raise ErpUnavailable("500")
        return await post(self, path, body)

    monkeypatch.setattr(Erp, "post", breaking)
    async with desk(erp) as found:
        found.put("bad")
        found.put("n1")
        await eventually(lambda: found.count("posted") == 1)
        found.clock.now += 3601
        await eventually(lambda: found.count("late") == 1)
    assert posted(erp) == ["n1"]


async def test_an_erp_that_refuses(erp: FakeErp) -> None:
    """What the ERP refuses is counted and not tried again; why is warned of, until one is taken."""
    with capture_logs() as logs:
        async with desk(erp) as found:
            found.put("n0")
            await eventually(lambda: found.count("posted") == 1)
            erp.failing = 403
            found.put("n1")
            found.put("n2")
            await eventually(lambda: found.count("refused") == 2)
            assert "feedback to visma-net-financial is refused" in found.poster.warning
            erp.failing = None
            found.put("n3")
            await eventually(lambda: found.count("posted") == 2)
            assert found.poster.warning == ""
    assert [line["event"] for line in logs].count("feedback_not_taken") == 1


@pytest.mark.parametrize("trouble", ["no token", "rubbish", "no right"])
async def test_a_client_that_is_locked_out_loses_no_note(
    erp: FakeErp, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Where the client gets no token, or the ERP answers rubbish, notes wait: it is no fault of theirs.

    After ten minutes they are refused, so that a tenant which never gives a token fills no line for long.
    """
    post, locked = Erp.post, [True]
    wrong = {
        "no token": ErpUnauthorized("400"),
        "rubbish": ErpUnreadable("no JSON"),
        "no right": ErpUnauthorized("401"),
    }

    async def posts(self: Erp, path: str, body: Any) -> Record:
        if locked:
            raise wrong[trouble].again()
        return await post(self, path, body)

    monkeypatch.setattr(Erp, "post", posts)
    async with desk(erp) as found:
        found.put("n1")
        found.put("n2")
        await eventually(lambda: len(found.naps.slept) > 4)
        assert wrong[trouble].args[0] in found.poster.warning
        locked.clear()
        await eventually(lambda: found.count("posted") == 2)
        assert found.poster.warning == ""
        locked.append(True)
        found.put("n3")
        found.clock.now += 601
        await eventually(lambda: found.count("refused") == 1)
    assert sorted(posted(erp)) == ["n1", "n2"]


async def test_a_page_in_place_of_the_interface(erp: FakeErp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that answers 200 with a page for maintenance has taken no note: it waits, and is posted later."""
    post, page = Erp.post, [b"\n<!doctype html><p>Maintenance"]

    async def posts(self: Erp, path: str, body: Any) -> Record:
        return Record(200, body=page[0], fetched_at=datetime.now(UTC)) if page else await post(self, path, body)

    monkeypatch.setattr(Erp, "post", posts)
    async with desk(erp) as found:
        found.put("n1")
        await eventually(lambda: len(found.naps.slept) > 2)
        assert "answered 200 with a page" in found.poster.warning
        page.clear()
        await eventually(lambda: found.count("posted") == 1)
    assert posted(erp) == ["n1"]


async def test_a_company_without_quota_delays_no_other(erp: FakeErp) -> None:
    """Who is answered 429 waits for its window; the notes of another company are posted meanwhile."""
    erp.gate.quota = 3
    async with desk(erp) as found:
        found.naps.awake.clear()
        for number in range(5):
            found.put(f"a{number}")
        await eventually(lambda: bool(found.naps.slept))
        assert found.naps.slept[0] > 60
        found.put("b", tenant_id="t2")
        await eventually(lambda: found.count("posted") == 4)
        assert found.waiting == 2
        erp.gate.quota = 100
        found.naps.awake.set()
        await eventually(lambda: found.count("posted") == 6)
    assert sorted(posted(erp)) == ["a0", "a1", "a2", "a3", "a4", "b"]


async def test_feedback_leaves_quota_for_fetching(erp: FakeErp) -> None:
    """Of the shared limit feedback takes what is above a quarter, and then waits; the ERP refuses none."""
    erp.gate.quota = 20
    quota = erp_limit(OF_FEEDBACK)
    async with limiting(Limiter(None, "w1")), desk(erp, quota) as found:
        found.naps.awake.clear()
        for number in range(30):
            found.put(f"n{number}")
        await eventually(lambda: bool(found.naps.slept))
        await eventually(lambda: found.count("posted") == 15)
    assert erp.refused(TENANT) == 0
    assert len(posted(erp)) == 15


async def test_what_waits_is_bounded(erp: FakeErp) -> None:
    """Of one company 1,000 notes wait and of all 10,000; what comes then is counted, and nothing else happens to it."""
    erp.gate_open.clear()
    async with desk(erp) as found:
        for number in range(1_010):
            found.put(f"n{number}")
        assert (found.waiting, found.count("overflow")) == (1_000, 10)
        for company in range(2, 15):
            for number in range(800):
                found.put(f"n{number}", company_id=str(company))
        assert found.waiting == 10_000
        await found.poster.stop(0)
        assert found.count("overflow") == 10 + 1_400
        assert found.count("left") == 10_000
    assert not posted(erp)


async def test_the_stop_is_bounded(erp: FakeErp) -> None:
    """An ERP that does not answer keeps no worker: the stop waits for so many seconds, and counts what is left."""
    erp.gate_open.clear()
    async with desk(erp) as found:
        found.put("n1")
        found.put("n2")
        began = time.monotonic()
        with capture_logs() as logs:
            await found.poster.stop(0.2)
        assert 0.2 <= time.monotonic() - began < 10
        assert (found.count("left"), found.waiting) == (2, 0)
        assert [line["notes"] for line in logs if line["event"] == "feedback_not_posted"] == [2]
        found.put("n3")
        assert found.count("left") == 3


async def test_a_stop_posts_what_waits(erp: FakeErp) -> None:
    """What can be posted within the time of the stop is posted."""
    async with desk(erp) as found:
        for number in range(20):
            found.put(f"n{number}")
        await found.poster.stop(30)
        assert (found.count("posted"), found.count("left")) == (20, 0)


async def test_whatever_breaks_the_notes_behind_go_on(erp: FakeErp) -> None:
    """An error of ours at one note is counted and logged, and the next is posted."""
    async with desk(erp) as found:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("workers.erp.erp.Erp.post", lambda *_: 1 / 0)
            found.put("n1")
            await eventually(lambda: found.count("failed") == 1)
        found.put("n2")
        await eventually(lambda: found.count("posted") == 1)
    assert posted(erp) == ["n2"]


async def test_a_publisher_without_erp(erp: FakeErp) -> None:
    """A note for a publisher whose ERP is not set is refused, and said to be."""
    async with desk(erp) as found:
        found.put("n1", publisher="somebody-else")
        await eventually(lambda: "no ERP is set for somebody-else" in found.poster.warning)


async def test_notes_go_on_when_there_is_memory_again(erp: FakeErp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note for which there was no memory is tried again, and those behind it are posted."""
    post, short = Erp.post, [True]

    async def posts(self: Erp, path: str, body: Any) -> Record:
        if short and short.pop():
            raise MemoryError
        return await post(self, path, body)

    monkeypatch.setattr(Erp, "post", posts)
    async with desk(erp) as found:
        found.put("n1")
        found.put("n2")
        await eventually(lambda: len(posted(erp)) == 2)
        await eventually(lambda: found.waiting == 0)
