"""Makes what a sender may write on a connection: requests in good order, forged ones, and ones that are hardly HTTP."""

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from fuzz.mutate import Mutator

__all__ = ["HEADER", "PATH", "Answer", "Exchange", "Requests", "sign", "whole"]

PATH = b"/webhooks/visma-net-financial"
HEADER = b"x-vwd-signature-v1"
_METHODS = (b"GET", b"PUT", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"PATCH", b"PRI", b"post", b"", b"P\x00T")
_TARGETS = (
    *(b"", b"/", b"*", b"//", b"/webhooks", b"/webhooks/", b"/webhooks/nobody", b"/" + b"x" * 9000, b"/\xff\xfe"),
    *(PATH + b"/", PATH + b"?x=" + b"y" * 200, PATH + b"#x", PATH + b"%00", b"/webhooks/%76isma-net-financial"),
    *(b"http://x" + PATH, b"http://[", b"x:443", b"/webhooks/../healthz", b"/webhooks/visma-net-journal-transaction"),
)
_VERSIONS = (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"http/1.1", b"HTTP/1.1 x", b"")
_NAMES = (
    *(b"Content-Type", b"Content-Encoding", b"Content-Length", b"Transfer-Encoding", b"Trailer", b"TE", b"Expect"),
    *(b"Connection", b"Upgrade", b"Sec-WebSocket-Key", b"HTTP2-Settings", b"Host", b"X-Forwarded-For", b"Via"),
    *(b"Cookie", b"Accept", b"Range", b"If-Match", b"X-HTTP-Method-Override", b"x-vwd-notification-id", HEADER),
    *(b"\xff", b"a b", b""),
)
_VALUES = (
    *(b"", b" ", b"\t", b"x", b"x" * 5000, b"\x00", b"\xff\xfe", b"a\rb", b"a\nb", b"%00", b"127.0.0.1"),
    *(b"gzip", b"identity", b"chunked", b"identity, chunked", b"chunked, chunked", b"xchunked", b"100-continue"),
    *(b"close", b"keep-alive", b"upgrade", b"websocket", b"h2c", b"application/json; charset=utf-16"),
    *(b"0", b"-1", b"+5", b"1e3", b"0x10", b"9" * 30, b"5, 5"),
)
_CHUNK_SIZES = (
    *(b"", b"0", b"-1", b"FFFFFFFFFFFFFFFFF", b"7fffffffffffffff", b"0x5", b"g", b"5 ", b" 5", b"5\n"),
    *(b"5;a=b", b'5;a="\r\n"'),
)


