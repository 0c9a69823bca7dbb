"""Fills the lines of a keyed subscription as its workers would."""

import json
from collections.abc import Sequence
from itertools import count

from support.filling import CUSTOMERS

from router.store.client import Store
from router.store.lines import Claim, Item, Lines, Merging
from workers.keyed.entry import pack, place_of, ref_of

__all__ = ["KeyedBench"]

_LEASE = 60_000
_FIRST = 1_760_000_000_000


class KeyedBench:
    """The lines of one subscription; what is brought there are events of customers, each one a second later."""

    def __init__(self, store: Store, subscription: str = "sync", *, most: int = 500, first: int = _FIRST) -> None:
        self.store = store
        self.name = subscription
        self.lines = Lines(store.keys, subscription, Merging(0, 0, most))
        self._numbers = count()
        self._first = first
        self._claims = count()

    async def bring(
        self, *ids: str, customer: str = "1", company: str = "7", merged: bool = False, again: bool = False
    ) -> list[bytes]:
        """Bring events of a customer whose key is `/company/customer/…`; return their refs."""
        await self.store.call(self.lines.lead("mover", _LEASE))
        key = f"/{company}/customer/{customer}".encode()
        items = [self._item(id_, key, customer, company, merged=merged, again=again) for id_ in ids]
        assert await self.store.call(self.lines.add("mover", _LEASE, items)) == len(ids)
        return [item.ref for item in items]

    async def bring_stored(
        self,
        *entry_ids: str,
        key: str = "/7/customer/1",
        merged: bool = False,
        again: str = "",
        names: Sequence[str] = (),
    ) -> list[bytes]:
        """Bring entries of the stream of customers as they are there.

        again: the entry of the inbox that each has. names: the ids of events that each has stood for before.
        """
        await self.store.call(self.lines.lead("mover", _LEASE))
        items = []
        for entry_id in entry_ids:
            ((_, fields),) = await self.store.client.xrange(self.store.keys.events(CUSTOMERS), entry_id, entry_id)
            order = {b"order": entry_id.encode()} if again else {}
            at = (again or entry_id).encode()
            ref = ref_of(CUSTOMERS, at, {**fields, **order}, inbox=bool(again), may_be_merged=merged)
            rows = json.dumps([[id_, CUSTOMERS.partition("/")[2], _FIRST] for id_ in names]).encode()
            parts = [part for pair in {**fields, b"merged": rows}.items() for part in pair]
            source = "inbox" if again else "source"
            items.append(Item(source, place_of(at), key.encode(), ref, pack(b"7", parts)))
        assert await self.store.call(self.lines.add("mover", _LEASE, items)) == len(items)
        return [item.ref for item in items]

    async def claim(self, room: int = 100, worker: str = "w1") -> list[tuple[Claim, bytes, bytes]]:
        """Claim as a worker does; return claims, refs and bodies."""
        token = f"{worker}/run/{next(self._claims)}"
        rows, *_ = await self.store.call(self.lines.claim(token, room, _LEASE))
        return [(Claim(row[0], token), row[1], row[3]) for row in rows]

    async def hold(self, customer: str = "1", company: str = "7") -> None:
        """Have the key of a customer held, as after a dead letter of its first event."""
        for claim, ref, _ in await self.claim():
            if claim.key == f"/{company}/customer/{customer}".encode():
                await self.settle(claim, ref, hold=True)
            else:
                await self.store.call(self.lines.back(claim))

    async def settle(self, claim: Claim, *refs: bytes, hold: bool = False) -> None:
        """End events."""
        assert await self.store.call(self.lines.settle([(claim, refs)], hold=hold)) == []

    async def handled(self) -> list[bytes]:
        """Handle all that is ready, and return the refs in that order."""
        found: list[bytes] = []
        while claims := await self.claim():
            for claim, ref, _ in claims:
                await self.settle(claim, ref)
                found.append(ref)
        return found

    def _item(self, id_: str, key: bytes, customer: str, company: str, *, merged: bool, again: bool) -> Item:
        number = next(self._numbers)
        entry_id = f"{self._first + 1000 * number}-0".encode()
        fields = {
            b"id": id_.encode(),
            b"at": str(self._first + 1000 * number).encode(),
            **_event(id_, customer, company),
        }
        ref = ref_of(CUSTOMERS, entry_id, fields, inbox=again, may_be_merged=merged)
        parts: Sequence[bytes] = [part for pair in fields.items() for part in pair]
        return Item("source", place_of(entry_id), key, ref, pack(company.encode(), parts))


def _event(id_: str, customer: str, company: str) -> dict[bytes, bytes]:
    raw = {
        "event": CUSTOMERS.partition("/")[2],
        "notificationId": id_,
        "companyId": company,
        "resourceUri": f"v1/customer/{customer}",
    }
    return {b"raw": json.dumps(raw).encode()}
