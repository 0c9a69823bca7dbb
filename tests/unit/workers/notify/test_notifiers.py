"""Rules of notifying: each notice is handed over, at most one twice, and whatever a notifier does blocks nothing."""

import asyncio
import time
from collections import Counter

import pytest
from support.notifying import FakeChannel, Notifying, incident, mail_settings, refusing
from support.stores import fake_store
from support.waiting import eventually

from router.store.client import Store
from workers.notify.message import Message
from workers.notify.pace import Pace
from workers.notify.sending import SendFailed
from workers.notify.state import read_states

DAY = 86_400_000


@pytest.fixture
def notifying(store: Store) -> Notifying:
    """Return notifiers over each kind of store."""
    return Notifying(store)


async def waiting(notifying: Notifying, name: str = "ops") -> int | None:
    """Return how many notices wait for a notifier."""
    [state] = await read_states(notifying.store, [mail_settings(name)])
    return state.waiting


async def test_each_notice_is_handed_over(notifying: Notifying) -> None:
    """One that begins and its end are both said, and nothing waits then."""
    channel = FakeChannel()
    async with notifying.running(channel):
        await notifying.incidents.open(incident("p/1"))
        await eventually(lambda: channel.titles == ["Began: silence of p/1"])
        await notifying.incidents.end("silence", "p/1")
        await eventually(lambda: channel.titles == ["Began: silence of p/1", "Over: silence of p/1"])
        await eventually(lambda: _none(notifying))
    assert notifying.count("messages", notifier="ops", outcome="sent") == 2
    assert notifying.count("notices", notifier="ops", how="reported") == 2
    [state] = await read_states(notifying.store, [mail_settings()])
    assert (state.state, state.error) == ("ok", "")


async def _none(notifying: Notifying, name: str = "ops") -> bool:
    return await waiting(notifying, name) == 0


async def test_each_notifier_gets_what_it_wants(notifying: Notifying) -> None:
    """Kinds are chosen by globs; what a notifier does not want is done for it without a message."""
    channels = {"all": FakeChannel(), "dead": FakeChannel()}
    settings = (mail_settings("all"), mail_settings("dead", incidents=["dead*"]))
    async with notifying.running(lambda one: channels[one.name], *settings):
        await notifying.incidents.open(incident("p/1"))
        await notifying.incidents.open(incident("p/2", "dead"))
        await eventually(lambda: channels["all"].subjects() == ["p/1", "p/2"])
        await eventually(lambda: channels["dead"].subjects() == ["p/2"])
        await eventually(lambda: _none(notifying, "dead"))


async def test_a_burst_is_folded_into_one_message() -> None:
    """What comes within `every` of the last message is said in one."""
    async with fake_store() as store:
        notifying, channel = Notifying(store), FakeChannel()
        async with notifying.running(channel, mail_settings(every=0.2)):
            await notifying.incidents.open(incident("first"))
            await eventually(lambda: len(channel.taken) == 1)
            for number in range(40):
                await notifying.incidents.open(incident(f"p/{number}"))
            await eventually(lambda: len(channel.taken) == 2)
        assert channel.titles == ["Began: silence of first", "Incidents: 40 began"]


async def test_one_that_is_down_is_tried_again_and_what_came_joins() -> None:
    """A message is tried until it is taken, with all that happened meanwhile in it; the store knows why it was not."""
    async with fake_store() as store:
        notifying, channel = Notifying(store), FakeChannel(refusing(5))
        async with notifying.running(channel):
            await notifying.incidents.open(incident("p/1"))
            await eventually(lambda: channel.tries)
            [state] = await read_states(store, [mail_settings()])
            assert (state.state, state.error) == ("failing", "down")
            await notifying.incidents.end("silence", "p/1")
            await notifying.incidents.open(incident("p/2"))
            await eventually(lambda: "p/2" in channel.subjects())
        assert notifying.count("messages", notifier="ops", outcome="failed") == 5
        assert channel.titles[-1].startswith(("Incidents", "Began"))


