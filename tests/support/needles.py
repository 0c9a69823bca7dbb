"""Puts something of a company into every place that the product has, and looks for what is left of it."""

import inspect
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from redis.asyncio import RedisCluster
from support.archiving import still
from support.filling import CUSTOMERS, FINANCIAL, put_breaker, put_limit

from router.intake.entry import Entry
from router.intake.spool_file import SpoolFile
from router.store import scripts
from router.store.client import Store
from router.store.echoes import RecordOf, Versions
from router.store.keys import Keys
from router.store.lines import Item, Lines, Merging
from router.store.record import write_event
from router.store.watched.incidents import IncidentCalls
from router.store.watched.traffic import HOUR, Came, note
from workers.archive.archive import Archive
from workers.archive.line import Archived
from workers.archive.name import ObjectName
from workers.incidents import Incident
from workers.incidents.incident import packed
from workers.keyed.entry import BURIAL, pack, place_of, ref_of
from workers.operations import audit, pauses
from workers.operations.audit import Deed
from workers.silence.profile import Profile

__all__ = [
    "KEYED",
    "NEEDLE",
    "OTHER",
    "PLANTS",
    "SUBSCRIPTION",
    "TENANT",
    "kinds_of_keys",
    "left_in_files",
    "left_in_store",
    "plant",
    "plant_archive",
    "plant_groups",
    "plant_spool",
    "without_compression",
]

NEEDLE: Final = "needle-4711"
"""The company that is erased; all that is planted of it has `needle` in it, except the ids of its events."""
OTHER: Final = "haystack-4712"
TENANT: Final = "tenant-1"
SUBSCRIPTION: Final = "sync"
KEYED: Final = "ordered"
_LEASE: Final = 60_000
_DAY: Final = 86_400_000
_RECONCILIATION: Final = "customers"


def fields_of(company: str, id_: str, **more: Any) -> dict[str, Any]:
    """Return the fields of an event of a company as ingress writes them."""
    publisher, _, type_ = CUSTOMERS.partition("/")
    name = company.partition("-")[0]
    raw = {"event": type_, "notificationId": id_, "contextId": company, "tenantId": TENANT, "note": f"{name} raw"}
    event = {
        "id": id_,
        "publisher": publisher,
        "type": type_,
        "wire_event": type_,
        "resource": f"customer/{name}-1",
        "resource_path": f"v1/customer/{name}-1",
        "company_id": company,
        "tenant_id": TENANT,
        "received_at": "2025-10-30T10:00:00Z",
        "extra": {"note": f"{name} extra"},
    }
    return {"id": id_, "at": 1_760_000_000_000, "event": write_event(event), "raw": json.dumps(raw), **more}


