"""A line of the archive: an entry comes back byte for byte, whatever is in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.filling import CUSTOMERS, raw_of

from workers.archive.line import Archived, read_line, write_line

ENTRY = "1764460800000-0"
USUAL = {
    b"id": b"e1",
    b"at": b"1764460799990",
    b"event": b'{"id":"e1","ticks":638000000000000001,"nested":{"a": 1.0}}',
    b"raw": raw_of("e1"),
    b"hints": b'{"x-a":["b"]}',
    b"trace": b"00-ab-cd-01",
    b"generation": b"g",
}

NAMES = st.sampled_from([*USUAL]) | st.binary(max_size=5)
VALUES = st.sampled_from([*USUAL.values(), b"", b"007", b"{", b'{"a":1}\n', b"\xff", b'"\\ud800"', b" 1"]) | st.binary()


def test_the_usual_line_is_the_record() -> None:
    """The fields of the contract stand under their names; the event and the hints as JSON, unchanged."""
    line = write_line(Archived(CUSTOMERS, ENTRY, USUAL))
    found = json.loads(line)
    assert found["raw"] == USUAL[b"raw"].decode()
    assert (found["entry"], found["stream"], found["id"], found["at"]) == (ENTRY, CUSTOMERS, "e1", 1764460799990)
    assert USUAL[b"event"] in line
    assert set(found) == {"entry", "stream", "id", "at", "event", "raw", "hints", "trace", "generation"}


def test_bytes_that_are_no_text_are_base64() -> None:
    """A body that is no UTF-8 is kept in base64, beside the fields that can be read."""
    entry = Archived(CUSTOMERS, ENTRY, {**USUAL, b"raw": b"\xff\x00"})
    line = write_line(entry)
    assert json.loads(line)["raw_base64"] == "/wA="
    assert read_line(line) == entry


@given(
    fields=st.dictionaries(NAMES, VALUES, max_size=9) | st.dictionaries(NAMES, VALUES).map(lambda more: USUAL | more)
)
def test_every_entry_comes_back(fields: dict[bytes, bytes]) -> None:
    """Any names and values, such as somebody edited manually, come back as they were, from one line."""
    entry = Archived(CUSTOMERS, ENTRY, fields)
    line = write_line(entry)
    assert b"\n" not in line
    assert read_line(line) == entry


@given(st.binary() | st.sampled_from([b"{}", b"[]", b'{"entry":"1-1"}', b'{"entry":"x","stream":"s","raw":""}']))
def test_what_is_no_line_is_an_error(line: bytes) -> None:
    """Anything else is refused by the one error that readers expect."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is of the decoder
        read_line(line)