async def test_a_receiver_says_when_to_come_again() -> None:
    """Retry-After is kept to."""
    async with fake_store() as store:
        notifying, channel = Notifying(store), FakeChannel(refusing(1, retry_after=0.3))
        async with notifying.running(channel):
            began = time.monotonic()
            await notifying.incidents.open(incident("p/1"))
            await eventually(lambda: channel.taken)
        assert time.monotonic() - began >= 0.3


async def test_a_message_that_is_refused_is_sent_without_the_texts_of_incidents() -> None:
    """A receiver that does not take what an incident says hears that there is one, and of all that come after it."""

    def answer(message: Message) -> None:
        if any("poison" in item.incident.subject for item in message.items):
            raise SendFailed("400", refused=True)

    async with fake_store() as store:
        notifying, channel = Notifying(store), FakeChannel(answer)
        async with notifying.running(channel):
            await notifying.incidents.open(incident("poison"))
            await eventually(lambda: channel.taken)
            await notifying.incidents.open(incident("p/1"))
            await eventually(lambda: channel.subjects() == ["p/1"])
        assert channel.taken[0].items == ()
        assert channel.taken[0].notes == ("1 more. What lasts is listed by: event-router incidents list",)
        assert len(channel.tries) == 4


async def test_an_error_of_ours_holds_up_nothing() -> None:
    """Whatever sending raises is a failure like others."""
    errors = [RuntimeError("ours"), UnicodeEncodeError("utf-8", "x", 0, 1, "bad")]

    def answer(_message: Message) -> None:
        if errors:
            raise errors.pop()

    async with fake_store() as store:
        notifying, channel = Notifying(store), FakeChannel(answer)
        async with notifying.running(channel):
            await notifying.incidents.open(incident("p/1"))
            await eventually(lambda: channel.taken)


async def test_a_dead_notifier_blocks_no_other_and_no_stop() -> None:
    """One that hangs for ever keeps nothing from the others, nor a process from its end; its notices wait."""
    async with fake_store() as store:
        notifying = Notifying(store)
        hanging, fine = FakeChannel(lambda _message: asyncio.Event().wait()), FakeChannel()
        channels = {"dead": hanging, "ops": fine}
        async with notifying.running(lambda one: channels[one.name], *map(mail_settings, channels)):
            for number in range(3):
                await notifying.incidents.open(incident(f"p/{number}"))
            await eventually(lambda: len(fine.subjects()) == 3)
            await eventually(lambda: hanging.tries)
            began = time.monotonic()
        assert time.monotonic() - began < 1.0
        assert (await waiting(notifying, "dead"), await waiting(notifying)) == (3, 0)


async def test_of_many_processes_one_notifies(notifying: Notifying) -> None:
    """However many processes have a notifier, each notice is said once; when one ends another goes on at once."""
    channel = FakeChannel()
    async with notifying.running(channel), notifying.running(channel):
        async with notifying.running(channel):
            for number in range(20):
                await notifying.incidents.open(incident(f"p/{number}"))
        for number in range(20, 40):
            await notifying.incidents.open(incident(f"p/{number}"))
        await eventually(lambda: _none(notifying))
    counted = sum(len(message.items) + message.more for message in channel.taken)
    assert counted == 40
    assert set(Counter(channel.subjects()).values()) == {1}


async def test_a_process_that_dies_loses_nothing_and_doubles_one_message(notifying: Notifying) -> None:
    """What was read and not noted as done is said by the next process, under the id that the message had.

    What came after that is said by a message of its own: joined to the other it would give that another id.
    """
    dying, channel = FakeChannel(), FakeChannel()
    async with notifying.running(FakeChannel()):
        pass
    notifier = notifying.notifiers(dying)._make(mail_settings())
    notifier._done = _dead  # type: ignore[method-assign]
    task = asyncio.create_task(notifier.run())
    await notifying.incidents.open(incident("p/1"))
    await eventually(lambda: dying.taken)
    task.cancel()
    await asyncio.wait([task])
    await notifying.incidents.open(incident("p/2"))
    async with notifying.running(channel):
        await eventually(lambda: channel.subjects() == ["p/1", "p/2"])
        await eventually(lambda: _none(notifying))
    assert (dying.taken[0].items, dying.taken[0].id) == (channel.taken[0].items, channel.taken[0].id)


