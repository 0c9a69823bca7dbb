"""What is named by a company or a tenant: quotas of limits, sweeps of a reconciliation, incidents and their notices."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

from router.store import scripts
from router.store.errors import forgiven
from router.store.reading import Span, checked, forward
from workers.incidents import notice_of
from workers.incidents.incident import Incident, incident_of
from workers.operations.audit import CHANGED
from workers.operations.erasing.found import Found, Ground, Place
from workers.operations.erasing.lines import scanned
from workers.operations.erasing.masking import without_ids

__all__ = ["Breakers", "Filters", "Incidents", "LastWords", "Muted", "Notices", "Quotas", "Sweeps"]


_WHERE = "where"


class Quotas(Place):
    """The quotas that limits have for it."""

    name = "limits"

    async def found(self) -> AsyncIterator[Found]:
        """Yield them, limit by limit."""
        keys = self.store.keys
        names = [name.decode(errors="replace") async for name, _ in scanned(self, "ZSCAN", keys.limits())]
        for name in names:
            async for subject, used in scanned(self, "ZSCAN", keys.limited(name)):
                text = subject.decode(errors="backslashreplace")
                if self.ground.whose.is_named(text):
                    found = {text: used}
                    yield Found(place=self, where=keys.limited(name), id=text, content=found, payload=(name, subject))

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Forget them; who calls again learns them again."""
        keys, counts = self.store.keys, Counter({CHANGED: len(items)})
        for name, subject in (item.payload for item in items):
            quota = keys.quota(name, subject.decode(errors="replace"))
            await self.commands(("DEL", quota), ("ZREM", keys.limited(name), subject))
        return counts


class Sweeps(Place):
    """How far the sweeps of its records are, and which records there are; also of sweeps that are no longer set."""

    name = "reconciliations"

    async def found(self) -> AsyncIterator[Found]:
        """Yield what each hash has, field by field: there may be a field for each record."""
        keys = self.store.keys
        async for key in self.store.keys_like(keys.swept("*", "*").replace(":state:", ":*:")):
            reconciliation, company = _swept_of(key)
            tenant, _, own = company.partition("/")
            if key == keys.sweeping(reconciliation, company) or not self._wants(reconciliation, tenant, own):
                continue
            async for field, value in scanned(self, "HSCAN", key):
                text = field.decode(errors="backslashreplace")
                lease = keys.sweeping(reconciliation, company)
                content, payload = {text: value}, (lease, key, field)
                yield Found(place=self, where=key, id=text, content=content, whose=(tenant, own), payload=payload)

    def _wants(self, reconciliation: str, tenant: str, company: str) -> bool:
        settings, whose = self.ground.settings.reconcile, self.ground.whose
        if whose.publisher is not None:
            terms = settings.get(reconciliation)
            if terms is None or terms.publisher != whose.publisher:
                return False
        return whose.wants(tenant, company)

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Forget them; a sweep under way may write nothing any more, since it loses its lease first."""
        for lease in dict.fromkeys(item.payload[0] for item in items):
            await self.commands(("DEL", lease))
        removed = await self.commands(*(("HDEL", *item.payload[1:]) for item in items))
        return Counter({CHANGED: sum(removed)})


class Incidents(Place):
    """The incidents that are about it."""

    name = "incidents"

    async def found(self) -> AsyncIterator[Found]:
        """Yield those that last."""
        key = self.store.keys.incidents()
        async for name, text in scanned(self, "HSCAN", key):
            if is_about(self.ground, name, incident_of(text)):
                yield _field(self, key, name, text)

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Remove them."""
        return Counter({CHANGED: sum(await self.commands(*(("HDEL", item.where, item.payload) for item in items)))})


class Muted(Incidents):
    """The incidents about it that nobody wants to hear of."""

    name = "muted incidents"

    async def found(self) -> AsyncIterator[Found]:
        """Yield them."""
        key = self.store.keys.muted()
        async for name, until in scanned(self, "HSCAN", key):
            if is_about(self.ground, name, None):
                yield _field(self, key, name, until)


