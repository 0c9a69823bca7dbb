"""The watcher, in virtual time: what it says, and that it says it once."""

import asyncio
from contextlib import suppress
from unittest.mock import AsyncMock

import pytest
from support.filling import put_group
from support.silence import SilenceBench
from support.waiting import eventually

from config.settings import Settings
from config.silence import SilenceSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreUnavailable
from workers.incidents import Incident
from workers.operations.pauses import pause
from workers.silence.watcher import Watcher

P = "visma-net-financial"
C = f"{P}/7"
HOUR = 3600.0


async def test_a_fixed_age(bench: SilenceBench) -> None:
    """Once nothing came for the time set, it is said; once something comes, that it is over, and since when."""
    watcher = bench.watcher(after="2h", companies="off")
    await bench.pass_time(HOUR, watcher, sends={C: 600})
    came = bench.now
    await bench.pass_time(1.9 * HOUR, watcher)
    assert await bench.named() == []
    await bench.pass_time(0.3 * HOUR, watcher)
    (incident,) = await bench.incidents.listed()
    assert (incident.kind, incident.subject, incident.since) == ("silence", P, int(came * 1000))
    assert "2026-01-12 01:00 UTC, which is longer than 2 h" in incident.what
    await bench.pass_time(5 * HOUR, watcher)
    bench.came(C)
    came = bench.now
    await bench.pass_time(60, watcher)
    assert await bench.said() == [("silence", P, False), ("silence", P, True)]
    assert (await bench.notices())[0].over == int(came * 1000)


async def test_a_short_age(bench: SilenceBench) -> None:
    """A time of less than an hour is kept to some minutes, for a publisher that was never seen before, too."""
    watcher = bench.watcher(after="20m", companies="off")
    await bench.pass_time(1800, watcher, every=300)
    bench.came(C)
    await bench.pass_time(1140, watcher, every=60)
    assert await bench.named() == []
    await bench.pass_time(420, watcher, every=60)
    assert await bench.named() == [("silence", P)]


async def test_a_publisher_that_never_sent(bench: SilenceBench) -> None:
    """Where an ingress has its secret, and a time is set, it is said once that nothing came yet; restarts or not."""
    bench.ready = {P, "business-nxt"}
    settings = {"after": "2h", "companies": "off", "own": {"business-nxt": "off", C: "3h", "elsewhere": "1h"}}
    for hours in (1, 0.9):
        await bench.pass_time(hours * HOUR, watcher := bench.watcher(**settings))
        await watcher.__aexit__()
    assert await bench.named() == []
    await bench.pass_time(0.8 * HOUR, watcher := bench.watcher(**settings))
    (incident,) = await bench.incidents.listed()
    assert (incident.kind, incident.subject) == ("silence", P)
    assert incident.what.startswith(f"Nothing has come from {P} yet, and it has been waited for since 2026-01-12 00:")
    assert "Register its webhook" in incident.do
    await bench.pass_time(2 * HOUR, watcher)
    assert await bench.said() == [("silence", P, False)]
    bench.came(C)
    await bench.pass_time(600, watcher)
    assert await bench.said() == [("silence", P, False), ("silence", P, True)]
    await bench.pass_time(2.4 * HOUR, watcher)
    (incident,) = await bench.incidents.listed()
    assert "yet" not in incident.what


async def test_a_publisher_that_nobody_waits_for(bench: SilenceBench) -> None:
    """Without a secret, or without a time, nothing is missed; nor of one whose secret is gone again."""
    watcher = bench.watcher(after="2h", companies="off", own={"business-nxt": "learnt"})
    bench.ready = {P, "business-nxt"}
    await bench.pass_time(HOUR, watcher)
    bench.ready = {"business-nxt"}
    await bench.pass_time(5 * HOUR, watcher)
    assert await bench.said() == []
    assert not await bench.store.command("HEXISTS", bench.store.keys.learnt(), P)