class Answer(Enum):
    """What must become of an exchange."""

    STORED = "it is answered 202, and all of it is stored"
    REFUSED = "it is answered 401, and nothing of it is stored"
    ANY = "it may be answered with 202 or 4xx, or cut off; of what is signed all or nothing is stored"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is written on one connection, the signed bodies in it, and what must come of it; one answer for each."""

    data: bytes
    signed: tuple[bytes, ...]
    answer: Answer
    answers: int = 1


def sign(secret: bytes, body: bytes) -> bytes:
    """Return the signature, made without the code under test."""
    return base64.b64encode(hmac.digest(secret, body, "sha256"))


def whole(body: bytes, signature: bytes | None, *extra: bytes) -> bytes:
    """Return one request in good order."""
    signatures = [] if signature is None else [HEADER + b": " + signature]
    lines = [b"POST " + PATH + b" HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *signatures, *extra]
    return b"\r\n".join([*lines, b"", b""]) + body


class Requests:
    """Exchanges by number: each is made from the seed and its number alone, so any of them can be made again."""

    def __init__(self, seed: int, secret: bytes, bodies: Sequence[bytes]) -> None:
        self._seed = seed
        self._secret = secret
        self._bodies = bodies

    def make(self, number: int) -> Exchange:
        """Return exchange number so and so."""
        random = Random(f"{self._seed}:{number}")
        body = Mutator(random, self._bodies).next()
        kind = random.random()
        if kind < 0.35:
            return Exchange(whole(body, sign(self._secret, body)), (body,), Answer.STORED)
        if kind < 0.55:
            return Exchange(whole(body, self._forged(random, body)), (), Answer.REFUSED)
        if kind < 0.6:
            return self._several(random, body)
        makers = (
            self._odd_line,
            self._odd_headers,
            self._odd_headers,
            self._odd_framing,
            self._odd_framing,
            self._odd_bytes,
        )
        return Exchange(random.choice(makers)(random, body), (body,), Answer.ANY)

    def _forged(self, random: Random, body: bytes) -> bytes | None:
        good = sign(self._secret, body)
        return random.choice(
            (
                *(
                    None,
                    b"",
                    b"x",
                    good[:-1],
                    good[1:],
                    good.swapcase(),
                    good.rstrip(b"="),
                    base64.b64decode(good).hex().encode(),
                ),
                *(sign(b"another", body), sign(self._secret, body + b" "), sign(b"", body), b"sha256=" + b"0" * 64),
                *(b",".join([b"x"] * 8 + [good]), b"\xff" + good, b"Bearer " + good, b"=" * 44, b"x" * 4000),
            )
        )

    def _several(self, random: Random, body: bytes) -> Exchange:
        """Make several good requests in one go, which are answered in their order."""
        bodies = [
            body,
            *(b'{"event":"customer_changed","notificationId":"p%d"}' % random.getrandbits(60) for _ in range(3)),
        ]
        random.shuffle(bodies)
        data = b"".join(whole(one, sign(self._secret, one)) for one in bodies)
        return Exchange(data, tuple(bodies), Answer.STORED, len(bodies))

    def _odd_line(self, random: Random, body: bytes) -> bytes:
        line = [b"POST", PATH, b"HTTP/1.1"]
        part = random.randrange(3)
        line[part] = random.choice((_METHODS, _TARGETS, _VERSIONS)[part])
        separator = random.choice((b" ", b" ", b" ", b"  ", b"\t"))
        return separator.join(line) + whole(body, sign(self._secret, body)).partition(b"HTTP/1.1")[2]

    def _odd_headers(self, random: Random, body: bytes) -> bytes:
        """Make a good request with a few headers more, which may make it a bad one."""
        extra = []
        for _ in range(random.choice((1, 1, 2, 3, 150))):
            colon = random.choice((b": ", b": ", b": ", b":", b" : ", b""))
            extra.append(random.choice(_NAMES) + colon + random.choice(_VALUES))
        return whole(body, sign(self._secret, body), *extra)

    def _odd_framing(self, random: Random, body: bytes) -> bytes:
        """Make a request whose length is told in another way, or not truly."""
        head = [b"POST " + PATH + b" HTTP/1.1", b"Host: x", HEADER + b": " + sign(self._secret, body)]
        if random.random() < 0.4:
            told = random.choice((len(body) + 1, max(0, len(body) - 1), 0, 10**9, 2**63, 2**64, -1))
            return b"\r\n".join([*head, b"Content-Length: %d" % told, b"", b""]) + body
        fields = [b"Transfer-Encoding: " + random.choice((b"chunked", b"chunked", b"Chunked", *_VALUES))]
        if random.random() < 0.3:
            fields.append(b"Content-Length: %d" % random.choice((len(body), 0, 5)))
        random.shuffle(fields)
        return b"\r\n".join([*head, *fields, b"", b""]) + self._chunked(random, body)

    def _chunked(self, random: Random, body: bytes) -> bytes:
        size = random.choice((1, 7, 100, max(1, len(body))))
        pieces = [body[start : start + size] for start in range(0, len(body), size)][:300]
        chunks = [b"%x\r\n" % len(piece) + piece + b"\r\n" for piece in pieces]
        last = random.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"0\r\n", b"", b"00000\r\n\r\n"))
        if random.random() < 0.3:
            chunks.insert(random.randint(0, len(chunks)), random.choice(_CHUNK_SIZES) + b"\r\nhello\r\n")
        return b"".join(chunks) + last

    def _odd_bytes(self, random: Random, body: bytes) -> bytes:
        """Make a good request and damage it anywhere."""
        return Mutator(random, [whole(body, sign(self._secret, body))]).next()
