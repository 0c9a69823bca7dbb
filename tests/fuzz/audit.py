"""What must be in the store, and what may be, after all that was sent: nothing more, and each thing once."""

from hashlib import blake2b

from fuzz.requests import Answer, Exchange

from router.events.catalogue import Catalogue
from router.events.identify import Identified, Unreadable, identify
from router.store.client import Store
from router.store.reading import Span, forward

__all__ = ["Audit"]

_PUBLISHER = "visma-net-financial"


def _short(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=12).digest()


class Audit:
    """Adds up what is sent, and compares it with a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._catalogue = Catalogue.load()
        self._must: set[tuple[str, str]] = set()
        self._quarantined: set[bytes] = set()
        self._signed: set[tuple[str, bytes]] = set()

    def expect(self, exchange: Exchange) -> None:
        """Take note of what is sent with a good signature."""
        for body in exchange.signed:
            for item in identify(self._catalogue, _PUBLISHER, body, None):
                place = item.stream if isinstance(item, Identified) else item.reason
                self._signed.add((place, _short(item.raw)))
                if exchange.answer is not Answer.STORED:
                    continue
                if isinstance(item, Unreadable):
                    self._quarantined.add(_short(item.raw))
                else:
                    self._must.add((item.stream, item.id))

    async def check(self) -> None:
        """Assert that the store holds all that must be there once, and nothing that nobody signed."""
        await self._check_events()
        await self._check_quarantine()
        await self._check_keys()

    async def _check_events(self) -> None:
        found: set[tuple[str, str]] = set()
        for stream in self._catalogue.streams():
            async for _, fields in forward(self._store, self._store.keys.events(stream), Span()):
                one = (stream, fields[b"id"].decode())
                assert one not in found, f"stored twice: {one}"
                found.add(one)
                assert (stream, _short(fields[b"raw"])) in self._signed, f"nobody signed {fields}"
        assert self._must <= found, f"not stored: {list(self._must - found)[:5]}"

    async def _check_quarantine(self) -> None:
        found: set[bytes] = set()
        async for _, fields in forward(self._store, self._store.keys.quarantine(_PUBLISHER), Span()):
            one = _short(fields[b"raw"])
            assert one not in found, f"quarantined twice: {fields}"
            found.add(one)
            assert (fields[b"reason"].decode(), one) in self._signed, f"nobody signed {fields}"
        assert self._quarantined <= found, f"{len(self._quarantined - found)} are not in the quarantine"

    async def _check_keys(self) -> None:
        prefix = self._store.keys.prefix
        async for key in self._store.client.scan_iter(match=f"{prefix}*", count=1000):
            name = key.decode(errors="replace")
            assert name.startswith(f"{prefix}:{{"), f"not a key of the router: {name}"
            if not name.startswith(f"{prefix}:{{traffic}}:"):
                assert "}:seen:" in name or name.endswith(("}:events", "}:quarantine")), f"not a key of ingress: {name}"