async def _dead(_notices: object) -> None:
    """Stand for a process that was killed before it could note anything."""


async def test_a_store_that_does_not_take_the_note_makes_no_second_message() -> None:
    """A message that was taken is not sent again by the process that sent it, though the store was away then."""
    async with fake_store() as store:
        notifying, channel = Notifying(store), FakeChannel()
        notifiers = notifying.notifiers(channel)
        async with notifiers:
            notifier = notifiers._running["ops"].notifier
            done, failures = notifier._done, [ConnectionError("away"), ConnectionError("away")]

            async def failing(notices: object) -> None:
                if failures and notifier._sent:
                    raise failures.pop()
                await done(notices)  # type: ignore[arg-type]

            notifier._done = failing  # type: ignore[method-assign, assignment]
            await eventually(lambda: notifying._groups(1))
            await notifying.incidents.open(incident("p/1"))
            await eventually(lambda: not failures)
            await eventually(lambda: _none(notifying))
        assert len(channel.taken) == 1


async def test_what_is_too_old_is_summed_up() -> None:
    """Notices that waited for longer than a day are said in a sum, once the notifier can."""
    now = [time.time()]
    async with fake_store() as store:
        notifying, channel = Notifying(store, lambda: now[0]), FakeChannel()
        async with notifying.running(FakeChannel()):
            pass
        for number in range(3):
            await notifying.incidents.open(incident(f"old/{number}"))
        now[0] += 2 * DAY / 1000
        async with notifying.running(channel):
            await eventually(lambda: notifying.count("notices", notifier="ops", how="late") == 3)
        # The process before may have read one of them while it ended: that one has a message of its own.
        assert all(title.endswith(" reported late") for title in channel.titles)


async def test_what_was_trimmed_before_it_was_said_is_counted(notifying: Notifying) -> None:
    """The stream stays bounded whatever a notifier does; what it lost of that it counts, and goes on."""
    hanging, channel = FakeChannel(lambda _message: asyncio.Event().wait()), FakeChannel()
    async with notifying.running(hanging):
        await notifying.incidents.open(incident("p/1"))
        await eventually(lambda: hanging.tries)
    await notifying.store.command("XTRIM", notifying.store.keys.notices(), "MAXLEN", 0)
    async with notifying.running(channel):
        await notifying.incidents.open(incident("p/2"))
        await eventually(lambda: channel.subjects() == ["p/2"])
        await eventually(lambda: _none(notifying))
    assert notifying.count("notices", notifier="ops", how="lost") == 1


async def test_a_group_that_is_gone_is_made_again() -> None:
    """After a flush of the store notices are said again, from the last hour on."""
    async with fake_store() as store:
        notifying, channel = Notifying(store), FakeChannel()
        async with notifying.running(channel, pace=Pace(lease=0.3, block=0.05, gather=0.0)):
            await store.command("FLUSHALL")
            await notifying.incidents.open(incident("p/1"))
            await eventually(lambda: channel.subjects() == ["p/1"])


async def test_a_new_notifier_begins_with_the_last_hour() -> None:
    """What began shortly before a notifier was set is said; what is older is not."""
    async with fake_store() as store:
        notifying, channel = Notifying(store), FakeChannel()
        old = int(time.time() * 1000) - 2 * 3_600_000
        text = b'{"kind":"silence","subject":"old","what":"","do":"","command":"","since":1}'
        await store.command("XADD", store.keys.notices(), f"{old}-0", "incident", text)
        await notifying.incidents.open(incident("p/1"))
        async with notifying.running(channel):
            await eventually(lambda: channel.subjects() == ["p/1"])


