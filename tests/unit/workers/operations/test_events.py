"""Looking into what was received."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.filling import CUSTOMERS, FINANCIAL, put_events, raw_of

from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreUnavailable
from workers.operations.events import SEARCHED, Browser, EventFilter

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
VOUCHERS = "visma-net-journal-transaction"


@pytest.fixture
def browser(store: Store, catalogue: Catalogue) -> Browser:
    """Return a browser of the store."""
    return Browser(store, catalogue)


async def _ids(browser: Browser, *streams: str, **wanted: Any) -> list[str | None]:
    found = browser.newest(streams or (CUSTOMERS, SUPPLIERS), EventFilter(**wanted))
    return [stored.event.id if stored.event else None async for stored in found]


async def test_newest(store: Store, browser: Browser) -> None:
    """Events of several streams come newest first."""
    await put_events(store, "a")
    await put_events(store, "b", stream=SUPPLIERS)
    await put_events(store, "c")
    assert sorted(await _ids(browser)) == ["a", "b", "c"]
    assert await _ids(browser, CUSTOMERS) == ["c", "a"]


async def test_filter(store: Store, browser: Browser) -> None:
    """The resource is a glob, the company exact."""
    await put_events(store, "a", resource="customer/1", company=7)
    await put_events(store, "b", resource="customer/2", company=7)
    await put_events(store, "c", resource="customer/2", company=8)
    assert await _ids(browser, resource="customer/2") == ["c", "b"]
    assert await _ids(browser, resource="customer/*", company="7") == ["b", "a"]
    assert await _ids(browser, company="7", resource="supplier/*") == []


async def test_since_until(store: Store, browser: Browser) -> None:
    """The time is that of storing, both ends included."""
    for number in (1, 2, 3):
        fields = {"id": str(number), "at": 0, "raw": raw_of(str(number))}
        await store.client.xadd(store.keys.events(CUSTOMERS), fields, id=f"{number}000-0")
    moment = datetime.fromtimestamp(2, UTC)
    assert await _ids(browser, since=moment) == ["3", "2"]
    assert await _ids(browser, until=moment) == ["2", "1"]
    assert await _ids(browser, since=moment + timedelta(seconds=5)) == []


@pytest.mark.parametrize(
    "fields",
    [{"x": "y"}, {"id": "a", "raw": "[]"}, {"id": b"\xff", "raw": "{}"}, {"id": "a", "raw": "{}", "at": "9" * 30}],
)
async def test_unreadable(store: Store, browser: Browser, fields: dict[str, Any]) -> None:
    """An entry that somebody wrote by hand is shown as one without an event, unless the event matters."""
    await store.client.xadd(store.keys.events(CUSTOMERS), fields)
    assert await _ids(browser) == [None]
    assert await _ids(browser, resource="*") == []
    assert await _ids(browser, company="7") == []


async def test_find(store: Store, browser: Browser) -> None:
    """An event is found by its id, whatever its stream and the case of the id."""
    await put_events(store, *(f"e{number}" for number in range(30)))
    (entry_id,) = await put_events(store, "wanted", stream=SUPPLIERS)
    found = await browser.find(" WANTED ")
    assert found is not None
    assert (found.entry_id, found.stream) == (entry_id, SUPPLIERS)
    assert found.event is not None
    assert found.event.id == "wanted"
    assert await browser.find("unknown") is None


async def test_find_the_newest(store: Store, browser: Browser) -> None:
    """Of two events with one id the newer is found."""
    key, other = store.keys.events(CUSTOMERS), store.keys.events(SUPPLIERS)
    for stream, where, entry_id in ((CUSTOMERS, key, "9-0"), (SUPPLIERS, other, "10-0")):
        await store.client.xadd(where, {"id": "a", "at": 1, "raw": raw_of("a", stream)}, id=entry_id)
        await store.client.set(store.keys.seen(stream, "a"), entry_id)
    found = await browser.find("a")
    assert found is not None
    assert found.stream == SUPPLIERS


async def test_find_without_marker(store: Store, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the deduplication window is over, the newest events are searched, and no more than a bound."""
    await put_events(store, "old")
    await put_events(store, *(f"e{number}" for number in range(20)))
    await store.client.delete(store.keys.seen(CUSTOMERS, "old"))
    found = await browser.find("old")
    assert found is not None
    assert found.event is not None
    monkeypatch.setattr("workers.operations.events.SEARCHED", 20)
    assert await browser.find("old") is None
    assert SEARCHED >= 10_000


async def test_find_any_bytes(browser: Browser) -> None:
    """An id that is no text, as an argument of a command may be, is the id of no event."""
    assert await browser.find("caf\udce9") is None


async def test_find_trimmed(store: Store, browser: Browser) -> None:
    """A marker whose entry is not there any more finds nothing."""
    await put_events(store, "a")
    await store.client.delete(store.keys.events(CUSTOMERS))
    assert await browser.find("a") is None


async def test_store_away(store: Store, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away is an error, never an empty list."""

    async def away(commands: Any) -> list[Any]:
        return [ConnectionError("refused")] * len(commands)

    monkeypatch.setattr(store, "commands", away)
    with pytest.raises(StoreUnavailable):
        await _ids(browser)
    with pytest.raises(StoreUnavailable):
        await browser.find("a")
