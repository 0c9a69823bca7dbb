"""Incidents on each kind of store: each begins once and ends once, and leaves a notice of both."""

import asyncio
from dataclasses import replace

import pytest
from support.stores import fake_store

from router.store.client import Store
from router.store.watched.incidents import MOST
from workers.incidents import Incident, Incidents, Muted, notice_of

SILENCE = Incident("silence", "p/7", 1000, "Nothing came from p/7.", "Look at its webhooks.", "event-router doctor")
NOW = 5000


@pytest.fixture
def incidents(store: Store) -> Incidents:
    """Return the incidents at a time that stands."""
    return Incidents(store, lambda: NOW / 1000)


async def test_an_incident_is_said_once_when_it_begins_and_once_when_it_ends(incidents: Incidents) -> None:
    """However often it is opened or ended, there are two notices; the second says when it was over."""
    assert [await incidents.open(SILENCE) for _ in range(3)] == [True, False, False]
    assert await incidents.listed() == [SILENCE]
    assert [await incidents.end("silence", "p/7", over=4000) for _ in range(2)] == [True, False]
    assert await incidents.listed() == []
    assert await incidents.notices() == [replace(SILENCE, over=4000), SILENCE]


async def test_of_many_workers_one_says_it(store: Store) -> None:
    """Workers that see the same at the same moment leave one notice of it."""
    workers = [Incidents(store) for _ in range(8)]
    assert sum(await asyncio.gather(*(worker.open(SILENCE) for worker in workers))) == 1
    assert sum(await asyncio.gather(*(worker.end("silence", "p/7") for worker in workers))) == 1
    assert len(await workers[0].notices()) == 2


async def test_what_is_known_of_an_incident_is_kept_up_to_date(incidents: Incidents) -> None:
    """One that lasts gets the texts of the last that saw it, without a notice."""
    await incidents.open(SILENCE)
    later = replace(SILENCE, what="Nothing came from p/7, for the second day.")
    assert not await incidents.open(later)
    assert await incidents.listed() == [later]
    assert await incidents.notices() == [SILENCE]


async def test_other_incidents_are_left_alone(incidents: Incidents) -> None:
    """Kind and subject together name an incident."""
    others = [replace(SILENCE, kind="refused"), replace(SILENCE, subject="p"), replace(SILENCE, subject="p/7/x")]
    for incident in (SILENCE, *others):
        assert await incidents.open(incident)
    assert await incidents.end("silence", "p/7")
    assert len(await incidents.listed()) == len(others)


async def test_what_is_muted_is_not_said(incidents: Incidents) -> None:
    """An incident that is muted ends without a notice, and is not opened until it is unmuted."""
    await incidents.open(SILENCE)
    assert [await incidents.mute("silence", "p/7") for _ in range(2)] == [True, False]
    assert await incidents.muted() == [Muted("silence", "p/7", 0)]
    assert not await incidents.open(SILENCE)
    assert await incidents.listed() == []
    assert [await incidents.unmute("silence", "p/7") for _ in range(2)] == [True, False]
    assert await incidents.open(SILENCE)
    assert len(await incidents.notices()) == 2


async def test_a_mute_ends_in_time(store: Store) -> None:
    """What was muted until a time is opened from then on, and is not listed as muted any more."""
    await Incidents(store, lambda: 1.0).mute("silence", "p/7", until=2000)
    assert not await Incidents(store, lambda: 1.999).open(SILENCE)
    assert await Incidents(store, lambda: 1.999).muted() == [Muted("silence", "p/7", 2000)]
    assert await Incidents(store, lambda: 2.0).muted() == []
    assert await Incidents(store, lambda: 2.0).open(SILENCE)


async def test_a_kind_is_bounded() -> None:
    """Of one kind so many last, and as many are muted; what is more is left out, and another kind still has room."""
    async with fake_store() as store:
        incidents = Incidents(store)
        opened = [
            await incidents.open(replace(SILENCE, kind="drift", subject=str(number))) for number in range(MOST + 1)
        ]
        assert opened == [*[True] * MOST, False]
        assert await incidents.open(SILENCE)
        for number in range(MOST):
            await incidents.mute("drift", str(number))
        with pytest.raises(ValueError, match="unmute some"):
            await incidents.mute("drift", "one more")


async def test_texts_are_bounded_and_any_text_is_kept() -> None:
    """What a sender chose may be long, or hold what UTF-8 cannot: it is cut or replaced, and ends as it began."""
    async with fake_store() as store:
        incidents = Incidents(store)
        await incidents.open(replace(SILENCE, subject="x" * 10_000, what="\udc80" * 10_000))
        (found,) = await incidents.listed()
        assert (len(found.subject), len(found.what)) == (200, 600)
        assert await incidents.end("silence", "x" * 10_000)
        await incidents.open(replace(SILENCE, subject="\udc80"))
        assert await incidents.end("silence", "\udc80")


@pytest.mark.parametrize("kind", ["", "a/b", "Silence", "x" * 40])
async def test_a_kind_is_a_word(kind: str) -> None:
    """Another would be taken for a part of the subject."""
    async with fake_store() as store:
        with pytest.raises(ValueError, match="kind of incident"):
            await Incidents(store).open(replace(SILENCE, kind=kind))


async def test_what_others_wrote_hides_nothing() -> None:
    """Rubbish in the hash or among the notices, or keys of another type, leave the rest as it was."""
    async with fake_store() as store:
        incidents = Incidents(store)
        await incidents.open(SILENCE)
        for text in (b"{", b"[]", b"{}", b'{"since": "x"}', b"\xff"):
            await store.command("HSET", store.keys.incidents(), b"rubbish" + text, text)
            await store.command("XADD", store.keys.notices(), "*", "incident", text, "over", "soon")
        await store.command("HSET", store.keys.muted(), b"\xff", "x")
        assert await incidents.listed() == [SILENCE]
        assert await incidents.notices() == [SILENCE]
        assert [mute.until for mute in await incidents.muted()] == [0]
        assert notice_of({b"x": b"y"}) is None
        for key in (store.keys.incidents(), store.keys.notices(), store.keys.muted()):
            await store.command("DEL", key)
            await store.command("SET", key, "x")
        assert (await incidents.listed(), await incidents.notices(), await incidents.muted()) == ([], [], [])
