"""The console as people use it: with a mouse, with keys alone, at night, on a phone, without JavaScript."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page
from support.browsing import NARROW, WIDE, Site
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_events, put_group, put_quarantined
from support.trouble import draw, trouble
from support.waiting import eventually

from router.store import scripts
from router.store.client import Store
from workers.operations import audit, pauses
from workers.state.pauses import paused

INVOICES = f"{FINANCIAL}/ar_invoice_changed"
STOCK = f"{FINANCIAL}/inventory_item_changed"
TRACEBACK = """Traceback (most recent call last):
  File "/srv/workers/crm.py", line 41, in sync
    await client.put(f"/customers/{event.resource_id}", json=body, timeout=10)
  File "/srv/workers/http.py", line 88, in put
    raise UpstreamTimeout(f"no answer from {url} within {timeout} s")
UpstreamTimeout: no answer from https://crm.example/api/customers/40012 within 10 s
"""
KINDS = (
    (
        "customer-sync",
        CUSTOMERS,
        "customer",
        "UpstreamTimeout",
        "no answer from https://crm.example/api/customers/{} within 10 s",
        14,
    ),
    (
        "customer-sync",
        CUSTOMERS,
        "customer",
        "JSONDecodeError",
        "Expecting property name enclosed in double quotes: line 1 column {}",
        6,
    ),
    ("ledger-export", INVOICES, "customerinvoice", "KeyError", "'ledger_account'", 9),
)


def told(error: str, message: str) -> bytes:
    """Return the history of three attempts in the last minutes."""
    now = datetime.now(UTC)
    rows = [
        {
            "at": (now - timedelta(seconds=200 - 60 * number)).isoformat(),
            "attempt": number,
            "error": error,
            "message": message,
            "traceback": TRACEBACK,
        }
        for number in (1, 2, 3)
    ]
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.fixture
async def full(site: Site) -> Site:
    """Return a console of a system in trouble: dead letters of three kinds, retries, a pause, a quarantine."""
    store = site.store
    await put_group(store, "customer-sync", CUSTOMERS)
    await put_group(store, "ledger-export", INVOICES)
    await put_group(store, "stock-levels", STOCK)
    for name in ("customer-sync", "ledger-export"):
        await store.run([scripts.beat(store.keys.consumers(name), "erp-worker-1", 60_000)])
    for stream, resource, number in (
        (CUSTOMERS, "customer", 40),
        (INVOICES, "customerinvoice", 12),
        (STOCK, "inventory", 1480),
    ):
        names = [f"{stream[-4:]}-{count}" for count in range(number)]
        at = int(datetime.now(UTC).timestamp() * 1000)
        await put_events(store, *names, stream=stream, at=at, resource=f"{resource}/{number}", company=5100001)
    for stream, name in ((CUSTOMERS, "customer-sync"), (INVOICES, "ledger-export")):
        key = store.keys.events(stream)
        await store.client.xgroup_setid(key, name, "$")
    for name, stream, resource, error, message, number in KINDS:
        for count in range(number):
            text = message.format(40_012 + count)
            fields = {"history": told(error, text), "at": int(datetime.now(UTC).timestamp() * 1000)}
            id_ = f"76a92ee0-595c-4124-ae40-{error[:4].lower()}{count:08d}"
            await put_dead(
                store,
                id_,
                subscription=name,
                stream=stream,
                fields=fields,
                resource=f"{resource}/{40_012 + count}",
                company=5100001,
            )
    for count in range(23):
        parked = await store.client.xadd(store.keys.parked(STOCK, "stock-levels"), {"id": str(count), "raw": "{}"})
        await store.client.zadd(store.keys.due(STOCK, "stock-levels"), {parked: 9e15})
    await pauses.pause(store, "stock-levels", 14_400, by="ola@erp-1", reason="warehouse migration")
    await put_quarantined(
        store, b'{"event":"customer_changed","amount":1250', reason="not valid JSON: ends in an object"
    )
    await put_quarantined(store, b"<xml/>", reason="not valid JSON: begins with <")
    await audit.record(
        store,
        audit.Deed("dlq replay", "", {"subscription": "ledger-export"}, "account plan loaded", "ola@erp-1"),
        {"matched": 42, "changed": 42},
    )
    await trouble(store)
    return site


async def dead(store: Store, name: str = "customer-sync", stream: str = CUSTOMERS) -> int:
    """Return how many dead letters there are."""
    return int(await store.client.xlen(store.keys.dead(stream, name)))


async def focused(page: Page) -> str:
    """Return the words that have the focus."""
    return str(await page.evaluate("document.activeElement.innerText || document.activeElement.name || ''"))


async def test_signing_in(site: Site) -> None:
    """A stranger is asked for the token, told when it is wrong, led on to where they wanted, and out again."""
    async with site.visit(signed_in=False) as page:
        await page.goto("/audit?verb=reveal")
        await site.picture(page, "login")
        await page.fill("[name=token]", "wrong")
        async with page.expect_response("**/login") as answer:
            await page.keyboard.press("Enter")
        assert (await answer.value).status == 403
        assert (await page.inner_text("[role=alert]")).startswith("That is not the token.")
        await page.fill("[name=token]", "a-token-of-the-tests")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/audit?verb=reveal")
        assert await page.input_value("[name=verb]") == "reveal"
        assert await page.evaluate("document.cookie") == ""
        await page.click("text=Sign out")
        await page.wait_for_url("**/login")
        await page.goto("/")
        assert "/login" in page.url
    site.complaints[:] = [said for said in site.complaints if "403" not in said]


async def test_finding_and_replaying_one(full: Site) -> None:
    """From the overview to a letter, its traceback and its values, and back into the subscription's hands."""
    async with full.visit() as page:
        await page.click("table >> text=20")
        await page.wait_for_url("**/dead-letters?subscription=customer-sync")
        await page.click("table.groups a:has-text('JSONDecodeError')")
        assert await page.locator("[name=pick]").count() == 6
        await page.fill("[name=resource]", "customer/40014")
        await page.keyboard.press("Enter")
        await page.locator(".rows tbody th a").click()
        assert "line 41, in sync" in await page.inner_text("details[open]")
        assert "***" not in await page.inner_text(".facts")
        await page.click("text=Reveal the values")
        assert '"contextId": 5100001' in await page.inner_text("pre.revealed")
        assert (await anext(audit.lines(full.store))).verb == "reveal"
        await page.fill("[name=reason]", "the CRM is back")
        await page.click("button:text-is('Replay')")
        await page.wait_for_selector("h1:has-text('1 replayed')")
    assert await dead(full.store) == 19
    line = await anext(audit.lines(full.store))
    assert (line.verb, line.reason, line.changed) == ("dlq replay", "the CRM is back", 1)
    assert line.actor.startswith("kari@")


