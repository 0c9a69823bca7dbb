"""The forms of an object: lossless, the same for the same entries, and never half read."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from support.filling import CUSTOMERS, raw_of

from workers.archive import jsonl, parquet
from workers.archive.errors import Damaged
from workers.archive.line import Archived

ENTRIES = [
    Archived(
        CUSTOMERS,
        f"17644608{number:05}-0",
        {
            b"id": b"e%d" % number,
            b"at": b"%d" % (1_764_460_800_000 + number),
            b"event": b'{"id":"e%d","company_id":"51","resource":"customer/1","action":7}' % number,
            b"raw": raw_of(f"e{number}") if number % 2 else b"\xff\x00",
            **({b"hints": b"{}", b"trace": b"t", b"generation": b"g"} if number % 3 else {}),
            **({b"more": b"\xfe"} if number % 5 == 0 else {}),
        },
    )
    for number in range(2500)
]


def written(form: Any, entries: Sequence[Archived] = ENTRIES) -> bytes:
    """Return an object, written in two steps."""
    writer = form()
    assert writer.add(entries[:1000]) > 0
    writer.add(entries[1000:])
    content: bytes = writer.finish()
    return content


FORMS = pytest.mark.parametrize(("form", "read"), [(jsonl.JsonLines, jsonl.read), (parquet.Parquet, parquet.read)])


@FORMS
def test_all_comes_back(form: Any, read: Any) -> None:
    """Each entry comes back as it was, in its order; the same entries make the same bytes."""
    content = written(form)
    assert list(read(io.BytesIO(content))) == ENTRIES
    assert written(form) == content


@FORMS
def test_an_object_may_be_empty(form: Any, read: Any) -> None:
    """An object from which all was removed is one that holds nothing."""
    writer = form()
    assert list(read(io.BytesIO(writer.finish()))) == []


@FORMS
@pytest.mark.parametrize("part", [0, 1, 10, 500, -1])
def test_what_ends_early_is_damaged(form: Any, read: Any, part: int) -> None:
    """An object that was cut off anywhere is damaged, whatever of it can be read."""
    content = written(form)
    with pytest.raises(Damaged):
        list(read(io.BytesIO(content[:part])))


@FORMS
def test_what_was_changed_is_damaged(form: Any, read: Any) -> None:
    """A byte that has changed is found out, wherever it is in what is kept of events."""
    content = written(form)
    for place in range(200, len(content) - 2000, len(content) // 7):
        with pytest.raises(Damaged):
            list(read(io.BytesIO(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])))


@FORMS
def test_what_is_of_others_is_damaged(form: Any, read: Any) -> None:
    """A file of somebody else is no object."""
    with pytest.raises(Damaged):
        list(read(io.BytesIO(b"hello\n" * 1000)))
