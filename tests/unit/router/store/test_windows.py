"""The deduplication windows of publishers, and what a window of 0 leaves of them."""

from pathlib import Path
from random import Random

import pytest
from support.spools import MemoryStore, append
from support.waiting import eventually

from config.errors import ConfigError
from config.settings import Settings
from config.sources import load_settings
from router.events.catalogue import Catalogue
from router.events.identify import Identified
from router.intake.drain import Drain
from router.intake.entry import entry_of
from router.intake.group_commit import Appender
from router.intake.spool import Spool
from router.intake.writer import Batch
from router.store.client import Store
from router.store.keys import Keys
from router.store.windows import Windows
from workers.operations.quarantine import Quarantine
from workers.operations.quarantined import QuarantineSelector

FINANCIAL = "visma-net-financial"
STREAM = f"{FINANCIAL}/customer_changed"
KEYS = Keys()
ITEM = Identified(STREAM, "n1", b"{}")


def test_each_publisher_has_its_window() -> None:
    """A publisher has the window that is set for it, however its slug is spelt; all others have the usual one."""
    settings = Settings(ingress={"dedup_window": 60}, dedup_windows={"Visma-Net-Financial": 5, "other": 0})
    windows = Windows.for_settings(settings)
    assert windows.of(KEYS.events(STREAM)) == windows.of(KEYS.quarantine(FINANCIAL)) == 5000
    assert windows.of(KEYS.events("another/created")) == 60_000
    assert (windows.repeats(FINANCIAL), windows.repeats("other"), windows.repeats("another")) == (False, True, False)
    assert windows.of(KEYS.events("other/created")) == 60_000  # our own second try must find its marker


def test_the_environment_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable for each publisher, as for secrets; what is no window, or of no publisher, is refused."""
    monkeypatch.setenv("ROUTER_DEDUP_WINDOWS__VISMA_NET_FINANCIAL", "0")
    assert Windows.for_settings(load_settings()).repeats(FINANCIAL)
    monkeypatch.setenv("ROUTER_DEDUP_WINDOWS__VISMA_NET_FINANCIAL", "-1")
    with pytest.raises(ConfigError, match="ROUTER_DEDUP_WINDOWS__VISMA_NET_FINANCIAL"):
        load_settings()
    with pytest.raises(ConfigError, match="dedup_windows: 'nobody' is no publisher"):
        Catalogue.for_settings(Settings(dedup_windows={"nobody": 0}))


async def test_our_own_second_try_is_not_stored(store: Store) -> None:
    """One webhook is stored once however often its append is tried; another that says the same is stored, too."""
    batch = Batch(store, window=Windows(60_000, {"visma_net_financial": 0}))
    first, second = (entry_of(store.keys, FINANCIAL, ITEM, 1, webhook=name) for name in ("w1", "w2"))
    assert [await batch.append([first]) for _ in range(3)] == [[True], [False], [False]]
    assert await batch.append([second, first]) == [True, False]
    ids = [fields[b"id"] for _, fields in await store.client.xrange(store.keys.events(STREAM))]
    assert ids == [b"n1", b"n1"]
    assert 0 < await store.client.pttl(first.marker) <= 60_000


async def test_the_spool_keeps_the_name_of_the_webhook(tmp_path: Path) -> None:
    """What was appended and not answered for is spooled, and found to be there when the spool is drained, twice too."""
    memory = MemoryStore()
    batch = Batch(memory, window=Windows(60_000, {"visma_net_financial": 0}))  # type: ignore[arg-type]
    spool = Spool.open(tmp_path, max_bytes=1_000_000)
    appender = Appender(batch, spool)
    memory.lost = True
    for webhook in ("w1", "w2"):
        assert await append(appender, [entry_of(KEYS, FINANCIAL, ITEM, 1, webhook=webhook)]) == [True]
    await eventually(lambda: spool.entries == 2)
    rows = await spool.oldest(10)
    memory.lost = False
    assert await batch.append([row.entry for row in rows]) == [False, True]
    assert await Drain(spool, batch, Random(1)).once()
    assert [marker.rpartition(":")[2] for marker in memory.appended] == ["n1#w1", "n1#w2"]
    await spool.close()


async def test_a_retry_of_the_quarantine_is_stored_once(store: Store, catalogue: Catalogue) -> None:
    """A body of such a publisher leaves the quarantine as one event, though a first try has ended half-way."""
    raw = b'{"event": "customer_changed", "notificationId": "n1"}'
    await store.client.xadd(store.keys.quarantine(FINANCIAL), {"id": "x", "at": 1, "reason": "r", "raw": raw})
    quarantine = Quarantine(store, catalogue)
    batch = Batch(store, window=Windows(60_000, {"visma_net_financial": 0}))
    (found,) = [item async for item in quarantine.newest(QuarantineSelector())]
    outcomes = [(await quarantine.retry([found], batch))[0].outcome for _ in range(2)]
    assert outcomes == ["stored", "duplicate"]
    assert await store.client.xlen(store.keys.events(STREAM)) == 1
