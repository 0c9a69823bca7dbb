"""What the pages of the console show."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.console import Visitor, picks, visiting
from support.filling import (
    CUSTOMERS,
    FINANCIAL,
    history,
    put_breaker,
    put_dead,
    put_events,
    put_group,
    put_incident,
    put_limit,
    put_quarantined,
    put_schema,
)

from router.console.paging import PAGE_SIZE
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.drift.kept import Report
from workers.operations import audit, pauses
from workers.state.pauses import paused

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
PAGES = [
    "/",
    "/fragment/overview",
    "/subscriptions",
    "/dead-letters",
    "/quarantine",
    "/events",
    "/incidents",
    "/limits",
    "/schema",
    "/audit",
]
EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'{{7*7}}"


@pytest.fixture
async def visitor(store: Store, catalogue: Catalogue) -> AsyncIterator[Visitor]:
    """Yield somebody who is signed in to a console, on every kind of store."""
    async with visiting(store, catalogue) as found:
        yield found


async def fill(store: Store) -> None:
    """Put a little of everything into the store."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await put_events(store, "e-1", "e-2")
    await put_dead(store, "d-1", fields={"history": history("no answer", error="UpstreamTimeout")})
    await put_dead(store, "d-2")
    await put_quarantined(store, b'{"secret": "hunter2"')
    await put_limit(store)
    await put_incident(store)
    await put_breaker(store)
    await put_schema(store, Report("new", "region", 1_800_000_000_000, "text"))


def link(page: str, start: str) -> str:
    """Return the first link of a page that begins so."""
    found = re.search(rf'href="({re.escape(start)}[^"]*)"', page)
    assert found is not None
    return found[1].replace("&amp;", "&")


@pytest.mark.parametrize("path", PAGES)
async def test_pages_without_anything(visitor: Visitor, path: str) -> None:
    """Every page works on an empty store, and says what to do next."""
    page = await visitor.get(path)
    assert "None" not in page
    if path != "/fragment/overview":
        assert page.startswith("<!doctype html>")
    assert 'class="empty"' in page


@pytest.mark.parametrize("path", PAGES)
async def test_pages_with_everything(store: Store, visitor: Visitor, path: str) -> None:
    """Every page works on a store that holds something, and no longer says that there is nothing."""
    await fill(store)
    await audit.record(store, audit.Deed("dlq replay", "x", actor="ola@host"), {"matched": 2, "changed": 1})
    page = await visitor.get(path)
    assert 'class="empty"' not in page
    assert "None" not in page


async def test_overview_counts(store: Store, visitor: Visitor) -> None:
    """The first page says how far each subscription is, with links to its dead letters."""
    await fill(store)
    await pauses.pause(store, "sync", None, by="ola", reason="migration")
    page = await visitor.get("/")
    assert 'href="/dead-letters?subscription=sync">2</a>' in page
    assert "paused" in page
    assert "customer_changed" in page
    assert 'href="/dead-letters?subscription=sync">2</a>' in await visitor.get("/fragment/overview")


async def test_the_group_of_another_program_is_not_blamed_for_its_workers(store: Store, visitor: Visitor) -> None:
    """A group that gives no sign of life is called what it is; a subscription without a worker is marked."""
    await put_events(store, "e-1")
    await store.client.xgroup_create(store.keys.events(CUSTOMERS), "crm", "0")
    await put_group(store, "sync")
    overview, subscriptions = await visitor.get("/"), await visitor.get("/subscriptions")
    assert "other program" in overview
    assert "another program: 1 wait for it" in subscriptions
    assert overview.count('class="tag bad"') == subscriptions.count('class="tag bad"') == 1


