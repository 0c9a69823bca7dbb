"""A system in trouble, as the pages of keys, limits, forwards, incidents and schemas show one."""

import time
from datetime import UTC, datetime, timedelta

from support.filling import CUSTOMERS, FINANCIAL, put_breaker, put_group, put_limit, put_schema
from support.keyed import KeyedBench

from router.console.watch import INTERVAL, SPAN, Flow, Watch
from router.store import scripts
from router.store.client import Store
from workers.drift.kept import Report
from workers.incidents import Incidents
from workers.operations import pauses
from workers.silence import texts
from workers.silence.ledger import Silence
from workers.state.forwards import ACTOR, LastExchange, note_exchanges

__all__ = ["draw", "trouble"]

_SHAPE = (3, 5, 8, 9, 11, 10, 12, 14, 13, 9, 7, 8, 6, 9, 12, 15, 13, 11, 9, 10, 8, 6, 5, 7, 9)


async def trouble(store: Store) -> None:
    """Put a held key, a spent quota, open breakers, forwards and incidents into a store."""
    await _keys(store)
    await _forwards(store)
    await _incidents(store)
    await put_limit(store, "erp", "company 5100001", 20)
    await put_limit(store, "crm", "", 3)
    await put_breaker(store, "crm", "no answer from crm.example within 10 s")
    at = _ago(minutes=90)
    await put_schema(store, Report("new", "creditLimit", at, "number", (), "e-1", '{"creditLimit": "***"}'))


def draw(watch: Watch) -> None:
    """Have the plots show ten minutes of traffic, though nobody looked so long."""
    now, number = time.monotonic(), int(SPAN / INTERVAL) - 2
    for place in range(number):
        height = _SHAPE[place // 2 % len(_SHAPE)] + place % 3
        lag = max(0, 74 * (place - number + 20))
        flow = Flow(now - (number - place) * INTERVAL, lag, 4.0 * height, 3.6 * height, 0.7 * height, 0.2 * height)
        watch._flows.append(flow)
    vars(watch)["by_subscription"] = lambda: {"customer-sync": 14.2, "ledger-export": 3.7, "webshop": 7.1}


async def _keys(store: Store) -> None:
    await put_group(store, "credit-check")
    await store.client.xgroup_setid(store.keys.events(CUSTOMERS), "credit-check", "$")
    await store.run([scripts.beat(store.keys.consumers("credit-check"), "erp-worker-1", 60_000)])
    bench = KeyedBench(store, "credit-check", first=_ago(minutes=25))
    await bench.bring("cc-40012-1", "cc-40012-2", "cc-40012-3", customer="40012", company="5100001")
    await bench.hold("40012", "5100001")
    for customer in ("40019", "40023", "40031"):
        await bench.bring(f"cc-{customer}-1", f"cc-{customer}-2", customer=customer, company="5100002")
    await bench.bring("cc-40044-1", customer="40044", company="5100003")
    await bench.claim(1)
    await pauses.pause_company(store, "credit-check", "5100003", 14_400, by="ola@erp-1", reason="import of customers")


async def _forwards(store: Store) -> None:
    for name in ("crm", "warehouse", "webshop"):
        await put_group(store, name)
        await store.client.xgroup_setid(store.keys.events(CUSTOMERS), name, "$")
        await store.run([scripts.beat(store.keys.consumers(name), "erp-forward-1", 60_000)])
    now = datetime.now(UTC)
    found = [
        LastExchange("crm", "crm.example", "cloudevents", now - timedelta(minutes=3), "timed out after 30 s", 30.0),
        LastExchange("warehouse", "wms.example", "raw", now - timedelta(hours=2), "410", 0.08),
        LastExchange("webshop", "shop.example", "cloudevents", now - timedelta(seconds=4), "204", 0.03),
    ]
    await note_exchanges(store, found)
    await pauses.pause(store, "warehouse", None, by=ACTOR, reason="the receiver answered 410: it is gone for good")
    await put_breaker(store, "forward.crm", "timed out after 30 s")


async def _incidents(store: Store) -> None:
    incidents = Incidents(store)
    gone = texts.spool("ingress-1", _ago(hours=7))
    await incidents.open(gone)
    await incidents.end(gone.kind, gone.subject, over=_ago(hours=6, minutes=41))
    for found in (
        texts.silence(Silence(f"{FINANCIAL}/5100007", _ago(hours=31), 0.0)),
        texts.quota("erp", "company 5100001", _ago(minutes=12)),
        texts.dead("customer-sync", _ago(minutes=38)),
    ):
        await incidents.open(found)
    await incidents.mute("silence", f"{FINANCIAL}/5100009")


def _ago(**span: float) -> int:
    return int((datetime.now(UTC) - timedelta(**span)).timestamp() * 1000)
