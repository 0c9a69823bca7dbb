"""What the console shows of sweeps."""

from support.console import visiting

from config.reconcile import ReconcileSettings
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store

EVIL = "<script>alert(1)</script>"


async def test_without_reconciliations(store: Store, catalogue: Catalogue) -> None:
    """Where nothing is swept the page says what does that."""
    async with visiting(store, catalogue) as visitor:
        assert "[reconcile.NAME]" in await visitor.get("/reconcile")


async def test_companies(store: Store, catalogue: Catalogue) -> None:
    """Each company has a row; what is held comes first, and an error is text, whatever it says."""
    terms = ReconcileSettings(path="v1/customer", companies=("t1/7", "t2/8"))
    settings = Settings(reconcile={"customers": terms})
    state = {"whole": 1_790_000_000_000, "due": 1_790_000_003_000, "repaired": 1234, "held": 6, "held_of": 100}
    key = store.keys.swept("customers", "t2/8")
    await store.client.hset(key, mapping={**state, "error": EVIL, "failures": "many"})
    async with visiting(store, catalogue, settings=settings) as visitor:
        page = await visitor.get("/reconcile")
    assert page.index("t2/8") < page.index("t1/7")
    assert "6 of 100" in page
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    assert ">new<" in page
    assert "None" not in page