async def test_waiting_counts_while_an_ingress_listens(bench: SilenceBench) -> None:
    """A secret that is new within an hour counts from then on, and only the time in which an ingress listened."""
    watcher = bench.watcher(after="30m", companies="off")
    await bench.pass_time(0.8 * HOUR, watcher, every=300)
    bench.ready = {P}
    await bench.pass_time(1200, watcher, every=300)
    bench.sleep(5 * HOUR)
    bench.notes = bench.restarted()
    bench.notes._ready = lambda: bench.ready
    await bench.pass_time(120, watcher, every=60)
    assert await bench.named() == []
    await bench.pass_time(1200, watcher, every=300)
    assert await bench.named() == [("silence", P)]


async def test_other_settings_count_from_the_next_look(bench: SilenceBench) -> None:
    """A reload lets the watcher judge by other times, with all that it knew; the same settings change nothing."""
    watcher = bench.watcher(after="off", companies="off")
    await bench.pass_time(HOUR, watcher, sends={C: 600})
    await bench.pass_time(3 * HOUR, watcher)
    watcher.want(Settings(silence=SilenceSettings(after="off", companies="off")))
    await watcher.look()
    assert watcher.is_watching
    assert await bench.named() == []
    watcher.want(Settings(silence=SilenceSettings(after="2h", companies="off")))
    await bench.pass_time(HOUR, watcher)
    assert await bench.named() == [("silence", P)]


async def test_own_times(bench: SilenceBench) -> None:
    """A publisher or a company may have a time of its own, or none; a company is told of beside its publisher."""
    own = {C: "1h", f"{P}/8": "off"}
    watcher = bench.watcher(after="off", companies="3h", own=own)
    await bench.pass_time(HOUR, watcher, sends={C: 600, f"{P}/8": 600, f"{P}/9": 600})
    await bench.pass_time(1.5 * HOUR, watcher)
    assert await bench.named() == [("silence", C)]
    await bench.pass_time(3 * HOUR, watcher)
    assert await bench.named() == [("silence", C), ("silence", f"{P}/9")]


async def test_companies_of_a_silent_publisher_are_not_named(bench: SilenceBench) -> None:
    """Where nothing comes from a publisher at all, that is one incident and not one for each company."""
    watcher = bench.watcher(after="2h", companies="2h")
    await bench.pass_time(HOUR, watcher, sends={f"{P}/{number}": 600 for number in range(5)})
    await bench.pass_time(4 * HOUR, watcher)
    assert await bench.named() == [("silence", P)]


async def test_once_over_restarts_and_several_workers(bench: SilenceBench) -> None:
    """Workers that watch at once, come, and go with or without their lease, say each incident once."""
    watchers = [bench.watcher(after="2h", companies="off") for _ in range(3)]
    await bench.pass_time(HOUR, *watchers, sends={C: 600})
    for _ in range(4):
        await bench.pass_time(1.5 * HOUR, *watchers)
        watchers = [*watchers[1:], bench.watcher(after="2h", companies="off")]
        await bench.store.command("DEL", bench.store.keys.watching())
    bench.came(C)
    await bench.pass_time(HOUR, *watchers)
    assert await bench.said() == [("silence", P, False), ("silence", P, True)]


async def test_one_worker_watches(bench: SilenceBench) -> None:
    """While one has the lease others only ask for it; it is given up with the end of a worker."""
    first, second = bench.watcher(), bench.watcher()
    await bench.pass_time(600, first, second)
    assert (first.is_watching, second.is_watching) == (True, False)
    async with first:
        pass
    await bench.pass_time(60, second)
    assert second.is_watching


async def test_nobody_received(bench: SilenceBench) -> None:
    """Time in which no ingress listened counts for no silence; that nobody listens is said in its place."""
    watcher = bench.watcher(after="3h", companies="off")
    await bench.pass_time(HOUR, watcher, sends={C: 600})
    for _ in range(20):
        bench.sleep(HOUR)
        await watcher.look()
    assert await bench.named() == [("down", "ingress")]
    bench.notes = bench.restarted()
    await bench.pass_time(2 * HOUR, watcher)
    assert await bench.named() == []
    await bench.pass_time(2 * HOUR, watcher)
    assert await bench.named() == [("silence", P)]