async def test_dead_letters_are_grouped_and_listed(store: Store, visitor: Visitor) -> None:
    """The list has what went wrong with counts on top, and the filters of the command line."""
    await fill(store)
    page = await visitor.get("/dead-letters")
    assert len(picks(page)) == 2
    assert "UpstreamTimeout" in page
    assert len(set(re.findall(r'data-label="Fingerprint" class="id keep">([0-9a-f]{8})<', page))) == 2
    assert len(picks(await visitor.get("/dead-letters", error="*Timeout*"))) == 1
    assert len(picks(await visitor.get("/dead-letters", event="customer_*", since="1h"))) == 2
    assert len(picks(await visitor.get("/dead-letters", resource="customer/1", text="NO ANSWER"))) == 1
    assert not picks(await visitor.get("/dead-letters", subscription="other"))
    assert len(picks(await visitor.get(link(page, "/dead-letters?subscription=sync")))) == 1


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("since", "yesterday", "is no time"),
        ("event", "custmer_changed", "did you mean"),
        ("until", "9" * 40, "no time"),
    ],
)
@pytest.mark.parametrize("path", ["/dead-letters", "/events"])
async def test_a_filter_that_makes_no_sense(
    store: Store, visitor: Visitor, path: str, field: str, text: str, told: str
) -> None:
    """A slip of the pen is told in the page, with what was typed, and selects nothing."""
    await fill(store)
    page = await visitor.get(path, status=400, **{field: text})
    assert told in page
    assert f'value="{text}"' in page
    assert not picks(page)


