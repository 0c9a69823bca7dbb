"""A program in another language reads events with the user of docs/streams.md, which may do that and nothing else."""

import json
import re
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import NoPermissionError
from support.docs import DOCS
from support.filling import CUSTOMERS, FINANCIAL, raw_of
from support.servers import Server

from router.events.catalogue import Catalogue
from router.events.identify import identify
from router.intake.entry import entry_of
from router.intake.writer import Batch
from router.store.client import Store, connect
from router.store.keys import Keys

pytestmark = pytest.mark.real

KEYS = Keys()
EVENTS = KEYS.events(CUSTOMERS)
READER = {"username": "er-reader", "password": "secret"}


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    """Yield a store on a server that has the user of the page."""
    [rules] = re.findall(r"^user er-reader (.+)$", (DOCS / "streams.md").read_text(), re.MULTILINE)
    server.ask("ACL", "SETUSER", "er-reader", *rules.split(), f">{READER['password']}")
    store = connect(server.url, KEYS)
    yield store
    await store.aclose()


async def test_it_reads_through_a_group_of_its_own(server: Server, store: Store, catalogue: Catalogue) -> None:
    """The loop of the page, from making the group to claiming what a dead consumer held, gives the event as JSON."""
    items = identify(catalogue, FINANCIAL, raw_of("e0"), None)
    assert await Batch(store, window=60_000).append([entry_of(KEYS, FINANCIAL, item, 1) for item in items]) == [True]
    read = ("XREADGROUP", "GROUP", "crm", "one", "COUNT", 10, "STREAMS", EVENTS)
    server.ask("XGROUP", "CREATE", EVENTS, "crm", "0", "MKSTREAM", **READER)
    [[_, [(entry_id, fields)]]] = server.ask(*read, ">", **READER)
    assert json.loads(fields["event"])["resource"] == "customer/1"
    assert server.ask(*read, "0", **READER)[0][1][0][0] == entry_id
    claimed = server.ask("XAUTOCLAIM", EVENTS, "crm", "two", 0, "0-0", **READER)
    assert claimed[1][0][0] == entry_id
    assert server.ask("XACK", EVENTS, "crm", entry_id, **READER) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", EVENTS, "*", "id", "forged"),
        ("XDEL", EVENTS, "1-1"),
        ("XTRIM", EVENTS, "MAXLEN", 0),
        ("XGROUP", "DESTROY", EVENTS, "sync"),
        ("XRANGE", KEYS.inbox(CUSTOMERS, "sync"), "-", "+"),
        ("XRANGE", KEYS.dead(CUSTOMERS, "sync"), "-", "+"),
        ("XRANGE", KEYS.quarantine(FINANCIAL), "-", "+"),
        ("DEL", EVENTS),
        ("KEYS", "*"),
    ],
    ids=lambda command: " ".join(map(str, command)),
)
async def test_it_is_refused_all_else(server: Server, store: Store, command: tuple[object, ...]) -> None:
    """It cannot forge, remove or trim events, nor look into what is no stream of events."""
    del store
    with pytest.raises(NoPermissionError):
        server.ask(*command, **READER)