async def test_the_store_was_away(bench: SilenceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came meanwhile, and was spooled, is noted when the store is back, before anything is judged."""
    watcher = bench.watcher(after="3h", companies="off")
    await bench.pass_time(HOUR, watcher, sends={C: 600})
    with monkeypatch.context() as patched:
        for name in ("call", "run", "commands", "command"):
            patched.setattr(bench.store, name, away)
        await bench.pass_time(6 * HOUR, watcher, sends={C: 600})
    await watcher.look()
    await bench.pass_time(HOUR, watcher)
    assert await bench.said() == []


async def away(*_: object, **__: object) -> None:
    """Fail as a store does that is away."""
    raise ConnectionError("away")


async def test_clocks_that_jump(bench: SilenceBench) -> None:
    """A clock that is set a day ahead, and back, makes no silence and stops no watcher."""
    watcher = bench.watcher(after="3h", companies="off")
    await bench.pass_time(2 * HOUR, watcher, sends={C: 600})
    for jump in (24 * HOUR, -29 * HOUR, 200 * HOUR, -300 * HOUR):
        bench.now += jump
        await bench.pass_time(HOUR, watcher, sends={C: 600})
        assert [name for name in await bench.said() if name[0] == "silence"] == []
    await bench.pass_time(5 * HOUR, watcher)
    assert ("silence", P) in await bench.named()


async def test_all_requests_are_refused(bench: SilenceBench) -> None:
    """That requests are refused and none is accepted is said, with the reason; and that one is accepted again."""
    watcher = bench.watcher(companies="off")
    await bench.pass_time(600, watcher, sends={C: 120})
    for _ in range(8):
        bench.refused(P)
        await bench.pass_time(180, watcher)
    (incident,) = await bench.incidents.listed()
    assert (incident.kind, incident.subject) == ("refused", P)
    assert "their signatures do not match" in incident.what
    bench.came(C)
    await bench.pass_time(60, watcher)
    assert await bench.said() == [("refused", P, False), ("refused", P, True)]


async def test_some_requests_are_refused(bench: SilenceBench) -> None:
    """Strangers that are refused beside requests that are accepted are no incident."""
    watcher = bench.watcher(companies="off")
    for _ in range(10):
        bench.refused(P)
        bench.came(C)
        await bench.pass_time(180, watcher)
    assert await bench.named() == []


async def test_a_stranger_ends_no_silence(bench: SilenceBench) -> None:
    """What is refused, and what came before already, does not count as come."""
    watcher = bench.watcher(after="2h", companies="off")
    await bench.pass_time(HOUR, watcher, sends={C: 600})
    await bench.pass_time(3 * HOUR, watcher)
    bench.traffic.came(P, ["7"], [False], int(bench.now * 1000))
    bench.refused(P)
    await bench.pass_time(HOUR, watcher)
    assert ("silence", P, True) not in await bench.said()


async def test_refusals_take_no_room(bench: SilenceBench) -> None:
    """However many requests are refused, the store holds one field of them for each publisher."""
    for number in range(1000):
        bench.refused(P, f"reason{number}")
    await bench.notes.note()
    assert await bench.store.command("HLEN", bench.store.keys.refusals()) == 1


async def test_a_company_that_has_left(bench: SilenceBench) -> None:
    """It is said once however long it lasts; muted, it is neither listed nor said any more."""
    watcher = bench.watcher(after="off", companies="3h")
    await bench.pass_time(HOUR, watcher, sends={C: 600})
    await bench.pass_time(12 * HOUR, watcher)
    assert await bench.said() == [("silence", C, False)]
    await bench.incidents.mute("silence", C)
    await bench.pass_time(2 * HOUR, watcher)
    assert (await bench.named(), await bench.said()) == ([], [("silence", C, False)])


async def test_a_forward_that_was_removed(bench: SilenceBench) -> None:
    """What is said of a receiver that is gone is over once its subscription is removed; not while that is there."""
    for name in ("removed", "paused", "resumed"):
        await bench.incidents.open(Incident("gone", name, int(bench.now * 1000), "It is.", "Ask.", "event-router"))
    await pause(bench.store, "paused", None, by="me")
    await put_group(bench.store, "resumed")
    watcher = bench.watcher(after="off", companies="off")
    await bench.pass_time(HOUR, watcher)
    assert await bench.named() == [("gone", "paused"), ("gone", "resumed")]
    assert (await bench.said())[-1] == ("gone", "removed", True)


async def test_a_flushed_store(bench: SilenceBench) -> None:
    """A store that forgot everything is begun anew: nothing is said of what is not known any more."""
    watcher = bench.watcher(after="2h", companies="off")
    await bench.pass_time(HOUR, watcher, sends={C: 600})
    await bench.pass_time(3 * HOUR, watcher)
    await bench.store.command("FLUSHDB")
    await bench.pass_time(HOUR, watcher, sends={C: 600})
    assert await bench.named() == []
    await bench.pass_time(3 * HOUR, watcher)
    assert await bench.named() == [("silence", P)]


async def test_what_is_erased_stays_erased(bench: SilenceBench) -> None:
    """A watcher that has lost its lease writes down nothing of what it knew; it reads what is left."""
    watcher = bench.watcher()
    await bench.pass_time(2 * HOUR, watcher, sends={C: 600, f"{P}/8": 600})
    keys = bench.store.keys
    assert await bench.store.command("HEXISTS", keys.learnt(), C)
    await bench.store.command("DEL", keys.watching())
    for name in (keys.learnt(), *(keys.traffic(int(bench.now // HOUR) - ago) for ago in range(4))):
        await bench.store.command("HDEL", name, C)
    await bench.pass_time(3 * HOUR, watcher, sends={f"{P}/8": 600})
    assert not await bench.store.command("HEXISTS", keys.learnt(), C)
    assert await bench.store.command("HEXISTS", keys.learnt(), f"{P}/8")


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ValueError("a fault of ours"), asyncio.CancelledError()])
async def test_it_keeps_no_lease_that_it_does_not_use(bench: SilenceBench, error: BaseException) -> None:
    """Whatever its last look came to, a watcher that ends leaves the lease to another at once."""
    watcher = bench.watcher()
    with pytest.MonkeyPatch.context() as patch, suppress(asyncio.CancelledError):
        patch.setattr(watcher, "_round", AsyncMock(side_effect=error))
        await watcher.look()
    assert await bench.store.command("EXISTS", bench.store.keys.watching())
    await watcher.__aexit__()
    assert not await bench.store.command("EXISTS", bench.store.keys.watching())


async def test_it_ends_within_its_context(bench: SilenceBench) -> None:
    """It looks in the background as long as its context is open."""
    watcher = bench.watcher(every=0.01)
    async with watcher:
        await eventually(lambda: watcher.is_watching)
    assert await bench.store.command("EXISTS", bench.store.keys.watching()) == 0


@pytest.mark.parametrize("spoilt", ["learnt", "incidents", "refusals", "spools"])
async def test_keys_of_another_type(bench: SilenceBench, spoilt: str) -> None:
    """A key that was edited manually stops no worker: the watcher goes on, or says that it cannot."""
    await bench.store.command("SET", getattr(bench.store.keys, spoilt)(), "x")
    watcher: Watcher = bench.watcher()
    await bench.pass_time(HOUR, watcher, sends={C: 600})


async def test_on_each_kind_of_store(store: Store, catalogue: Catalogue) -> None:
    """Silence and its end are said, and what was learnt is written down, on a server and on a Cluster as well."""
    bench = SilenceBench(store, catalogue)
    watcher = bench.watcher(after="2h", companies="learnt")
    await bench.pass_time(2 * HOUR, watcher, sends={C: 600})
    await bench.pass_time(2.5 * HOUR, watcher)
    assert await bench.named() == [("silence", P)]
    bench.came(C)
    await bench.pass_time(60, watcher, bench.watcher())
    assert await bench.said() == [("silence", P, False), ("silence", P, True)]
    assert await store.command("HLEN", store.keys.learnt()) == 3