async def test_replaying_many(full: Site) -> None:
    """Ticked letters, and then all that match, go after a look at how many and which."""
    async with full.visit() as page:
        await page.goto("/dead-letters?error=UpstreamTimeout")
        for row in (0, 3):
            await page.locator("[name=pick]").nth(row).check()
        assert await page.inner_text("[name=which] option:checked") == "2 selected"
        await page.click("text=Replay…")
        assert await page.inner_text("h1") == "Replay 2 dead letters?"
        await page.click("button:text-is('Replay 2')")
        await page.wait_for_selector("h1:has-text('2 replayed')")
        await page.click("text=Back to the list")
        await page.select_option("[name=which]", "all")
        await page.click("text=Purge…")
        await full.picture(page, "purge")
        await page.click("text=Cancel")
        await page.wait_for_url("**/dead-letters?error=UpstreamTimeout")
        await page.select_option("[name=which]", "all")
        await page.click("text=Replay…")
        await page.fill("[name=reason]", "mended")
        await page.click("button:text-is('Replay 12')")
        await page.wait_for_selector("h1:has-text('12 replayed')")
    assert await dead(full.store) == 6


async def test_select_all_on_the_page(full: Site) -> None:
    """One box ticks all rows, and says when only some are."""
    async with full.visit() as page:
        await page.goto("/dead-letters?subscription=ledger-export")
        await page.check("[data-all]")
        assert await page.locator("[name=pick]:checked").count() == 9
        await page.locator("[name=pick]").first.uncheck()
        assert await page.evaluate("document.querySelector('[data-all]').indeterminate")


async def test_pausing(full: Site) -> None:
    """A subscription is paused with a reason and resumed."""
    async with full.visit() as page:
        await page.goto("/subscriptions")
        section = page.locator("section.subscription", has_text="ledger-export")
        await section.locator("summary").click()
        await section.locator("[name=lasting]").select_option(label="1 hour")
        await section.locator("[name=reason]").fill("month end")
        await section.locator("button", has_text="Pause ledger-export").click()
        await page.wait_for_selector(".note:has-text('month end')")
        assert (await paused(full.store, ["ledger-export"]))["ledger-export"].by.startswith("kari@")
        await section.locator("button:text-is('Resume')").click()
        await section.locator("summary").wait_for()
    assert await paused(full.store, ["ledger-export"]) == {}


