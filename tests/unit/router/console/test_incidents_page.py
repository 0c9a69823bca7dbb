"""What the console shows of incidents, and how they are muted there."""

from support.console import visiting
from support.filling import FINANCIAL, put_incident

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.incidents import Incident, Incidents
from workers.operations import audit

EVIL = "<script>alert(1)</script>"
NAMED = [("kind", "silence"), ("subject", f"{FINANCIAL}/7")]


async def test_without_incidents(store: Store, catalogue: Catalogue) -> None:
    """Where nothing goes wrong the page says so."""
    async with visiting(store, catalogue) as visitor:
        assert "There is no incident" in await visitor.get("/incidents")


async def test_incidents(store: Store, catalogue: Catalogue) -> None:
    """Each has what happened, what to do and the command; what was said lately is there, and text stays text."""
    await put_incident(store)
    await Incidents(store).open(Incident("dead", EVIL, 1, EVIL, EVIL, EVIL))
    await Incidents(store).end("dead", EVIL, over=2)
    async with visiting(store, catalogue) as visitor:
        page = await visitor.get("/incidents")
    assert "Nothing has come from" in page
    assert "event-router doctor" in page
    assert page.index("Said lately") < page.index("&lt;script&gt;")
    assert EVIL not in page
    assert f"{FINANCIAL}/8" in page  # which is muted


async def test_muting(store: Store, catalogue: Catalogue) -> None:
    """What is muted goes from the list, and comes back to what may be said; the audit names who did it."""
    await put_incident(store)
    async with visiting(store, catalogue) as visitor:
        page = await visitor.follow(
            await visitor.post("/incidents/mute", [*NAMED, ("lasting", "86400"), ("reason", "left")])
        )
        assert "There is no incident" in page
        for wrong in ([*NAMED, ("lasting", "5")], [NAMED[0], ("lasting", "")], [("kind", "No!"), NAMED[1]]):
            assert (await visitor.post("/incidents/mute", wrong)).status == 400
        await visitor.post("/incidents/unmute", NAMED)
        assert (await visitor.post("/incidents/unmute", NAMED)).status == 400
    lines = [line async for line in audit.lines(store)]
    assert [(line.verb, line.reason) for line in lines if line.changed] == [
        ("incidents unmute", ""),
        ("incidents mute", "left"),
    ]
