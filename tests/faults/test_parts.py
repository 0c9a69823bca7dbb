"""The fault suite's own parts: what it would miss if they were wrong, nobody else would tell."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path

import pytest
from faults.fates import dies, failures
from faults.faults import FAULTS
from faults.happening import Explainer, Happening
from faults.ledger import Handling, Ledger, Writer
from faults.load import STREAMS, Journal, Notification
from faults.member import Member
from faults.outcome import Outcome
from faults.proxy import Proxy
from faults.report import figures, lines, write
from faults.schedule import schedule
from faults.stored import Stored, look
from faults.verdict import Double, Verdict, compare
from support.waiting import eventually

from router.store.client import Store

pytestmark = pytest.mark.faults

STREAM = STREAMS[0]


def sent(*ids: str, ordered: bool = True) -> Journal:
    """Return the journal of a sender whose notifications, all of one resource, were acknowledged in this order."""
    journal = Journal()
    for sequence, id_ in enumerate(ids, 1):
        journal.sent[id_] = Notification(id_, STREAM, "10000", sequence, ordered, {})
        journal.first_sent[id_] = journal.acknowledged[id_] = float(sequence)
    return journal


def judge(
    tmp_path: Path, journal: Journal, handled: list[str], stream: list[str], dead: list[str] | None = None
) -> Verdict:
    """Compare what was sent with what one subscription handled and what is stored; ids that begin with `d` must die."""
    ledger = Ledger(tmp_path, ["sub"])
    for number, id_ in enumerate(handled):
        ledger.handled["sub"].setdefault(id_, []).append(Handling(float(number), 1, 1))
    stored = Stored({STREAM: stream}, {"sub": Counter(dead or [])}, {"sub": Counter()})
    fates = {"sub": lambda id_: id_.startswith("d")}
    return compare(journal, ledger, stored, meant_to_die=fates, explain=lambda _double: None)


def test_a_clean_run_passes(tmp_path: Path) -> None:
    """Everything handled or meant to be dead, stored once and in order, is no complaint."""
    verdict = judge(tmp_path, sent("a", "b", "d"), ["b", "a"], ["a", "b", "d"], ["d"])
    assert verdict.passed, verdict.complaints()


@pytest.mark.parametrize(
    ("handled", "stream", "dead", "complaint"),
    [
        (["a"], ["a", "b", "d"], ["d"], "lost by sub: 1, such as b"),
        (["a", "b", "b"], ["a", "b", "d"], ["d"], "doubled without a cause: 1"),
        (["a", "b"], ["a", "b", "d"], [], "lost by sub: 1, such as d"),
        (["a"], ["a", "b", "d"], ["b", "d"], "dead with sub, not meant to die: 1, such as b"),
        (["a", "b"], ["a", "b", "d"], ["d", "d"], "more than once among the dead of sub: 1, such as d"),
        (["a", "b", "d"], ["a", "b", "d"], [], "handled by sub, meant to die: 1, such as d"),
        (["a", "b", "x"], ["a", "b", "d"], ["d"], "handled by sub, never sent: 1, such as x"),
        (["a", "b"], ["a", "d"], ["d"], "acknowledged and not in its stream: 1, such as b"),
        (["a", "b"], ["a", "b", "a", "d"], ["d"], "more than once in "),
        (["a", "b"], ["b", "a", "d"], ["d"], "out of order in "),
    ],
)
def test_every_broken_promise_is_a_complaint(
    tmp_path: Path, handled: list[str], stream: list[str], dead: list[str], complaint: str
) -> None:
    """Each way to lose, double, bury or misplace an event is found, and named."""
    verdict = judge(tmp_path, sent("a", "b", "d"), handled, stream, dead)
    assert not verdict.passed
    assert any(line.startswith(complaint) for line in verdict.complaints()), verdict.complaints()


def test_an_order_that_the_sender_did_not_keep_is_not_asked_for(tmp_path: Path) -> None:
    """What took any ingress may be in its stream in any order."""
    assert judge(tmp_path, sent("a", "b", ordered=False), ["a", "b"], ["b", "a"]).passed


def double(first: float, again: float, *pids: int) -> Double:
    """Return an event that was handled twice."""
    return Double("sub", STREAM, "a", Handling(first, pids[0], 1), Handling(again, pids[1], 2))


@pytest.mark.parametrize(
    ("happening", "handled_twice", "cause"),
    [
        (Happening("", "", 10.0, 10.1, killed={1}), double(9.5, 13.0, 1, 2), "worker killed"),
        (Happening("", "", 10.0, 10.1, killed={1}), double(5.0, 13.0, 1, 2), None),  # acknowledged long before
        (Happening("", "", 10.0, 10.1, killed={1}), double(9.5, 13.0, 2, 1), None),  # another had handled it
        (Happening("", "", 10.0, 10.1, killed={1}), double(9.5, 9.9, 1, 2), None),  # again before the fault
        (Happening("", "", 10.0, 13.0, cut_off={1}), double(13.2, 12.5, 1, 2), "lease lost"),
        (Happening("", "", 10.0, 13.0, cut_off={1}), double(12.5, 13.2, 2, 1), "lease lost"),
        (Happening("", "", 10.0, 13.0, cut_off={1}), double(13.2, 45.0, 1, 2), "lease lost"),  # one after the other
        (Happening("", "", 10.0, 13.0, cut_off={1}), double(12.5, 45.0, 2, 1), None),
        (Happening("", "", 10.0, 13.0, cut_off={3}), double(12.5, 13.2, 2, 1), None),
        (Happening("", "", 10.0, 10.5, rolled_back=True), double(9.9, 12.0, 1, 2), "server rolled back"),
        (Happening("", "", 10.0, 10.5, destroyed={("sub", STREAM)}), double(1.0, 11.0, 1, 2), "group destroyed"),
        (Happening("", "", 10.0, 10.5, destroyed={("sub", "other")}), double(1.0, 11.0, 1, 2), None),
        (Happening("", "", 10.0, 10.5, flushed=True), double(1.0, 11.0, 1, 2), "store flushed"),
        (Happening("", "", 10.0, 10.5), double(9.9, 11.0, 1, 2), None),
    ],
)
def test_a_fault_explains_only_what_it_can_have_caused(
    happening: Happening, handled_twice: Double, cause: str | None
) -> None:
    """A double has a cause only where the right process was hit at the right moment."""
    assert Explainer([happening])(handled_twice) == cause


@pytest.mark.parametrize(("handled_at", "cause"), [(6.5, "worker killed"), (4.5, None)])
def test_while_the_store_was_away_nothing_could_be_acknowledged(handled_at: float, cause: str | None) -> None:
    """A killed worker may have handled an event as much longer before as another fault kept it from saying so."""
    away, killed = Happening("take the server away", "", 7.0, 9.0, whole=0.5), Happening("", "", 10.0, 10.1, killed={1})
    assert Explainer([away, killed])(double(handled_at, 13.0, 1, 2)) == cause


def test_a_group_that_begins_again_brings_an_event_once() -> None:
    """A group that was destroyed explains one double of an event, and no second."""
    explain = Explainer([Happening("", "", 10.0, 10.5, destroyed={("sub", STREAM)})])
    assert explain(double(1.0, 11.0, 1, 2)) == "group destroyed"
    assert explain(double(1.0, 12.0, 1, 2)) is None


async def test_a_look_that_finds_all_settled_has_every_dead_letter(real_store: Store, server_url: str) -> None:
    """An event that moves while the store is read is unfinished or dead in what was read: never nowhere."""
    client, keys = real_store.client, real_store.keys
    inbox, due, dead = keys.inbox(STREAM, "sub"), keys.due(STREAM, "sub"), keys.dead(STREAM, "sub")
    await client.xgroup_create(keys.events(STREAM), "sub", "$", mkstream=True)

    async def move_to(place: str) -> None:
        async with client.pipeline(transaction=True) as step:
            step.delete(inbox, due, dead)
            if place == due:
                step.zadd(due, {"d": 1})
            else:
                step.xadd(place, {"id": "d"})
            await step.execute()

    async def live_and_die() -> None:
        for place in (due, inbox, due, inbox, dead):
            await move_to(place)

    for _ in range(50):
        await move_to(inbox)
        life = asyncio.create_task(live_and_die())
        while not life.done():
            found = await look(server_url, [STREAM], ["sub"], prefix=keys.prefix)
            assert not found.settled or found.dead["sub"]
        await life


def test_half_a_line_spoils_no_other(tmp_path: Path) -> None:
    """What a killed process wrote by half is passed over; what others write after it is read, and so on from there."""
    ledger = Ledger(tmp_path, ["sub"])
    Writer(tmp_path, "sub").note([("a", 1)])
    with (tmp_path / "sub.jsonl").open("ab") as file:
        file.write(b'\n["b", 1.0, 7')
    ledger.refresh()
    assert set(ledger.handled["sub"]) == {"a"}
    Writer(tmp_path, "sub").note([("c", 1), ("d", 2)])
    ledger.refresh()
    assert set(ledger.handled["sub"]) == {"a", "c", "d"}
    assert ledger.last_handled("sub", os.getpid()) == ledger.handled["sub"]["d"][0].at > 0


def test_a_seed_makes_the_same_faults_again() -> None:
    """The schedule depends on nothing but the seed, and makes every kind of fault before it makes one twice."""
    first, again = ([(name, random.random(), calm) for name, random, calm in islice(schedule(7), 60)] for _ in "12")
    assert first == again
    assert {name for name, _, _ in first[: len(FAULTS)]} == set(FAULTS)


def test_some_events_fail_and_some_die() -> None:
    """The fates of the ids are neither all the same nor too rare for a short run."""
    ids = [f"1-{number}-7" for number in range(1000)]
    assert {failures(id_) for id_ in ids} == {0, 1, 2}
    assert 20 < sum(map(dies, ids)) < 100


async def test_a_process_that_ends_by_itself_is_a_surprise(tmp_path: Path) -> None:
    """One that was killed on purpose is started again without a word; one that just ends is told of."""
    command = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")
    member = Member("sleeper", command, lambda: dict(os.environ), tmp_path)
    await member.start()
    await member.replace(signal.SIGKILL)
    assert len(member.pids) == 2
    assert not member.surprises
    member.signal(signal.SIGKILL)
    await eventually(lambda: len(member.pids) == 3)
    assert "ended by itself" in member.surprises[0]
    await member.take_down(signal.SIGTERM)  # which it must answer with exit code 0, and does not
    assert len(member.surprises) == 2
    await member.end()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Yield a proxy to a server that answers each line with the same in capitals."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            heard.append(line)
            writer.write(line.upper())
        await close(writer)

    heard: list[bytes] = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, Proxy(*server.sockets[0].getsockname()) as proxy:
        proxy.heard = heard  # type: ignore[attr-defined]
        yield proxy


async def ask(proxy: Proxy, line: bytes = b"hello\n") -> bytes:
    """Return the answer to a line, on a connection of its own; empty where it was closed instead."""
    reader, writer = await asyncio.open_connection(*proxy.address)
    writer.write(line)
    try:
        return await reader.readline()
    except ConnectionResetError:
        return b""
    finally:
        await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection for good, reset or not."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_the_proxy_passes_on(proxy: Proxy) -> None:
    """Left alone it is not noticed, whatever it did before."""
    assert await ask(proxy) == b"HELLO\n"
    proxy.lose_replies()
    proxy.hold()
    await proxy.refuse()
    proxy.heal()
    assert await ask(proxy) == b"HELLO\n"


async def test_the_proxy_refuses(proxy: Proxy) -> None:
    """Nobody gets in, and those inside are cut."""
    reader, writer = await asyncio.open_connection(*proxy.address)
    writer.write(b"hello\n")
    await reader.readline()
    await proxy.refuse()
    with pytest.raises(ConnectionError):
        await reader.readexactly(1)
    with pytest.raises(ConnectionRefusedError):
        await ask(proxy)
    await close(writer)


async def test_the_proxy_refuses_those_who_are_just_coming(proxy: Proxy) -> None:
    """A connection that is accepted in the moment of refusing is cut too, and keeps nobody waiting."""

    async def call() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(*proxy.address)
                with contextlib.suppress(OSError):
                    await reader.read()  # for as long as the connection is there
                await close(writer)
            await asyncio.sleep(0)

    over = asyncio.Event()
    callers = [asyncio.create_task(call()) for _ in range(20)]
    for number in range(100):
        for _ in range(number % 10):  # at another moment of the callers' each time
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await proxy.refuse()
        proxy.heal()
    over.set()
    async with asyncio.timeout(30):
        await proxy.refuse()
        await asyncio.gather(*callers)


async def test_the_proxy_loses_replies(proxy: Proxy) -> None:
    """The server hears the request, and the client is cut instead of hearing the answer."""
    proxy.lose_replies()
    assert await ask(proxy, b"lost\n") == b""
    assert proxy.heard == [b"lost\n"]  # type: ignore[attr-defined]


async def test_the_proxy_holds_and_delays(proxy: Proxy) -> None:
    """A black hole brings nothing until it is gone, and then everything; a delay brings it later."""
    proxy.hold()
    asking = asyncio.create_task(ask(proxy))
    done, _ = await asyncio.wait([asking], timeout=0.1)
    assert not done
    proxy.heal()
    assert await asking == b"HELLO\n"
    proxy.delay = 0.05
    before = asyncio.get_running_loop().time()
    assert await ask(proxy) == b"HELLO\n"
    assert asyncio.get_running_loop().time() - before >= 0.1


def test_the_report_tells_the_seed_the_faults_and_the_wrongs(tmp_path: Path) -> None:
    """What a run found is there for readers, and whole for programs."""
    happening = Happening("kill a worker", "worker-1", 1.0, 1.5, killed={7}, recovered=0.25, whole=1.0)
    outcome = Outcome(
        "random faults", 42, 9.0, [happening], Verdict(lost={"sub": ["a"]}), {"202": 3}, ["worker-1 hung"]
    )
    text = "\n".join(lines(outcome))
    assert all(word in text for word in ("FAILED", "42", "lost by sub: 1", "worker-1 hung", "0.25"))
    assert figures(outcome)["happenings"][0]["recovered"] == 0.25
    write(tmp_path / "report.json", [outcome])
    assert '"passed": false' in (tmp_path / "report.json").read_text()