async def test_retrying_the_quarantine(full: Site) -> None:
    """What still cannot be read stays, and its page says so."""
    async with full.visit() as page:
        await page.goto("/quarantine")
        await page.click("text=begins with <")
        await page.click("button:text-is('Retry')")
        await page.wait_for_selector(".note:has-text('stays')")


async def test_keys_alone(full: Site) -> None:
    """Everything is reached with keys: past the menu, to the filter, through the rows, into a letter, and on."""
    async with full.visit() as page:
        await page.goto("/dead-letters")
        await page.keyboard.press("Tab")
        assert await focused(page) == "Skip to content"
        await page.keyboard.press("Enter")
        await page.keyboard.press("/")
        assert await focused(page) == "subscription"
        await page.keyboard.type("ledger-export/")  # while somebody types, keys are letters
        await page.keyboard.press("Backspace")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/dead-letters?subscription=ledger-export*")
        for key in "jjkj":
            await page.keyboard.press(key)
        rows = page.locator(".rows tbody tr")
        assert await rows.nth(1).evaluate("row => row.contains(document.activeElement)")
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await page.keyboard.press("x")
        assert await rows.nth(1).locator("[name=pick]").is_checked()
        await rows.nth(1).locator("th a").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/dead-letter?*")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("details:nth-of-type(2)[open]")
        await page.locator("[name=reason]").focus()
        await page.keyboard.press("Tab")
        assert await focused(page) == "Replay"
        await page.keyboard.press("Enter")
        await page.wait_for_selector("h1:has-text('1 replayed')")


async def test_the_overview_is_alive(full: Site) -> None:
    """The figures change by themselves while somebody looks, and say when the console is gone."""
    async with full.visit() as page:
        before = await page.inner_text(".tile.lag .value")
        await put_events(full.store, *(f"new-{number}" for number in range(7)))

        async def changed() -> bool:
            return await page.inner_text(".tile.lag .value") != before

        await eventually(changed)
        await page.route("**/fragment/**", lambda route: route.abort())
        await page.wait_for_selector("body.stale", timeout=15_000)
        assert "does not answer" in await page.inner_text("#news")
    full.complaints.clear()  # of the request that was cut off


async def test_without_javascript(full: Site) -> None:
    """All of it works in a browser without scripts."""
    async with full.visit(java_script_enabled=False) as page:
        await page.goto("/dead-letters?error=KeyError")
        await page.locator("[name=pick]").first.check()
        await page.click("text=Replay…")
        await page.click("button:text-is('Replay 1')")
        await page.wait_for_selector("h1:has-text('1 replayed')")
        await page.goto("/subscriptions")
        await page.click("button:text-is('Resume')")
        await page.wait_for_url("**/subscriptions#stock-levels")


PATHS = {
    "overview": "/",
    "subscriptions": "/subscriptions",
    "dead-letters": "/dead-letters",
    "letters-without": "/dead-letters?subscription=none",
    "quarantine": "/quarantine",
    "events": "/events",
    "event": "/event?id=nged-1",
    "audit": "/audit",
    "keys": "/keys",
    "forwards": "/forwards",
    "incidents": "/incidents",
    "limits": "/limits",
    "reconcile": "/reconcile",
    "schema": "/schema",
    "schema-of": f"/schema?event={CUSTOMERS}",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "narrow"])
async def test_pictures(full: Site, scheme: str, size: str) -> None:
    """Every page fits a desk and a phone, by day and by night; nothing is cut off at the edge."""
    viewport = WIDE if size == "wide" else NARROW
    async with full.visit(viewport=viewport, color_scheme=scheme) as page:
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(int(part) for part in ground.strip("rgb()").split(",")) > 3 * 128
        assert light is (scheme == "light")
        for name, path in PATHS.items():
            await page.goto(path)
            await full.picture(page, f"{name}-{scheme}-{size}")
        await page.goto("/dead-letters")
        await page.locator(".rows tbody th a").first.click()
        await full.picture(page, f"letter-{scheme}-{size}")
        await page.goto("/quarantine")
        await page.locator(".rows tbody th a").first.click()
        await full.picture(page, f"quarantined-{scheme}-{size}")


