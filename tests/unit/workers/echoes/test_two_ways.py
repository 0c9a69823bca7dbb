"""Two-way sync with the fake ERP, whatever comes between: it never goes round, and drops no foreign change."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from support.erp import SLUG, TENANT, customer_event, erp_settings
from support.stores import fake_store
from yarl import URL

from workers import Defer, Delivery, Record, Subscription
from workers.delivery import AttemptError
from workers.echoes.guard import EchoGuard
from workers.echoes.noted import NotedWrites
from workers.erp import ErpConflict, ErpUnavailable, erp_for, open_clients
from workers.erp.fake import FakeErp
from workers.erp.fake.records import answer
from workers.erp.tokens import Token
from workers.erp.transport import Answer
from workers.handlers.hydrated import call_with_record
from workers.outcomes import Echoed

PATH = "v1/customer/1"
NOBODY = customer_event()
MANY = 60
"""Handled events by which it surely goes round: a few changes of others, and what is lost, make far fewer."""
Choose = Callable[[int], int]


class Turns:
    """Who of all that runs may go on next: one at a time, as `choose` says."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[bool]] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def wait(self) -> bool:
        """Wait for one's turn; return whether what was sent gets lost on its way back."""
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return await future

    def start(self, work: Any) -> None:
        """Start another."""
        task = asyncio.create_task(work)
        self.tasks.add(task)

    async def all_wait(self) -> None:
        """Return once everybody waits for a turn or has ended."""
        while True:
            for task in [task for task in self.tasks if task.done()]:
                self.tasks.discard(task)
                task.result()
            if len(self.waiting) == len(self.tasks):
                return
            await asyncio.sleep(0)