async def test_pages_of_a_long_list(store: Store, visitor: Visitor) -> None:
    """Following the link to what is older meets every letter once, even those of one id in two streams."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    for number in range(PAGE_SIZE):
        for stream in (CUSTOMERS, SUPPLIERS):
            await put_dead(
                store, f"d-{number}", stream=stream, entry_id=f"{1_760_000_000_000 + number // 7}-{number + 1}"
            )
    found: list[str] = []
    path = "/dead-letters"
    for _ in range(4):
        page = await visitor.get(path)
        found += picks(page)
        if 'rel="next"' not in page:
            break
        path = re.findall(r'rel="next" href="([^"]+)"', page)[0].replace("&amp;", "&")
    assert len(found) == len(set(found)) == 2 * PAGE_SIZE


async def test_a_letter(store: Store, visitor: Visitor) -> None:
    """A letter has its attempts with tracebacks, and its body masked until somebody reveals it, which is audited."""
    lines = [
        {"at": "2025-01-01T00:00:00+00:00", "attempt": 1, "error": "E", "message": "m", "traceback": "line 5 in f"}
    ]
    fields = {"history": json.dumps(lines[0]), "raw": b'{"event": "customer_changed", "note": "hunter2"}'}
    await put_group(store, "sync")
    await put_dead(store, "d-1", fields=fields)
    url = link(await visitor.get("/dead-letters"), "/dead-letter?")
    page = await visitor.get(url)
    assert "line 5 in f" in page
    assert "hunter2" not in page
    assert "***" in page
    assert [line async for line in audit.lines(store)] == []
    revealed = await visitor.post(url)
    assert (revealed.status, "hunter2" in await revealed.text()) == (200, True)
    (line,) = [line async for line in audit.lines(store)]
    assert (line.verb, line.actor) == ("reveal", "kari@127.0.0.1")
    await put_dead(store, "d-1", stream=SUPPLIERS)
    await visitor.get("/dead-letter", status=404, id="1-1", stream=CUSTOMERS, subscription="sync")
    await visitor.get("/dead-letter", status=404, id="x", stream="*", subscription="")


async def test_quarantine(store: Store, visitor: Visitor) -> None:
    """What is quarantined is told with its reason, its bytes masked until revealed, which is audited."""
    await fill(store)
    page = await visitor.get("/quarantine")
    url = link(page, "/quarantined?")
    assert "hunter2" not in await visitor.get(url)
    assert "hunter2" in await (await visitor.post(url)).text()
    assert [line.verb async for line in audit.lines(store)] == ["reveal"]
    assert "not valid JSON" not in await visitor.get("/quarantine", publisher="visma-net-journal-transaction")
    await visitor.get("/quarantined", status=404, id="1-1", publisher=FINANCIAL)


async def test_an_event_and_its_life(store: Store, visitor: Visitor) -> None:
    """An event has its fields and its place for each subscription; an id leads there from the list."""
    await fill(store)
    await put_events(store, "d-2")
    page = await visitor.get("/event", id="d-2")
    assert "customer/1" in page
    assert ">waiting<" in page
    assert link(page, "/dead-letter?")
    response = await visitor.client.get("/events", params={"id": "e-1"}, allow_redirects=False)
    assert response.headers["Location"] == "/event?id=e-1"
    await visitor.get("/event", status=404, id="nothing")
    revealed = await visitor.post("/event?id=e-1")
    assert "notificationId" in await revealed.text()
    assert [line.verb async for line in audit.lines(store)] == ["reveal"]


async def test_who_made_a_change_is_masked(store: Store, visitor: Visitor) -> None:
    """The fields of an event show nothing that is masked in its body, until somebody reveals it."""
    raw = json.dumps({"event": "customer_changed", "notificationId": "e-1", "userId": "hunter2"})
    fields = {"id": "e-1", "at": 1_760_000_000_000, "raw": raw}
    await store.client.xadd(store.keys.events(CUSTOMERS), fields, id="1760000000000-0")
    assert "hunter2" not in await visitor.get("/event", id="e-1")
    assert "hunter2" in await (await visitor.post("/event?id=e-1")).text()


async def test_events_filter(store: Store, visitor: Visitor) -> None:
    """Events are filtered as on the command line."""
    await put_events(store, "e-1", resource="customer/5", company=9)
    await put_events(store, "e-2", resource="customer/6")
    assert "e-2" not in await visitor.get("/events", company="9")
    assert "e-1" not in await visitor.get("/events", event="*", resource="customer/6")


async def test_pause_and_resume(store: Store, visitor: Visitor) -> None:
    """A subscription is paused for a time with a reason, and resumed; both are audited."""
    await fill(store)
    await visitor.get("/subscriptions")
    response = await visitor.post("/subscriptions/pause", {"name": "sync", "lasting": "3600", "reason": "migration"})
    assert response.headers["Location"] == "/subscriptions#sync"
    assert "migration" in await visitor.get("/subscriptions")
    found = (await paused(store, ["sync"]))["sync"]
    assert (found.reason, found.by) == ("migration", "kari@127.0.0.1")
    assert found.until is not None
    assert (await visitor.post("/subscriptions/resume", {"name": "sync"})).status == 303
    assert await paused(store, ["sync"]) == {}
    assert (await visitor.post("/subscriptions/resume", {"name": "sync"})).status == 400
    assert (await visitor.post("/subscriptions/pause", {"name": "none", "lasting": ""})).status == 400
    assert (await visitor.post("/subscriptions/pause", {"name": "sync", "lasting": "-1"})).status == 400
    assert [line.verb async for line in audit.lines(store)] == ["subscriptions resume", "subscriptions pause"]
    page = await visitor.get("/audit", verb="*pause")
    assert "subscriptions pause" in page
    assert "subscriptions resume" not in page


async def test_no_such_page(visitor: Visitor) -> None:
    """A path that is no page says so in one."""
    assert "There is no such page" in await visitor.get("/nothing", status=404)
    await visitor.get("/static/../console.py", status=404)


async def test_what_is_down_is_shown(store: Store, visitor: Visitor) -> None:
    """The overview names each breaker that is open, and the page of limits says why; a closed one is no news."""
    await put_breaker(store, "crm", "status 503")
    await put_breaker(store, "calm")
    await store.client.hset(store.keys.breaker("calm"), mapping={"opened": "0", "failures": "0"})
    overview, page = await visitor.get("/"), await visitor.get("/limits")
    assert "crm" in overview
    assert "calm" not in overview
    assert page.index("crm") < page.index("status 503") < page.index("calm")


async def test_what_has_changed_is_shown(store: Store, visitor: Visitor) -> None:
    """The page of schemas has what changed, the types, and the fields of the one that is chosen."""
    assert "Nothing was learnt yet" in await visitor.get("/schema")
    await put_schema(store, Report("new", "region", 1_800_000_000_000, "text", (), "e5", '{"region": "***"}'))
    page = await visitor.get("/schema")
    assert page.index("has a new field region (text)") < page.index(">Types<")
    assert "100.0 %" not in page
    assert "100.0 %" in await visitor.get(f"/schema?event={CUSTOMERS}")
    assert "100.0 %" not in await visitor.get("/schema?event=nothing")


# What senders and strangers write


async def test_nothing_that_was_sent_is_markup(store: Store, visitor: Visitor) -> None:
    """A script in any field of anything that is stored reaches the browser as text alone."""
    await put_group(store, EVIL)
    fields = {
        "history": json.dumps({"at": "2025-01-01", "attempt": 1, "error": EVIL, "message": EVIL, "traceback": EVIL}),
        "reason": EVIL,
    }
    await put_dead(store, EVIL, subscription=EVIL, fields=fields, resource=f"customer/{EVIL}")
    await put_events(store, EVIL, resource=EVIL)
    await put_quarantined(store, EVIL.encode(), reason=EVIL)
    await put_limit(store, subject=EVIL)
    await put_incident(store, "dead", EVIL)
    await put_breaker(store, EVIL, EVIL)
    await put_schema(store, Report("new", EVIL, 1, EVIL, (), EVIL, EVIL), stream=EVIL)
    await pauses.pause(store, EVIL, None, by=EVIL, reason=EVIL)
    await audit.record(store, audit.Deed(EVIL, EVIL, {EVIL: [EVIL]}, EVIL, EVIL), {})
    pages = [await visitor.get(path) for path in PAGES]
    pages += [await visitor.get(link(pages[3], "/dead-letter?")), await visitor.get(link(pages[4], "/quarantined?"))]
    pages += [await visitor.get("/event", id=EVIL)]
    for path in ("/dead-letters", "/events", "/audit", "/quarantine"):
        query = dict.fromkeys(("text", "resource", "verb", "publisher", "older", "company"), EVIL)
        query.pop("publisher")
        pages.append(await visitor.get(path, **query))
    pages.append(await visitor.get("/events", status=400, event=EVIL))
    pages.append(await visitor.get("/quarantine", status=400, publisher=EVIL))
    for page in pages:
        assert "<script>" not in page
        assert "<img" not in page
        assert "alert(1)" in page or "49" not in page
    assert sum("&lt;script&gt;" in page for page in pages) >= 9


HOSTILE: dict[str, dict[str, Any]] = {
    "no fields of ours": {"x": "y"},
    "bytes of no encoding": {"id": b"\xff\xfe", "raw": b"\xff\x00", "history": b"\xff", "reason": b"\xff"},
    "a time without end": {"id": "a", "at": "9" * 30, "raw": "{}"},
    "a history of other types": {"id": "a", "raw": "[]", "history": '[1]\n{"at": 5}\nnull', "attempts": "many"},
    "an endless message": {"id": "a" * 5000, "raw": "{" * 5000, "reason": "x" * 100_000},
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_entries_break_no_page(store: Store, visitor: Visitor, name: str) -> None:
    """Whatever a hand wrote into the streams, every page is shown, and so is each entry that has one."""
    await put_group(store, "sync")
    keys = store.keys
    for key in (keys.dead(CUSTOMERS, "sync"), keys.events(CUSTOMERS), keys.quarantine(FINANCIAL), keys.audit()):
        await store.client.xadd(key, HOSTILE[name])
    for path in PAGES:
        await visitor.get(path)
    letter = link(await visitor.get("/dead-letters"), "/dead-letter?")
    await visitor.get(letter)
    assert (await visitor.post(letter)).status == 200
    await visitor.get(link(await visitor.get("/quarantine"), "/quarantined?"))
