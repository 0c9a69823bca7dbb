"""What the console shows of forwards, and of what their receivers answered."""

import time
from datetime import UTC, datetime, timedelta

from support.console import visiting
from support.filling import put_breaker, put_group

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.pauses import pause
from workers.state.forwards import ACTOR, Deferral, LastExchange, note_exchanges

EVIL = "<script>alert(1)</script>"
AT = datetime(2026, 3, 1, tzinfo=UTC)


async def test_without_forwards(store: Store, catalogue: Catalogue) -> None:
    """Where nothing is forwarded the page says what does that."""
    async with visiting(store, catalogue) as visitor:
        assert "[[forward]]" in await visitor.get("/forwards")


async def test_forwards(store: Store, catalogue: Catalogue) -> None:
    """Each has its receiver, state and last answer; what is gone can be resumed, and text of others stays text."""
    for name in ("crm", "erp"):
        await put_group(store, name)
    last = [LastExchange("crm", EVIL, "raw", AT, "410", 0.1), LastExchange("erp", "e.example", "raw")]
    await note_exchanges(store, last)
    await pause(store, "crm", None, by=ACTOR, reason=EVIL)
    await put_breaker(store, "forward.erp")
    async with visiting(store, catalogue) as visitor:
        page = await visitor.get("/forwards")
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    assert ">gone<" in page
    assert "410" in page
    assert 'action="/subscriptions/resume"' in page
    assert "No process runs erp" in page
    assert "None" not in page


async def test_what_is_put_off(store: Store, catalogue: Catalogue) -> None:
    """A forward whose receiver puts events off says since when and until when, and what was answered."""
    await put_group(store, "crm")
    await store.client.zadd(store.keys.consumers("crm"), {"c1": time.time() * 1000})
    deferral = Deferral(AT, datetime.now(UTC) + timedelta(hours=1), EVIL)
    await note_exchanges(store, [LastExchange("crm", "h.example", "raw", AT, "503", 0.1, deferral)])
    async with visiting(store, catalogue) as visitor:
        page = await visitor.get("/forwards")
    assert ">deferred<" in page
    assert "puts events off since 2026-03-01 00:00:00 until " in page
    assert EVIL not in page
