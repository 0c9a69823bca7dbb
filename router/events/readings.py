"""What bytes may say: as they are, decompressed, and in the other encodings of Unicode. All of it as UTF-8."""

import zlib
from collections.abc import Iterator
from typing import Final

__all__ = ["readings"]

_GZIP: Final = b"\x1f\x8b\x08"
_ZLIB: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_PIECE: Final = 16 * 1024 * 1024
"""Bytes of something decompressed that are looked at together: a megabyte may become a gigabyte."""
_OVERLAP: Final = 1024
_DEEP: Final = 3
_WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


def readings(raw: bytes) -> Iterator[bytes]:
    """Yield each reading that differs from the bytes themselves, and these first; what makes no sense is among them."""
    yield from _readings(raw, _DEEP)


def _readings(raw: bytes, deep: int) -> Iterator[bytes]:
    yield raw
    if b"\0" in raw:  # no character of JSON, XML or a form, but a part of each of theirs in these encodings
        for encoding in _WIDE:
            yield raw.decode(encoding, errors="replace").encode(errors="replace")
        yield raw.replace(b"\0", b"")
    start = 0 if raw.startswith(_ZLIB) else raw.find(_GZIP)
    if deep and start >= 0:
        for piece in _decompressed(raw[start:]):
            yield from _readings(piece, deep - 1)


def _decompressed(raw: bytes) -> Iterator[bytes]:
    """Yield what something compressed has, as far as it is whole."""
    before = b""
    while raw:
        decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            while not decompressor.eof and (piece := decompressor.decompress(raw, _PIECE)):
                yield before + piece
                before, raw = piece[-_OVERLAP:], decompressor.unconsumed_tail
        except zlib.error:
            return
        raw = decompressor.unused_data if decompressor.eof else b""