async def test_what_somebody_else_wrote_is_left_out(notifying: Notifying) -> None:
    """An entry that is no notice holds up none."""
    channel = FakeChannel()
    async with notifying.running(channel):
        await notifying.store.command("XADD", notifying.store.keys.notices(), "*", "what", "ever")
        await notifying.incidents.open(incident("p/1"))
        await eventually(lambda: channel.subjects() == ["p/1"])
        await eventually(lambda: _none(notifying))


async def test_one_that_is_in_no_settings_any_more_is_removed(notifying: Notifying) -> None:
    """Its group goes after a day in which no process had it; one that another process has stays."""
    now = [time.time()]
    ours = Notifying(notifying.store, lambda: now[0])
    async with ours.running(FakeChannel(), mail_settings("old"), mail_settings("ops")):
        await eventually(lambda: ours.store.command("EXISTS", ours.store.keys.notifiers()))
    other = ours.notifiers(FakeChannel(), mail_settings("ops"))
    assert await other.tidy() == []
    now[0] += 90_000
    elsewhere = ours.notifiers(FakeChannel(), mail_settings("elsewhere"))
    assert await elsewhere.tidy() == ["old", "ops"]
    assert await other.tidy() == []
    groups = await ours.store.command("XINFO", "GROUPS", ours.store.keys.notices())
    assert groups == []


async def test_notifiers_become_what_the_settings_say() -> None:
    """One that failed goes on with its new address and what waited, one that is new begins, one that is out ends.

    The one that did not change notices nothing.
    """
    async with fake_store() as store:
        notifying = Notifying(store)
        channels = {name: FakeChannel() for name in ("kept.example", "new.example", "begun.example")}
        failing = channels["old.example"] = FakeChannel(refusing(1_000_000))
        before = [mail_settings("kept", host="kept.example"), mail_settings("ops", host="old.example")]
        async with notifying.running(lambda one: channels[one.host], *before) as notifiers:
            kept = notifiers._running["kept"].task
            await notifying.incidents.open(incident("p/1"))
            await eventually(lambda: len(failing.tries) > 1 and channels["kept.example"].taken)
            after = [before[0], mail_settings("ops", host="new.example"), mail_settings("begun", host="begun.example")]
            notifiers.want(after)
            await eventually(lambda: channels["new.example"].subjects() == ["p/1"])
            await eventually(lambda: channels["begun.example"].subjects() == ["p/1"])
            notifiers.want(before[:1])
            await eventually(lambda: set(notifiers._running) == {"kept"})
            await notifying.incidents.open(incident("p/2"))
            await eventually(lambda: channels["kept.example"].subjects() == ["p/1", "p/2"])
            assert notifiers._running["kept"].task is kept
            assert [channels[name].subjects() for name in ("new.example", "begun.example")] == [["p/1"], ["p/1"]]
        assert kept.done()


async def test_an_unknown_group_is_given_a_day() -> None:
    """A group that nobody is known to want is not removed at once: its note may have been lost."""
    now = [time.time()]
    async with fake_store() as store:
        ours = Notifying(store, lambda: now[0])
        async with ours.running(FakeChannel(), mail_settings("old")):
            pass
        await store.command("DEL", store.keys.notifiers())
        other = ours.notifiers(FakeChannel(), mail_settings("ops"))
        assert await other.tidy() == []
        now[0] += 90_000
        assert await other.tidy() == ["old"]


@pytest.mark.real
async def test_idle_notifiers_ask_little(real_store: Store) -> None:
    """Without a notice a notifier waits in reads that block, and renews its lease."""
    store = real_store
    notifying = Notifying(store)
    asked = []
    command, call = store.command, store.call

    async def counted(*parts: object, **options: object) -> object:
        asked.append(parts[0])
        return await command(*parts, **options)

    store.command = counted  # type: ignore[method-assign]
    store.call = lambda what: (asked.append(what.script.name), call(what))[1]  # type: ignore[method-assign, func-returns-value]
    async with notifying.running(FakeChannel(), pace=Pace(block=30.0)):
        await eventually(lambda: "XREADGROUP" in asked)
        asked.clear()
        for _ in range(200):
            await asyncio.sleep(0)
    assert len(asked) <= 3