@pytest.mark.parametrize("size", ["wide", "narrow"])
async def test_the_menu(full: Site, size: str) -> None:
    """Every page is in the menu, in sight without scrolling sideways, and reached with keys alone."""
    async with full.visit(viewport=WIDE if size == "wide" else NARROW) as page:
        links = page.locator(".top nav a")
        paths = [await link.get_attribute("href") for link in await links.all()]
        assert {path.partition("?")[0] for path in PATHS.values()} - {"/event"} <= set(paths)
        edge = await page.evaluate("innerWidth")
        for link in await links.all():
            box = await link.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= edge
        for path in paths:
            await page.locator(f".top nav a[href='{path}']").focus()
            await page.keyboard.press("Enter")
            await page.wait_for_selector(f".top nav a[href='{path}'][aria-current=page]")


@pytest.mark.parametrize("size", ["wide", "narrow"])
async def test_what_went_wrong_fits(full: Site, size: str) -> None:
    """Pages for errors keep long values within the edge, and lead back to where somebody was."""
    async with full.visit(viewport=WIDE if size == "wide" else NARROW) as page:
        await page.goto("/dead-letters")
        gone = f"/dead-letter?id=1-1&stream={CUSTOMERS}&subscription={'customer-sync-' * 12}"
        await page.evaluate("where => { location.href = where }", gone)
        await page.wait_for_selector("h1:has-text('Gone')")
        await full.picture(page, f"gone-{size}")
        await page.click("text=Go back")
        await page.wait_for_url("**/dead-letters")
    full.complaints[:] = [said for said in full.complaints if "404" not in said]


async def test_muting_and_releasing_with_keys(full: Site) -> None:
    """An incident is muted and a key released with keys alone."""
    async with full.visit() as page:
        await page.goto("/incidents")
        section = page.locator("section", has_text="quota").first
        await section.locator("summary").focus()
        await page.keyboard.press("Enter")
        await section.locator("[name=reason]").focus()
        await page.keyboard.type("the ERP is told")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=Unmute it")
        await page.goto("/keys")
        await page.locator("td button:text-is('Release…')").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_selector("h1:has-text('Release 1 key?')")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("h1:has-text('1 released')")


SHOWN = {"console": "/", "incidents": "/incidents", "keys": "/keys", "limits": "/limits", "forwards": "/forwards"}
"""The pictures of docs/images, which are copied there from build/browser when pages have changed."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pictures_of_the_docs(full: Site, scheme: str) -> None:
    """The pages that the documentation shows, at its size."""
    draw(full.watch)
    size = {"width": 1240, "height": 720}
    async with full.visit(viewport=size, device_scale_factor=1.5, color_scheme=scheme) as page:
        for name, path in SHOWN.items():
            await page.goto(path)
            await full.picture(page, f"docs-{name}-{scheme}", whole=False)


async def test_colours_are_chosen(site: Site) -> None:
    """The button turns the page dark where the system is light, and it stays so."""
    async with site.visit(color_scheme="light") as page:
        for _ in range(2):
            await page.click("[name=theme]")
        assert await page.get_attribute("html", "data-theme") == "dark"
        await page.goto("/audit")
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(int(part) for part in ground.strip("rgb()").split(",")) < 128
        assert await page.evaluate("matchMedia('(prefers-reduced-motion: no-preference)').matches") is True


async def test_nothing_moves_for_who_does_not_want_it(site: Site) -> None:
    """No transition runs where motion is not wanted."""
    async with site.visit(reduced_motion="reduce") as page:
        moving = "[...document.querySelectorAll('*')].some(e => parseFloat(getComputedStyle(e).transitionDuration) > 0)"
        assert await page.evaluate(moving) is False


@pytest.mark.parametrize("path", sorted({path.partition("?")[0] for path in PATHS.values()} - {"/event"}))
async def test_what_a_screen_reader_is_told(full: Site, path: str) -> None:
    """Everything that takes input has a name, there is one heading of the first order, and tables have headers."""
    async with full.visit() as page:
        await page.goto(path)
        nameless = """[...document.querySelectorAll('main input:not([type=hidden]), main select, main button, a')]
            .filter(e => !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim())
            .map(e => e.outerHTML)"""
        assert await page.evaluate(nameless) == []
        assert await page.locator("h1").count() == 1
        assert await page.locator("table:not(:has(thead th))").count() == 0
        assert await page.locator("[aria-current=page]").count() == 1