class Notices(Place):
    """The notices of incidents that were about it."""

    name = "notices"

    async def found(self) -> AsyncIterator[Found]:
        """Yield the oldest first."""
        key = self.store.keys.notices()
        async for entry_id, fields in forward(self.store, key, Span()):
            if is_about(self.ground, b"", notice_of(fields)):
                yield Found(place=self, where=key, id=entry_id.decode(), content=fields)

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Remove them, whichever notifier has one in hand."""
        call = scripts.erase(self.store.keys.notices(), [item.id for item in items])
        return Counter({CHANGED: checked(await self.store.run([call]))[0]})


class Filters(Place):
    """The filters of subscriptions, as workers note them, where they name it."""

    name = "filters"

    async def found(self) -> AsyncIterator[Found]:
        """Yield the conditions."""
        names = self.ground.subscriptions
        where = [self.store.keys.filter(name) for name in names]
        replies = await self.store.commands([("HGET", key, _WHERE) for key in where]) if names else []
        for name, key, conditions in zip(names, where, checked(forgiven(replies, where, b"")), strict=True):
            text = (conditions or b"").decode(errors="replace")
            if (masked := without_ids(self.ground, text)) != text:
                yield Found(place=self, where=key, id=name, content={_WHERE: conditions}, payload=masked)

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Mask the ids; a worker whose code or settings still have them notes them again when it starts."""
        return await self.exchange(*((item.where, _WHERE, item.content[_WHERE], item.payload) for item in items))


class Breakers(Place):
    """Why targets were down, where the reason names it."""

    name = "breakers"

    async def found(self) -> AsyncIterator[Found]:
        """Yield the reasons."""
        keys = self.store.keys
        names = [name.decode(errors="replace") async for name, _ in scanned(self, "ZSCAN", keys.breakers())]
        where = [keys.breaker(name) for name in names]
        replies = await self.store.commands([("HGET", key, "reason") for key in where])
        for name, key, reason in zip(names, where, checked(forgiven(replies, where, b"")), strict=True):
            if self.ground.whose.is_in((reason or b"").decode(errors="replace")) or self.ground.whose.is_named(name):
                yield Found(place=self, where=key, id=name, content={name: reason}, payload=reason)

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Mask the reasons; a breaker that is named by it goes, and closes with that."""
        named = [item for item in items if self.ground.whose.is_named(item.id)]
        for item in named:
            await self.commands(("DEL", item.where), ("ZREM", self.store.keys.breakers(), item.id))
        others = [(item.where, "reason", item.payload, self._masked(item)) for item in items if item not in named]
        return await self.exchange(*others) + Counter({CHANGED: len(named)})

    def _masked(self, item: Found) -> str:
        return self.ground.whose.masked(item.payload.decode(errors="replace"))


class LastWords(Place):
    """What forwards and notifiers were answered last, where that names it."""

    name = "last answers"

    async def found(self) -> AsyncIterator[Found]:
        """Yield the answers."""
        keys = self.store.keys
        names = [name.decode(errors="replace") async for name, _ in scanned(self, "ZSCAN", keys.notifiers())]
        for key in (keys.forwards(), *map(keys.notified, names)):
            async for name, text in scanned(self, "HSCAN", key):
                if self.ground.whose.is_in(text.decode(errors="replace")):
                    yield Found(
                        place=self, where=key, id=name.decode(errors="replace"), content={name: text}, payload=name
                    )

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Mask it there."""
        texts = [item.content[item.payload].decode(errors="surrogateescape") for item in items]
        masked = [self.ground.whose.masked(text).encode(errors="surrogateescape") for text in texts]
        pairs = zip(items, masked, strict=True)
        return await self.exchange(*((i.where, i.payload, i.content[i.payload], text) for i, text in pairs))


def is_about(ground: Ground, name: bytes, incident: Incident | None) -> bool:
    """Return whether an incident is about it: its name has it, or one of its sentences."""
    texts = [name.decode(errors="replace")]
    texts += [incident.subject, incident.what, incident.do, incident.command] if incident else []
    return any(ground.whose.is_named(text) for text in texts[:2]) or any(map(ground.whose.is_in, texts))


def _swept_of(key: str) -> tuple[str, str]:
    """Return the reconciliation and the company that a key is of."""
    tag, _, rest = key.partition("{reconcile:")[2].partition("}:")
    return tag, rest.partition(":")[2]


def _field(place: Place, key: str, name: bytes, value: Any) -> Found:
    text = name.decode(errors="backslashreplace")
    return Found(place=place, where=key, id=text, content={text: value}, payload=name)
