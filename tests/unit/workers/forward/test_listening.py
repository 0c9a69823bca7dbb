"""Posting to a developer's machine, where the receiver comes and goes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from random import Random

import pytest
from standardwebhooks.webhooks import Webhook
from support.receiver import OK, Request, receiving

from router.events.catalogue import Catalogue
from router.events.event import Event
from router.tasks.backoff import Backoff
from workers.forward.listening import Poster
from workers.outgoing import AddressRefused, Outgoing, Target
from workers.outgoing.signature import new_secret
from workers.testing import sample_of

SECRET = new_secret()


def event() -> Event:
    """Return an event of a customer."""
    return sample_of(Catalogue.load(), "visma-net-financial/customer_changed")


class Bench:
    """A poster, what it says, and what happens each time that it waits."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.waits = 0

    async def wait(self, seconds: float) -> None:
        """Take note that it waits."""
        self.waits += 1
        assert seconds > 0

    @asynccontextmanager
    async def posting(self, port: int, host: str = "127.0.0.1", **options: object) -> AsyncIterator[Poster]:
        """Yield what posts to a port."""
        target = Target(f"http://{host}:{port}/hook", allow_private=(ip_network("127.0.0.0/8"),), timeout=0.3)
        async with Outgoing(target, **options) as outgoing:
            backoff = Backoff(Random(0), 0.1, 1.0)
            yield Poster(outgoing, SECRET, "cloudevents", self.said.append, sleep=self.wait, backoff=backoff)


async def test_an_event_is_posted_signed_and_its_answer_comes_back() -> None:
    """The receiver can verify what it gets, as from a forward."""
    answer = b"HTTP/1.1 422 No\r\nContent-Length: 4\r\n\r\nbad!"
    async with receiving(answer) as receiver, Bench().posting(receiver.port) as poster:
        posted = await poster.post(sent := event())
    assert (posted.status, posted.answer, posted.error) == (422, "bad!", "")
    [request] = receiver.requests
    assert Webhook(SECRET).verify(request.body, request.headers)["id"] == sent.id
    assert request.headers["webhook-id"] == sent.id
    assert request.headers["event-router-subscription"] == "listen"


async def test_it_waits_while_nobody_listens_and_says_so_once() -> None:
    """A receiver that is started again gets the event that came meanwhile."""
    bench = Bench()
    async with receiving() as gone:
        port = gone.port

    async def wait(seconds: float) -> None:
        bench.waits += 1
        if bench.waits == 3:
            await stack.__aenter__()

    stack = receiving(port=port)
    bench.wait = wait  # type: ignore[method-assign]
    async with bench.posting(port) as poster:
        posted = await poster.post(event())
        again = await poster.post(event())
    await stack.__aexit__(None, None, None)
    assert (posted.status, again.status, bench.waits) == (200, 200, 3)
    assert ["no connection could be made" in said for said in bench.said] == [True, False]
    assert bench.said[-1] == ""


async def test_an_event_that_was_sent_is_not_sent_again() -> None:
    """A receiver that ends on an event, or does not answer, gets the next one."""

    async def ends(request: Request) -> bytes:
        return b""

    async def hangs(request: Request) -> bytes:
        receiver.answer = OK
        return b"HTTP/1.1"

    bench = Bench()
    async with receiving(ends) as receiver, bench.posting(receiver.port) as poster:
        closed = await poster.post(event())
        receiver.answer = hangs
        silent = await poster.post(event())
        assert (await poster.post(event())).status == 200
    assert (closed.status, silent.status, bench.waits) == (None, None, 0)
    assert "without an answer" in closed.error
    assert "no answer within" in silent.error
    assert len(receiver.requests) == 3


async def test_an_event_that_cannot_be_posted_in_this_form_is_passed_over() -> None:
    """An item that is no JSON is no CloudEvents event: it says so, and the next one comes."""
    async with receiving() as receiver, Bench().posting(receiver.port) as poster:
        posted = await poster.post(event().model_copy(update={"raw": b"{"}))
        assert (await poster.post(event())).status == 200
    assert (posted.status, bool(posted.error), len(receiver.requests)) == (None, True, 1)


async def test_an_address_that_must_not_be_reached_ends_it() -> None:
    """What can never work is not waited for."""

    async def lookup(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    async with Bench().posting(9, "crm.example", lookup=lookup) as poster:
        with pytest.raises(AddressRefused):
            await poster.post(event())
