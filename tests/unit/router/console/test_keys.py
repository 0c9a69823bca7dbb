"""The keys of a keyed subscription in the console."""

from collections.abc import AsyncIterator

import pytest
from support.console import Visitor, visiting
from support.filling import CUSTOMERS, put_group
from support.keyed import KeyedBench

from router.console.pages import keys
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations import audit

HELD, READY = "/7/customer/held", "/8/customer/ready"


@pytest.fixture
def bench(store: Store) -> KeyedBench:
    """Return the lines of `sync` on each kind of store."""
    return KeyedBench(store)


@pytest.fixture
async def visitor(store: Store, bench: KeyedBench, catalogue: Catalogue) -> AsyncIterator[Visitor]:
    """Yield somebody who is signed in, where `sync` has a held key and a ready one, and `plain` has none."""
    await put_group(store, "sync")
    await put_group(store, "plain")
    await bench.bring("h0", "h1", customer="held")
    await bench.hold("held")
    await bench.bring("r1", "r2", customer="ready", company="8")
    async with visiting(store, catalogue) as found:
        yield found


async def test_keys_are_listed(visitor: Visitor) -> None:
    """The page has each key with its state and its first event, of the subscription that is chosen or has keys."""
    page = await visitor.get("/keys")
    assert all(key in page for key in (HELD, READY))
    assert '<option value="sync" selected>' in page
    assert "plain" not in page
    assert "/event?id=h1" in page
    assert HELD in await visitor.get("/keys", subscription="sync", held="true")
    assert READY not in await visitor.get("/keys", subscription="sync", held="true")
    assert HELD not in await visitor.get("/keys", subscription="sync", company="8")
    assert "Nothing waits" in await visitor.get("/keys", subscription="sync", resource="supplier/*")
    subscriptions = await visitor.get("/subscriptions")
    assert "/keys?subscription=sync" in subscriptions
    assert "1 held" in subscriptions


async def test_many_keys(visitor: Visitor, bench: KeyedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has a bounded number of keys, and says that there are more."""
    monkeypatch.setattr(keys, "_SHOWN", 1)
    page = await visitor.get("/keys", subscription="sync")
    assert (page.count(HELD) > 0) != (page.count(READY) > 0)
    assert "There are more" in page


async def test_a_key_is_released(visitor: Visitor, bench: KeyedBench, store: Store) -> None:
    """A held key goes on after a look and a yes, which the audit has with the name of who did it."""
    fields = {"verb": "release", "subscription": "sync", "key": HELD}
    preview = await (await visitor.post("/keys/preview", fields)).text()
    assert "Release 1 key?" in preview
    page = await visitor.follow(await visitor.post("/keys/change", {**fields, "reason": "mended"}))
    assert "1 released" in page
    (line,) = [line async for line in audit.lines(store)]
    assert (line.verb, line.subject, line.actor, line.reason) == ("keys release", "sync", "kari@127.0.0.1", "mended")
    assert len(await bench.handled()) == 3


async def test_an_event_is_skipped(visitor: Visitor, bench: KeyedBench, store: Store) -> None:
    """The first event of a key becomes a dead letter that says who skipped it, and the others go on."""
    fields = {"verb": "skip", "subscription": "sync", "key": HELD}
    preview = await (await visitor.post("/keys/preview", fields)).text()
    assert "Skip 1 key?" in preview
    assert "becomes a dead letter" in preview
    assert "1 skipped" in await visitor.follow(await visitor.post("/keys/change", {**fields, "reason": "closed"}))
    ((_, letter),) = await store.client.xrange(store.keys.dead(CUSTOMERS, "sync"))
    assert letter[b"reason"] == b"skipped by kari@127.0.0.1: closed"
    assert len(await bench.handled()) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"verb": "skip", "subscription": "sync"},
        {"verb": "release"},
        {"verb": "purge", "subscription": "sync", "key": HELD},
    ],
)
@pytest.mark.parametrize("path", ["/keys/preview", "/keys/change"])
async def test_what_is_not_clear_changes_nothing(
    visitor: Visitor, store: Store, path: str, fields: dict[str, str]
) -> None:
    """A skip of everything, and what names no subscription or no change, is refused with what to do."""
    response = await visitor.post(path, fields)
    assert response.status == 400
    assert [line async for line in audit.lines(store)] == []


async def test_a_form_of_a_stranger_changes_nothing(visitor: Visitor, store: Store) -> None:
    """Without the token of the session nothing is released or skipped."""
    for verb in ("release", "skip"):
        response = await visitor.post("/keys/change", {"verb": verb, "subscription": "sync", "key": HELD}, csrf="x")
        assert response.status == 403
    assert [line async for line in audit.lines(store)] == []


async def test_a_company_is_paused_and_resumed(visitor: Visitor, bench: KeyedBench, store: Store) -> None:
    """One company of a keyed subscription is paused, shown so and resumed; what the others get is handled."""
    fields = {"name": "sync", "company": "8", "lasting": "3600", "reason": "import"}
    assert (await visitor.post("/subscriptions/pause", fields)).status == 303
    page = await visitor.get("/subscriptions")
    assert "Company 8 is paused since" in page
    assert "by kari@127.0.0.1: import" in page
    assert "kari@127.0.0.1: import" in await visitor.get("/keys?subscription=sync")
    assert "1 company paused" in await visitor.get("/")
    assert await bench.handled() == []
    assert (await visitor.post("/subscriptions/resume", {"name": "sync", "company": "8"})).status == 303
    assert "is paused" not in await visitor.get("/subscriptions")
    assert len(await bench.handled()) == 2
    assert (await visitor.post("/subscriptions/resume", {"name": "sync", "company": "8"})).status == 400
    assert (await visitor.post("/subscriptions/pause", {**fields, "name": "plain"})).status == 400
    lines = [(line.verb, line.actor, line.selector["company"]) async for line in audit.lines(store)]
    assert ("subscriptions pause", "kari@127.0.0.1", "8") in lines
