"""A dead letter as a line of JSON."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.filling import CUSTOMERS

from router.events.catalogue import Catalogue
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.lines import BadLine, line_of, read_line

_NAMES = st.binary(max_size=12).filter(lambda name: name != b"origin") | st.sampled_from([b"base64:", b"base64:aWQ="])


def _line(catalogue: Catalogue, fields: dict[bytes, bytes], entry_id: bytes = b"1750000000000-3") -> bytes:
    return line_of(DeadLetterEntry(catalogue, CUSTOMERS, "sync", entry_id, fields))


@given(fields=st.dictionaries(_NAMES, st.binary(max_size=40) | st.text(max_size=20).map(str.encode), min_size=1))
def test_round_trip(fields: dict[bytes, bytes]) -> None:
    """Whatever bytes an entry holds, its line is one line of JSON, and gives the same bytes in the same order."""
    line = _line(Catalogue.of([]), fields)
    json.loads(line)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    read = read_line(line)
    assert list(read.fields.items()) == list(fields.items())
    assert (read.stream, read.subscription, read.entry_id) == (CUSTOMERS, "sync", "1750000000000-3")


def test_any_tool_may_rewrite_it(catalogue: Catalogue) -> None:
    """A line that was parsed and written anew by another program, keys sorted, means the same."""
    line = _line(catalogue, {b"id": b"e1", b"raw": b"\xff\x00{", "größe".encode(): "ä".encode()})
    again = json.dumps(json.loads(line), sort_keys=True, indent=None).encode()
    assert read_line(again).fields == read_line(line).fields


def test_an_imported_letter_is_exported_as_it_was(catalogue: Catalogue) -> None:
    """The field that an import adds is not exported; the entry in which the event died is, as ever."""
    fields = {b"id": b"e1", b"raw": b"{}"}
    assert _line(catalogue, {**fields, b"origin": b"1750000000000-3"}, b"1760000000000-0") == _line(catalogue, fields)


GOOD: dict[str, Any] = {
    "stream": CUSTOMERS,
    "subscription": "sync",
    "entry_id": "1-0",
    "fields": {"id": "e1"},
    "version": 1,
}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (None, "Expected `object`, got `null`"),
        ({"stream": None}, r"Expected `str`, got `null` - at `\$.stream`"),
        ({"stream": ...}, "missing required field `stream`"),
        ({"entry_id": "now"}, "entry_id: 'now' is none"),
        ({"entry_id": "\N{ARABIC-INDIC DIGIT ONE}-0"}, "is none"),  # a digit to Python, and an error to the server
        ({"fields": {"id": "e1", "base64:aWQ=": "e2"}}, "two have the same name"),
        ({"fields": {}}, "has 1 to 1000"),
        ({"fields": {str(n): "" for n in range(1001)}}, "has 1 to 1000"),
        ({"fields": {"id": 7}}, "got `int`"),
        ({"fields": {"id": {"base64": "%%"}}}, "base64: "),
        ({"fields": {"base64:%": ""}}, "base64: "),
        ({"fields": {"id": {"hex": "00"}}}, "unknown field `hex`"),
        ({"fields": {"id": "e1", "origin": "1-0"}}, "none called origin"),
        ({"version": 2}, "Invalid enum value 2"),
        ({"more": 1}, "unknown field `more`"),
    ],
)
def test_bad_lines(change: dict[str, Any] | None, why: str) -> None:
    """A line that is no exported dead letter is refused with what is wrong with it."""
    whole = {**GOOD, **change} if change is not None else None
    line = {name: value for name, value in whole.items() if value is not ...} if whole else None
    with pytest.raises(BadLine, match=why):
        read_line(json.dumps(line).encode())


@pytest.mark.parametrize("line", [b"", b"{", b"\xff", b'{"stream": "\\ud800"}', b'{"a":' * 9999, b"[" * 99999])
def test_no_json(line: bytes) -> None:
    """What is no JSON, or cut off, is refused."""
    with pytest.raises(BadLine):
        read_line(line)


def test_what_is_wrong_is_told_briefly() -> None:
    """A line of megabytes is not quoted whole."""
    with pytest.raises(BadLine) as refused:
        read_line(json.dumps({**GOOD, "x" * 1_000_000: 1}).encode())
    assert len(str(refused.value)) <= 200


def test_good_lines() -> None:
    """What is good is read, base64 too."""
    assert read_line(json.dumps(GOOD).encode()).event_id == b"e1"
    named = {"base64:" + base64.b64encode(b"\xff").decode(): {"base64": base64.b64encode(b"\xfe").decode()}}
    assert read_line(json.dumps({**GOOD, "fields": named}).encode()).fields == {b"\xff": b"\xfe"}