class Planter:
    """Plants what is of one company; `number` tells the ids of its events from others."""

    def __init__(self, store: Store, company: str) -> None:
        self.store = store
        self.keys = store.keys
        self.company = company
        self.name = company.partition("-")[0]
        self.id = f"event-{company[-4:]}"
        self.pair = (TENANT, company)
        self.whose = f"{TENANT}/{company}"

    def fields(self, place: str, **more: Any) -> dict[str, Any]:
        """Return the fields of an event that is to be in one place."""
        return fields_of(self.company, f"{self.id}-{place}", **more)

    async def events(self) -> None:
        """Append three: a worker reads two of the stream, of which one may be somebody else's."""
        for number in (1, 2, 3):
            fields = self.fields(f"events{number}")
            parts = [part for pair in fields.items() for part in pair]
            seen = self.keys.seen(CUSTOMERS, fields["id"])
            await self.store.call(scripts.append(self.keys.events(CUSTOMERS), [seen], parts, _DAY))
        reading = ("GROUP", SUBSCRIPTION, "w1", "COUNT", 2, "STREAMS", self.keys.events(CUSTOMERS), ">")
        await self.store.command("XREADGROUP", *reading)

    async def inbox(self) -> None:
        """One that waits, and one that was done: its bytes are still there."""
        key = self.keys.inbox(CUSTOMERS, SUBSCRIPTION)
        await self.store.client.xadd(key, self.fields("inbox", history=f"{self.name} failed"))
        await self._removed(key)

    async def parked(self) -> None:
        """One that is scheduled."""
        key = self.keys.parked(CUSTOMERS, SUBSCRIPTION)
        id_ = await self.store.client.xadd(key, {"delay": 1, **self.fields("parked")})
        await self.store.client.zadd(self.keys.due(CUSTOMERS, SUBSCRIPTION), {id_: 9e14})
        await self._removed(key)

    async def dead(self) -> None:
        """One, and one that was imported."""
        key = self.keys.dead(CUSTOMERS, SUBSCRIPTION)
        await self.store.client.xadd(key, self.fields("dead", reason=f"no {self.name}"))
        fields = self.fields("imported", reason="x")
        row = ["7-0", fields["id"], 2 * len(fields), *(part for pair in fields.items() for part in pair)]
        restored = self.keys.restored(CUSTOMERS, SUBSCRIPTION)
        await self.store.call(scripts.restore(key, restored, [row], _DAY, again=False, dry=False))
        await self._removed(key)

    async def replayed(self) -> None:
        """Note the entries that were replayed, in this week."""
        key = self.keys.replayed(CUSTOMERS, SUBSCRIPTION, int(time.time()) // (7 * 86_400))
        await self.store.client.hset(key, "1-0", 1)

    async def buried(self) -> None:
        """Note that an event of a line has become a dead letter."""
        await self.store.client.set(self.keys.buried(CUSTOMERS, KEYED, "1-0o/x:b"), "1-0", px=_DAY)

    async def put_aside(self) -> None:
        """Note that an event of a line was put aside."""
        await self.store.client.set(self.keys.put_aside(CUSTOMERS, KEYED, "1-0o/x"), "1-0", px=_DAY)

    async def echoed(self) -> None:
        """Note that an event was an echo."""
        key = self.keys.echoed(CUSTOMERS, SUBSCRIPTION, f"{self.id}-events1")
        await self.store.client.set(key, f"{self.name}", px=_DAY)

    async def versions(self) -> None:
        """Note a version of its record."""
        record = RecordOf(FINANCIAL, TENANT, self.company, f"v1/customer/{self.name}-1")
        await self.store.call(
            Versions(self.keys, record).judge(self.name, "t", f"{self.name}-v", 9.0, may_be_echo=True)
        )

    async def quarantine(self) -> None:
        """Put a body alone, one that is torn, and one together with an item of somebody else."""
        key = self.keys.quarantine(FINANCIAL)
        item = {"contextId": self.company, "note": self.name}
        whole, torn = json.dumps(item), json.dumps(item)[:-2]
        for number, raw in enumerate((whole, torn, f'[{whole},{{"contextId":"third-1"}}]')):
            id_ = f"sha256:{self.id}{number}"
            await self.store.client.xadd(key, {"id": id_, "at": 1, "reason": "no event name", "raw": raw})
            await self.store.client.set(self.keys.seen(FINANCIAL, id_), self.name, px=_DAY)

    async def lines(self) -> None:
        """Events of a keyed subscription: one that runs, those behind it, one noted as dead; a held key, a pause."""
        lines = Lines(self.keys, KEYED, Merging())
        await self.store.call(lines.lead("mover", _LEASE))
        items = [self._item(number, f"{self.whose}/customer/{self.name}-{number % 2}") for number in range(4)]
        items.append(
            self._item(4, f"{self.whose}/customer/{self.name}-doomed", **{BURIAL.decode(): "b1", "reason": "r"})
        )
        await self.store.call(lines.add("mover", _LEASE, items))
        await self.store.client.hset(lines.read, "keying", "resource")
        await self.store.client.zadd(lines.held, {f"{self.whose}/customer/{self.name}-held": 1})
        await self.store.call(lines.stop(self.company.encode(), 0))
        await self.store.command("SET", lines.mover, "mover", "PX", 1)

    def _item(self, number: int, key: str, **more: Any) -> Item:
        entry_id = f"{1_760_000_000_000 + number + (self.company == OTHER) * 100}-0".encode()
        fields = _as_bytes(self.fields(f"line{number}", **more))
        ref = ref_of(CUSTOMERS, entry_id, fields, inbox=False, may_be_merged=False)
        parts = [part for pair in fields.items() for part in pair]
        return Item(
            "source", place_of(entry_id), key.encode(), ref, pack(self.company.encode(), parts, doomed=bool(more))
        )

    async def filter(self) -> None:
        """Have a subscription handle only it, and somebody else."""
        where = json.dumps({"company_id": [self.company, "third-1"]})
        await self.store.client.hset(self.keys.filter(KEYED if self.company == OTHER else SUBSCRIPTION), "where", where)

    async def answers(self) -> None:
        """Note what a receiver answered last."""
        target = f"crm{self.company[-4:]}"
        await self.store.client.hset(self.keys.forwards(), target, f'{{"answer":"no {self.company}"}}')
        await self.store.client.zadd(self.keys.notifiers(), {target: 1})
        await self.store.client.hset(self.keys.notified(target), "error", f"no {self.company}")

    async def limited(self) -> None:
        """Put a quota, which a worker has used up."""
        await put_limit(self.store, "erp", f"{FINANCIAL}/{self.whose}")

    async def breaker(self) -> None:
        """Why a target is down, and a target that is its own."""
        await put_breaker(self.store, f"crm/{self.company}")
        await put_breaker(self.store, f"crm{self.company[-4:]}", f"503 of {self.company}")

    async def swept(self) -> None:
        """How far its sweep is, and the records that there are."""
        client, own = self.store.client, (_RECONCILIATION, self.whose)
        await client.set(self.keys.sweeping(*own), "sweep", px=_DAY)
        await client.hset(self.keys.swept(*own), mapping={"error": f"no {self.name}", "cursor": 1})
        await client.hset(self.keys.judged(*own), f"customer/{self.name}", 1)
        for key in (self.keys.known_records(*own), self.keys.buried_records(*own)):
            await client.hset(key, f"customer/{self.name}", 1)

    async def incidents(self) -> None:
        """Put an incident that lasts, its notice, and one that nobody wants to hear of."""
        calls, now = IncidentCalls(self.keys), int(time.time() * 1000)
        incident = Incident("silence", self.whose, now, f"nothing came from {self.company}", "look", "doctor")
        await self.store.call(calls.open("silence", self.whose, now, packed(incident)))
        await self.store.call(calls.mute("dead", self.whose, now, 0))

    async def traffic(self) -> None:
        """Put what came of it within this hour, and what was learnt of that."""
        now, subject = int(time.time() * 1000), f"{FINANCIAL}/{self.company}"
        await self.store.run(note(self.keys, now // HOUR, "1" * 12, "ingress", None, {subject: Came(1, now)}, {}))
        await self.store.client.hset(self.keys.learnt(), subject, Profile(now // HOUR).packed())

    async def audit(self) -> None:
        """Lines whose selector, subject and reason name it."""
        deed = Deed(
            "dlq purge",
            f"{self.company}",
            {"company": self.company, "text": f"x {self.company} y"},
            f"as {self.company} asked",
            f"ann {self.company}",
        )
        await audit.record(self.store, deed, {})

    async def pause(self) -> None:
        """Why a subscription is paused."""
        await pauses.pause(self.store, SUBSCRIPTION, None, by="ann", reason=f"{self.company} is being moved")

    async def _removed(self, key: str) -> None:
        """Add and remove an entry, as what is done is: the server keeps its bytes beside those of others."""
        id_ = await self.store.client.xadd(key, self.fields("removed"))
        await self.store.client.xdel(key, id_)


Plant = Callable[[Planter], Awaitable[None]]

NOTHING: Final = "holds nothing of anybody"
"""Of kinds of keys in which the product writes names of its own, times and numbers of entries alone."""

PLANTS: Final[Mapping[str, Plant | str]] = {
    "events": Planter.events,
    "seen": Planter.events,
    "inbox": Planter.inbox,
    "replayed": Planter.replayed,
    "due": Planter.parked,
    "parked": Planter.parked,
    "dead": Planter.dead,
    "restored": Planter.dead,
    "buried": Planter.buried,
    "put_aside": Planter.put_aside,
    "quarantine": Planter.quarantine,
    "consumers": NOTHING,
    "pause": Planter.pause,
    "halted": NOTHING,
    "filter": Planter.filter,
    "forwards": Planter.answers,
    "notifiers": NOTHING,
    "notifying": NOTHING,
    "notified": Planter.answers,
    "lines": Planter.lines,
    "limits": Planter.limited,
    "limited": Planter.limited,
    "limited_by": Planter.limited,
    "quota": Planter.limited,
    "breakers": Planter.breaker,
    "breaker": Planter.breaker,
    "sweeping": Planter.swept,
    "swept": Planter.swept,
    "judged": Planter.swept,
    "known_records": Planter.swept,
    "buried_records": Planter.swept,
    "versions": Planter.versions,
    "echoed": Planter.echoed,
    "incidents": Planter.incidents,
    "notices": Planter.incidents,
    "muted": Planter.incidents,
    "traffic": Planter.traffic,
    "learnt": Planter.traffic,
    "refusals": NOTHING,
    "spools": NOTHING,
    "watching": NOTHING,
    "archived": NOTHING,
    "archiving": NOTHING,
    "archive_state": NOTHING,
    "learning": NOTHING,
    "schemas": NOTHING,
    "janitor": NOTHING,
    "streams": NOTHING,
    "audit": Planter.audit,
    "copied": NOTHING,
    "erasures": NOTHING,
    "erasing": NOTHING,
    "sign_in_link": NOTHING,
}
"""How something of a company gets into each kind of key."""


def kinds_of_keys() -> set[str]:
    """Return all kinds of keys; `source` is one of two others."""
    return {name for name, _ in inspect.getmembers(Keys, inspect.isfunction) if name[0] != "_"} - {"source"} | {
        "events"
    }


async def plant(store: Store, company: str) -> None:
    """Put something of a company into every key that may have anything."""
    planter = Planter(store, company)
    for sow in dict.fromkeys(sow for sow in PLANTS.values() if not isinstance(sow, str)):
        await sow(planter)


async def plant_groups(store: Store) -> None:
    """Make two subscriptions, of which one has lines."""
    for name in (SUBSCRIPTION, KEYED):
        for key in (store.keys.events(CUSTOMERS), store.keys.inbox(CUSTOMERS, name)):
            await store.client.xgroup_create(key, name, "0", mkstream=True)


def plant_spool(keys: Keys, folder: Path, company: str) -> None:
    """Leave a spool file with events of a company, and one that is broken, as an ingress that was killed does."""
    file = SpoolFile.claim(folder)
    try:
        for number in (1, 2):
            fields = fields_of(company, f"spooled-{company[-4:]}-{number}")
            parts = tuple(part for pair in fields.items() for part in pair)
            file.add([Entry(keys.events(CUSTOMERS), keys.seen(CUSTOMERS, fields["id"]), parts, 100)])
        torn = f'\xff{{"contextId": "{company}", "note'.encode("latin-1")
        insert = "INSERT INTO broken (stream, marker, size, fields) VALUES (?, 'm', 1, ?)"
        file._db.execute(insert, (keys.events(CUSTOMERS), torn))
    finally:
        file.close()


async def plant_archive(archive: Archive, *companies: str) -> None:
    """Write an object with an event of each of some companies."""
    fields = [_as_bytes(fields_of(company, f"archived-{company[-4:]}")) for company in companies]
    entries = [Archived(CUSTOMERS, f"{1_760_000_000_000 + number}-0", each) for number, each in enumerate(fields)]
    name = ObjectName(CUSTOMERS, entries[0].entry_id, entries[-1].entry_id, archive.suffix)
    writer = archive.writer(archive.suffix)
    writer.add(entries)
    await archive.place.put(str(name), writer.finish(), still)


def _as_bytes(fields: Mapping[str, Any]) -> dict[bytes, bytes]:
    return {name.encode(): value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()}


async def left_in_store(store: Store, text: bytes) -> list[str]:
    """Return the keys whose name or bytes have a text in them, as the server writes them into its files."""
    found = []
    async for key in _all_keys(store):
        dumped = await store.command("DUMP", key)
        if text in key or text in (dumped or b""):
            found.append(key.decode(errors="replace"))
    return sorted(found)


def left_in_files(folder: Path, text: bytes) -> list[str]:
    """Return the files of a folder that have a text in them."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return sorted(str(file) for file in files if text in file.read_bytes())


async def without_compression(store: Store) -> None:
    """Have the servers write what they hold as it is, so that a text can be found in it."""
    target = {"target_nodes": RedisCluster.ALL_NODES} if store.cluster else {}
    await store.client.execute_command("CONFIG SET", "rdbcompression", "no", **target)


async def _all_keys(store: Store) -> AsyncIterator[bytes]:
    client: Any = store.client
    async for key in client.scan_iter(match="*", count=1000):
        if store.keys.prefix.encode() in key:
            yield key