class Sync:
    """The ERP, a subscription that writes what it hears into another system and back, and that system's own writes."""

    def __init__(self, choose: Choose, *, keyed: bool, conditional: bool, guarded: bool = True) -> None:
        self.choose = choose
        self.keyed = keyed
        self.conditional = conditional
        self.guarded = guarded
        self.turns = Turns()
        self.erp = FakeErp()
        self.queue: list[Delivery] = []
        self.foreign: list[int] = []
        self.handled: list[int] = []
        self.echoes = 0
        self.losses = 2
        self.busy = 0
        self.numbers = itertools.count(1)

    # The ERP

    def changed(self, body: Mapping[str, Any]) -> int:
        """Change the record, and send the webhook of that; return the version."""
        books = self.erp.books(TENANT)
        before = books.get(PATH)
        entry = books.put(PATH, {**(before.body if before else {}), **body})
        self.event()
        return entry.version

    def event(self) -> None:
        """Send a webhook of the record."""
        event = customer_event(id=f"e{next(self.numbers)}", action="changed")
        self.queue.append(Delivery(event, "sub"))

    async def get(self, _tenant: str) -> Token:
        """Return a token, as the one for it does."""
        return Token("t", float("inf"), float("inf"))

    async def send(self, method: str, url: URL, headers: Mapping[str, str], data: bytes | None = None) -> Answer:
        """Answer a request as the fake ERP does; anything may happen before that and after it."""
        await self.turns.wait()
        request: Any = SimpleNamespace(method=method, headers=CIMultiDict(headers), query={})
        body = msgspec.json.decode(data) if data else None
        reply = answer(self.erp, TENANT, request, url.path.removeprefix("/"), body)
        if method == "PUT" and reply.status < 300:
            self.event()
        if await self.turns.wait() and method == "PUT":
            raise ErpUnavailable("the answer was lost")
        content = b"" if reply.body is None else msgspec.json.encode(reply.body)
        return Answer(reply.status, CIMultiDict({"Content-Type": "application/json", **reply.headers}), content)

    # Our side

    async def handle(self, delivery: Delivery, record: Record) -> None:
        """Write what is heard into the other system, which hears of it in its turn, and a note back into the ERP."""
        await self.turns.wait()
        async with erp_for(delivery.event) as erp:
            await erp.put(PATH, {"noted": record.etag}, if_match=record.etag if self.conditional else None)
        self.turns.start(self.other_way(record.body["name"]))
        await self.turns.wait()

    async def other_way(self, name: str) -> None:
        """Write what changed in the other system into the ERP."""
        await self.turns.wait()
        async with erp_for(NOBODY) as erp:
            try:
                match = (await erp.get(PATH)).etag if self.conditional else None
                await erp.put(PATH, {"name": name}, if_match=match)
            except (ErpConflict, ErpUnavailable):
                pass  # the change that came between makes its own way

    async def attempt(self, guard: EchoGuard | None, delivery: Delivery) -> None:
        """Attempt a delivery, and do with it what a worker would."""
        subscription = Subscription("sub", events=["*"], hydrate=True)
        seen: list[int] = []

        @subscription.handler
        async def handle(delivery: Delivery, record: Record) -> None:
            seen.append(int((record.etag or "").strip('"')))
            await self.handle(delivery, record)

        (result,) = await call_with_record(subscription.handled_by, [delivery], None, echoes=guard)
        self.busy -= 1
        if result is None:
            self.handled += seen
        elif isinstance(result, Echoed):
            self.echoes += 1
        elif isinstance(result, Defer):
            again = msgspec.structs.replace(delivery, deferred=delivery.deferred + 1)
            self.queue.insert(0 if self.keyed else len(self.queue), again)
        else:
            assert isinstance(result, ErpConflict | ErpUnavailable), result
            error = AttemptError(delivery.event.received_at, delivery.attempt, type(result).__name__, "")
            again = msgspec.structs.replace(delivery, attempt=delivery.attempt + 1, errors=(*delivery.errors, error))
            self.queue.insert(0 if self.keyed else len(self.queue), again)

    # The run

    async def run(self, changes: int) -> None:
        """Let it run until nothing is left to do, with so many changes of others at any time."""
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(fake_store())
            self.erp.url = "http://erp.example"
            opened = open_clients(erp_settings(self.erp), writes=NotedWrites(store))
            clients = await stack.enter_async_context(opened)
            connection: Any = clients._connections[SLUG.replace("-", "_")]
            connection.transport = connection.tokens = self
            guard = EchoGuard(store, "sub", 30.0, Random(0)) if self.guarded else None
            self.foreign.append(self.changed({"name": "a"}))
            while len(self.handled) <= MANY:
                await self.turns.all_wait()
                able = ["deliver"] if self.queue and not (self.keyed and self.busy) else []
                able += ["change"] if changes else []
                options = [*self.turns.waiting, *able]
                if not options:
                    break
                chosen = options[self.choose(len(options))]
                if chosen == "deliver":
                    place = 0 if self.keyed else self.choose(len(self.queue))
                    self.busy += 1
                    self.turns.start(self.attempt(guard, self.queue.pop(place)))
                elif chosen == "change":
                    changes -= 1
                    self.foreign.append(self.changed({"name": f"foreign {changes}"}))
                else:
                    self.turns.waiting.remove(chosen)
                    lost = self.losses > 0 and self.choose(8) == 7
                    self.losses -= lost
                    chosen.set_result(lost)
            for task in self.turns.tasks:
                task.cancel()
            await asyncio.gather(*self.turns.tasks, return_exceptions=True)


def chooser(data: st.DataObject, most: int) -> Choose:
    """Return what chooses as hypothesis says, so many times; then always the first, and no answer gets lost."""
    left = [most]

    def choose(number: int) -> int:
        if left[0] <= 0 or number == 1:
            return 0
        left[0] -= 1
        return data.draw(st.integers(0, number - 1))

    return choose


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("conditional", [True, False])
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), changes=st.integers(0, 3))
def test_no_loop_and_no_foreign_change_dropped(
    *,
    keyed: bool,
    conditional: bool,
    data: st.DataObject,
    changes: int,
) -> None:
    """Both ways end, and of each change of somebody else that or a later version was handled.

    Whatever comes between any two steps: webhooks in any order and twice handled at once, changes of others, writes of
    ours to the same record, answers that are lost; keyed and unkeyed, with conditional writes and without.
    """
    sync = Sync(chooser(data, 120), keyed=keyed, conditional=conditional)
    asyncio.run(sync.run(changes))
    assert len(sync.handled) <= MANY, "it goes round"
    assert max(sync.handled) >= max(sync.foreign), (sync.foreign, sync.handled)
    assert not sync.queue


def test_without_the_guard_it_goes_round() -> None:
    """The same sync without the guard never ends: each write makes an event, and each event a write."""
    sync = Sync(lambda _: 0, keyed=True, conditional=True, guarded=False)
    asyncio.run(sync.run(0))
    assert len(sync.handled) > MANY
