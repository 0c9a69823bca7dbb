"""Rules of the record: what ingress writes is what a worker reads, and its form is named in one place."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.corpus import load_corpus

import router
import workers
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.fields import UnreadableEvent
from router.events.identify import Identified, identify
from router.events.normalise import normalise
from router.events.samples import body, sample
from router.intake.entry import entry_of
from router.store import record
from router.store.keys import Keys

CATALOGUE = Catalogue.load(on_demand=True)
STREAMS = CATALOGUE.streams()
FINANCIAL = "visma-net-financial"
CUSTOMERS = f"{FINANCIAL}/customer_changed"
AT = 1_763_828_400_123
RECEIVED = datetime.fromtimestamp(AT / 1000, UTC)
HINTS = b'{"orderref":"17"}'
RAW = body([sample(CATALOGUE, CUSTOMERS, Random(1), RECEIVED)])
NAMES = [name for event in CATALOGUE.publishers[FINANCIAL].events for name in event.names]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = ["NotificationId", "contextId", "action", "resourceUri", "resourceId", "timeStamp", "IsScheduler", "TenantId"]
items = st.builds(
    lambda name, known, other: {**other, **known, "event": name},
    st.sampled_from(NAMES) | st.text(min_size=1, max_size=20),
    st.dictionaries(st.sampled_from(MEMBERS), anything, max_size=8),
    st.dictionaries(st.text(max_size=12), anything, max_size=4),
)


def stored(publisher: str, raw: bytes, hints: bytes = b"") -> list[tuple[Identified, dict[bytes, bytes]]]:
    """Return the events of a body, each with the fields that ingress writes for it, as a server returns them."""
    found = [item for item in identify(CATALOGUE, publisher, raw, None) if isinstance(item, Identified)]
    return [(item, as_read(entry_of(Keys(), publisher, item, AT, hints).fields)) for item in found]


def as_read(fields: tuple[Any, ...]) -> dict[bytes, bytes]:
    """Return fields as a server returns them."""
    texts = [part if isinstance(part, bytes) else str(part).encode() for part in fields]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def entry(**changed: bytes | None) -> dict[bytes, bytes]:
    """Return the entry of a sample, with fields changed or, where None, taken out."""
    [(_, fields)] = stored(FINANCIAL, RAW)
    for name, value in changed.items():
        fields.pop(name.encode())
        if value is not None:
            fields[name.encode()] = value
    return fields


def check(publisher: str, raw: bytes) -> int:
    """Assert that each event of a body is read as what normalising makes of it; return how many there are."""
    found = stored(publisher, raw, HINTS)
    for item, fields in found:
        event = normalise(CATALOGUE, item.stream, item.id, item.raw, RECEIVED, {"orderref": "17"})
        read = record.read_event(CATALOGUE, item.stream, fields)
        assert b"event" in fields
        assert read == event
        assert read == record.read_event(CATALOGUE, item.stream, fields, renormalise=True)
        assert list(read.model_dump()) == list(event.model_dump())
        assert repr(read) == repr(event)  # 1 and 1.0 are equal, and not the same
    return len(found)


@pytest.mark.parametrize("stream", STREAMS)
def test_what_is_written_of_a_sample_is_what_is_read(stream: str) -> None:
    """For a sample of every stream, the event that is read is the one that normalising makes."""
    for seed in range(10):
        assert check(stream.partition("/")[0], body([sample(CATALOGUE, stream, Random(seed), RECEIVED)])) == 1


def test_what_is_written_of_the_corpus_is_what_is_read() -> None:
    """The same holds for the bodies that senders and attackers send."""
    assert sum(check(FINANCIAL, case.body) for case in load_corpus()) > 50


@given(items, st.sampled_from(sorted(CATALOGUE.publishers)))
def test_what_is_written_of_any_item_is_what_is_read(item: dict[str, Any], publisher: str) -> None:
    """The same holds for any values in known and unknown fields, whole numbers of any size among them."""
    check(publisher, json.dumps(item).encode())


def test_the_fields_of_an_entry() -> None:
    """An entry is `id`, `at`, `event`, `raw`, with `hints` where there are any; the names are in this order."""
    [(item, fields)] = stored(FINANCIAL, RAW, HINTS)
    assert list(fields) == [b"id", b"at", b"event", b"raw", b"hints"]
    assert (fields[b"id"], fields[b"at"], fields[b"raw"]) == (item.id.encode(), str(AT).encode(), item.raw)


def test_the_event_is_compact_json_with_the_names_of_the_model() -> None:
    """`event` is the event without what is None or empty, without `raw` and `hints`: as the model shows it."""
    fields = entry()
    written = json.loads(fields[b"event"])
    event = record.read_event(CATALOGUE, CUSTOMERS, fields)
    shown = event.model_dump(mode="json", exclude={"raw", "hints"}, exclude_none=True)
    assert {**written, "extra": written.get("extra", {})} == {
        **shown,
        **{name: getattr(event, name).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for name in ("occurred_at", "received_at")},
    }
    assert None not in written.values()
    assert b": " not in fields[b"event"]
    assert b", " not in fields[b"event"]


def test_the_form_has_every_field_of_the_model() -> None:
    """A field that the model gains is written and read too."""
    assert [*record._FORM, "hints", "raw"] == list(Event.model_fields)


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff",
    b"{",
    b"[" * 100_000,
    b'{"id":1}',
    b'{"id":"a","publisher":"p","type":"t","wire_event":"w"}',
    b'{"id":"a","publisher":"p","type":"t","wire_event":"w","received_at":"yesterday"}',
    b'{"id":"a","publisher":"p","type":"t","wire_event":"w","received_at":"2025-01-01T00:00:00"}',
    b'{"id":"a","publisher":"p","type":"t","wire_event":"w","received_at":"0001-01-01T00:00:00+01:00"}',
    b'{"id":"a","publisher":"p","type":"t","wire_event":"w","received_at":"2025-01-01T00:00:00Z","extra":[]}',
    b'{"id":"a","publisher":"p","type":"t","wire_event":"w","received_at":"2025-01-01T00:00:00Z","ticks":"1"}',
]


@pytest.mark.parametrize("event", [None, *HOSTILE])
def test_an_event_that_is_missing_or_edited_manually_is_made_of_raw(event: bytes | None) -> None:
    """An entry of an earlier version, and one with anything else in `event`, is read by normalising `raw`."""
    fields = entry(event=event)
    made = record.read_event(CATALOGUE, CUSTOMERS, entry())
    assert record.read_event(CATALOGUE, CUSTOMERS, fields) == made


@given(st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode()))
def test_nothing_in_an_event_field_raises(event: bytes) -> None:
    """Whatever somebody wrote into `event`, the entry is an event."""
    assert record.read_event(CATALOGUE, CUSTOMERS, entry(event=event)).wire_event


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "another"},
        {"publisher": "another"},
        {"type": "supplier_changed"},
        {"extra": {"a": json.loads("[" * 300 + "]" * 300)}},
    ],
)
def test_an_event_of_another_entry_is_made_of_raw(changed: dict[str, Any]) -> None:
    """What is read has the id of its entry, the name of its stream, and no nesting that cannot be written again."""
    written = {**json.loads(entry()[b"event"]), **changed}
    event = record.read_event(CATALOGUE, CUSTOMERS, entry(event=json.dumps(written).encode()))
    assert event == record.read_event(CATALOGUE, CUSTOMERS, entry())
    assert json.loads(event.model_dump_json())


def test_much_in_extra_is_read_as_it_is() -> None:
    """Many lists beside each other are no deep nesting."""
    written = {**json.loads(entry()[b"event"]), "entity": "from the entry", "extra": {"a": [[]] * 300}}
    event = record.read_event(CATALOGUE, CUSTOMERS, entry(event=json.dumps(written).encode()))
    assert (event.entity, event.extra) == ("from the entry", {"a": [[]] * 300})


def test_fields_of_later_versions_are_ignored() -> None:
    """An `event` with a name that the model does not have is read."""
    fields = entry()
    written = {**json.loads(fields[b"event"]), "since": {"version": 2}, "entity": "from the entry"}
    event = record.read_event(CATALOGUE, CUSTOMERS, {**fields, b"event": json.dumps(written).encode()})
    assert event.entity == "from the entry"


def test_times_are_in_utc_whatever_zone_they_are_written_in() -> None:
    """What a reader gets is in UTC, as the model says."""
    written = {**json.loads(entry()[b"event"]), "received_at": "2025-11-22T18:20:00+02:00"}
    event = record.read_event(CATALOGUE, CUSTOMERS, entry(event=json.dumps(written).encode()))
    assert event.received_at == datetime(2025, 11, 22, 16, 20, tzinfo=UTC)
    assert event.received_at.tzinfo is UTC


@pytest.mark.parametrize("name", ["id", "raw"])
def test_an_entry_without_id_or_raw_is_none_of_ours(name: str) -> None:
    """No event is made of what no ingress wrote."""
    with pytest.raises(UnreadableEvent, match="no id or no raw"):
        record.read_event(CATALOGUE, CUSTOMERS, entry(**{name: None}))


def test_an_item_that_cannot_be_normalised_is_stored_without_event() -> None:
    """A fault of ours in normalising or writing costs no event: the entry has its `raw`."""
    item = Identified(CUSTOMERS, "a", RAW)
    for broken in (item, Identified(CUSTOMERS, "a", RAW, {"id": 1j}), Identified(CUSTOMERS, "a", RAW, {1.5j: "a"})):
        assert entry_of(Keys(), FINANCIAL, broken, AT).fields == (b"id", "a", b"at", AT, b"raw", RAW)


def test_scripts_have_the_names_of_the_record() -> None:
    """The names that the scripts know are those of the record, and no other file of theirs has one of them."""
    folder = Path(record.__file__).parent / "scripts"
    library = folder / "lib" / "fields.lua"
    ours = library.read_text().partition("local OURS")[2]
    constants = dict(zip(*(re.findall(r"[\w']+", part) for part in _assignment(library.read_text())), strict=True))
    bare = set(re.findall(r"(\w+) = true", re.sub(r"\[\w+\] = true", "", ours)))
    named = {constants[name].strip("'") for name in re.findall(r"\[(\w+)\] = true", ours)}
    assert {name.encode() for name in bare | named} == record.FIELDS
    names = "|".join(name.decode() for name in record.FIELDS)
    for file in folder.glob("*.lua"):
        code = re.sub(r"--.*", "", file.read_text())
        # pause.lua writes no event: its `reason` is that of a pause
        found = [] if file.stem == "pause" else re.findall(rf"'({names})'", code)
        assert found == [], file.name


def _assignment(text: str) -> tuple[str, str]:
    """Return both sides of the first assignment of the library of names."""
    left, _, right = text.partition("local ID")[2].partition("local OURS")[0].partition("=")
    return f"ID{left}", right


def test_only_the_record_names_fields() -> None:
    """Outside of the record no code names a field of an entry; audit and pauses have entries of their own."""
    names = "|".join(name.decode() for name in record.FIELDS)
    apart = {"audit.py", "pauses.py"}
    for package in (router, workers):
        for file in Path(package.__path__[0]).rglob("*.py"):
            if file.name not in apart and file != Path(record.__file__):
                assert re.findall(rf"\bb\"({names})\"", file.read_text()) == [], file
