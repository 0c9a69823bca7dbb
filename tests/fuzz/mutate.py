"""Makes bodies that are nearly right: mutates the corpus and what was found worth keeping, as bytes and as JSON."""

import json
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

__all__ = ["Mutator", "small"]

_LARGEST = 6000  # bytes: larger bodies are in the corpus; here what counts is their number
_KEYS = (
    *("event", "Event", "e-v-e-n-t", "notificationId", "NotificationId", "notification_id", "contextId", "companyId"),
    *("action", "resourceId", "entityId", "resourceUri", "relativeResourceUri", "entityLocation", "timeStamp"),
    *("ApiClientId", "TenantId", "IsScheduler", "ischeduler", "ConnectId", "UserId", "erpEvent", "documentStatus"),
    *("", "id", "raw", "extra", "\u0000", "\ud800", "é", "İ"),
)
_TEXTS = (
    *("customer_changed", "Customer_Updated", "customer/changed", "unlisted", "*", "..", "", " ", "\u0000", "\ud83d"),
    *("😀", "\u202e", "İ", "v1/customer/5", "../x", "//x", "%2e%2e", "https://x/y", "\\", "a\r\nb", "{x}", "x:y"),
    *("638974335577900000", "-1", "9" * 50, "2025-10-22T12:32:37Z", "0001-01-01T00:00:00+14:00", "true", "x" * 300),
)
_NUMBERS = (0, -1, 1.5, -0.0, 1e308, 638974335577900000, 3155378976000000000, 2**63, 2**64, -(2**63), 10**40, 10**400)
_TOKENS = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"null", b"true", b"NaN", b"1e999"),
    *(b"-0", b"0.0", b"\x00", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n", b" ", b"9" * 40),
    *(b'"event":', b'"notificationId":', b'"customer_changed"', b"{},", b"[[", b"//"),
)


def small(bodies: Iterable[bytes]) -> list[bytes]:
    """Return those that are worth mutating."""
    return [body for body in bodies if len(body) <= _LARGEST]


class Mutator:
    """An endless source of bodies, the same for the same seed; what is kept is mutated again."""

    def __init__(self, random: Random, bodies: Sequence[bytes]) -> None:
        self._random = random
        self._pool = list(bodies)
        self._changes: tuple[Callable[[bytes], bytes], ...] = (
            *(self._flip, self._insert, self._drop, self._repeat, self._splice, self._cut, self._wrap),
            *(self._in_json, self._in_json, self._in_json, self._in_json),
        )

    def next(self) -> bytes:
        """Return a body: now and then made from nothing, mostly one of the pool with a few changes."""
        if self._random.random() < 0.2:
            return self._written(self._item() if self._random.random() < 0.7 else self._items())
        body = self._random.choice(self._pool)
        for _ in range(self._random.choice((1, 1, 1, 2, 2, 4, 8))):
            body = self._random.choice(self._changes)(body)[:_LARGEST]
        return body

    def keep(self, body: bytes) -> None:
        """Mutate this one from now on too: it was something new."""
        self._pool.append(body)

    # On bytes

    def _flip(self, body: bytes) -> bytes:
        if not body:
            return b"\x00"
        place = self._random.randrange(len(body))
        return body[:place] + bytes([self._random.randrange(256)]) + body[place + 1 :]

    def _insert(self, body: bytes) -> bytes:
        place = self._random.randint(0, len(body))
        return body[:place] + self._random.choice(_TOKENS) + body[place:]

    def _drop(self, body: bytes) -> bytes:
        first, last = self._range(body)
        return body[:first] + body[last:]

    def _repeat(self, body: bytes) -> bytes:
        first, last = self._range(body)
        return body[:first] + body[first:last] * self._random.choice((2, 3, 70)) + body[last:]

    def _splice(self, body: bytes) -> bytes:
        other = self._random.choice(self._pool)
        return body[: self._random.randint(0, len(body))] + other[self._random.randint(0, len(other)) :]

    def _cut(self, body: bytes) -> bytes:
        return body[: self._random.randint(0, len(body))]

    def _wrap(self, body: bytes) -> bytes:
        before, after = self._random.choice(((b"[", b"]"), (b'{"event":', b"}"), (b" ", b"\n"), (b"[", b",{}]")))
        return before + body + after

    def _range(self, body: bytes) -> tuple[int, int]:
        first = self._random.randint(0, len(body))
        return first, min(len(body), first + self._random.choice((1, 2, 5, 20, 200)))

    # On JSON

    def _in_json(self, body: bytes) -> bytes:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return self._flip(body)
        return self._written(self._changed(value))

    def _changed(self, value: Any) -> Any:
        """Change one thing somewhere in a value."""
        if isinstance(value, dict) and value and self._random.random() < 0.8:
            key = self._random.choice(list(value))
            change = self._random.randrange(4)
            if change == 0:
                return {name: kept for name, kept in value.items() if name != key}
            if change == 1:
                return {self._key() if name == key else name: kept for name, kept in value.items()}
            return {**value, key: self._value() if change == 2 else self._changed(value[key])}
        if isinstance(value, list) and value and self._random.random() < 0.8:
            place = self._random.randrange(len(value))
            return [*value[:place], self._changed(value[place]), *value[place + self._random.randrange(2) :]]
        if isinstance(value, dict):
            return {**value, self._key(): self._value()}
        return self._value()

    def _items(self) -> list[Any]:
        return [
            self._item() if self._random.random() < 0.9 else self._value() for _ in range(self._random.randrange(6))
        ]

    def _item(self) -> dict[str, Any]:
        return {
            "event": self._random.choice(_TEXTS),
            "notificationId": f"n{self._random.randrange(10**9)}",
            **{self._key(): self._value() for _ in range(self._random.randrange(8))},
        }

    def _key(self) -> str:
        key = self._random.choice(_KEYS)
        return self._random.choice((key, key, key, key.upper(), f"{key}_", f" {key}"))

    def _value(self, depth: int = 0) -> Any:
        kind = self._random.randrange(10 if depth < 3 else 7)
        if kind < 3:
            return self._random.choice(_TEXTS)
        if kind < 5:
            return self._random.choice(_NUMBERS)
        if kind < 7:
            return self._random.choice((None, True, False, "n" + str(self._random.randrange(100))))
        if kind == 7:
            return [self._value(depth + 1) for _ in range(self._random.randrange(4))]
        return {self._key(): self._value(depth + 1) for _ in range(self._random.randrange(4))}

    def _written(self, value: Any) -> bytes:
        """Write JSON as some sender would; a lone surrogate stays one, as an escape or as bytes."""
        try:
            text = json.dumps(
                value, ensure_ascii=self._random.random() < 0.5, indent=self._random.choice((None, None, 2))
            )
        except (ValueError, RecursionError):
            return b"[" * 2000
        return text.encode("utf-8", "surrogatepass")
