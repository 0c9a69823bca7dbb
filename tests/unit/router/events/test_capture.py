"""Samples of bodies: they show what a sender sends, and nothing of what it said."""

import json
import re
from base64 import urlsafe_b64decode
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_events, put_group, put_quarantined

from router.events.capture import Sample, sample_of
from router.events.catalogue import Catalogue
from router.events.vocabulary import Vocabulary
from router.store.client import Store

WORDS = Vocabulary.of(Catalogue.load().publishers.values())


def sample(body: Any, seed: int = 1, words: Vocabulary = WORDS, **hints: str) -> Sample:
    """Make a sample of bytes, or of a value as JSON."""
    return sample_of(body if isinstance(body, bytes) else json.dumps(body).encode(), hints, words, Random(seed))


def made(body: Any, **options: Any) -> Any:
    """Return what a sample of a JSON body says."""
    return json.loads(sample(body, **options).body)


def scalars(value: Any) -> list[Any]:
    """Return all values in a value, in their order."""
    if isinstance(value, dict):
        return [found for child in value.values() for found in scalars(child)]
    if isinstance(value, list):
        return [found for child in value for found in scalars(child)]
    return [value]


def says_something(text: str) -> bool:
    """Return whether a text of three characters or more has any that is neither a space nor a control character."""
    return len(text) >= 3 and any(letter.isprintable() and not letter.isspace() for letter in text)


texts = st.text(max_size=20) | st.from_regex(r"[A-Za-z0-9 .@/_-]{0,20}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
seeds = st.integers(0, 2**32)


@given(values, seeds)
@example(10**12, 0)  # times with hardly any other that is as round
@example(2 * 10**9, 0)
@example(6 * 10**17, 0)
def test_no_value_survives(body: Any, seed: int) -> None:
    """No text and no number of three characters or more is a value of the sample, but for words of the wire."""
    found = scalars(made(body, seed=seed))
    originals = {
        text
        for value in scalars(body)
        if value is not None and not isinstance(value, bool)
        for text in [value if isinstance(value, str) else json.dumps(value)]
        if says_something(text) and text not in ("true", "false")
    }
    written = {value if isinstance(value, str) else json.dumps(value) for value in found}
    survivors = originals & written
    assert not [text for text in survivors if not WORDS.keeps(text, "status")]


@given(values, seeds)
def test_the_structure_stays(body: Any, seed: int) -> None:
    """Objects, lists, the kinds of values and their lengths are those of the original."""
    raw = json.dumps(body)
    written = sample(body, seed=seed).body.decode()
    assert re.sub(r"[^][{},:]", "", re.sub(r'"(?:[^"\\]|\\.)*"', "", raw)) == re.sub(
        r"[^][{},:]", "", re.sub(r'"(?:[^"\\]|\\.)*"', "", written)
    )
    before, after = _in_order(body), _in_order(json.loads(written, object_pairs_hook=list))
    assert [type(value) for value in before] == [type(value) for value in after]


def _in_order(value: Any) -> list[Any]:
    """Return all values of a value whose objects may be lists of pairs, names left out."""
    if isinstance(value, dict):
        return [found for child in value.values() for found in _in_order(child)]
    if isinstance(value, list):
        children = [child[1] if isinstance(child, tuple) else child for child in value]
        return [found for child in children for found in _in_order(child)]
    return [value]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode), seeds)
@example(b"cu_stomerchanged", 0)
def test_whatever_the_bytes(raw: bytes, seed: int) -> None:
    """A body that is no JSON gives a sample of as many bytes or so, and none of its words is in it."""
    found = sample(raw, seed=seed).body.decode(errors="surrogateescape")
    originals = re.findall(r"[A-Za-z]{5,}", raw.decode(errors="surrogateescape"))
    ours = {word for word in originals if WORDS.keeps_name(word) or WORDS.keeps(word, "") or word == "false"}
    for name in re.findall(r"[\w.-]+", raw.decode(errors="surrogateescape")):
        if WORDS.keeps(name, ""):  # with breaks wherever the sender likes them
            ours.update(re.findall(r"[A-Za-z]{5,}", name))
    assert not [
        word for word in originals if word not in ours and re.search(rf"(?<![A-Za-z]){word}(?![A-Za-z])", found)
    ]


CANARIES = ["Ola Nordmann", "ola.nordmann@firma.no", "+47 912 34 567", "NO9386011117947", "Storgata 12, Oslo"]


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize(
    "shape",
    [
        '{{"event": "customer_changed", "name": "{0}"}}',
        '{{"event": "{0}"}}',
        '{{"a": [{{"b": ["{0}"]}}], "{0}": 1}}',
        '{{"relativeResourceUri": "v1/customer/{0}", "x": "{0} and {0}"}}',
        '{{"event": "customer_changed", "name": "{0}',
        '<Event name="{0}">{0}</Event>',
        "event=customer_changed&name={0}",
        "{0}",
        "[\"{0}\", '{0}'",
        '{{"{0}": {{"{0}": "{0}"}}',
    ],
)
def test_nothing_personal_survives(canary: str, shape: str) -> None:
    """Wherever it stands, in JSON, in what is cut short or in no JSON at all, nothing of it can be read."""
    found = sample(shape.format(canary).encode()).body.decode().lower()
    for word in re.findall(r"[^\W_]{3,}", canary.lower()):
        assert word not in found


BODY = {
    "NotificationId": "BC0FA46D-44da-45c4-8c18-a26cb6eca33c",
    "contextId": 5100001,
    "event": "customer_changed",
    "action": "Updated",
    "resourceId": "A#1",
    "resourceUri": "https://api.finance.visma.net/v1/customer/A%231",
    "relativeResourceUri": "api/v1/inventory/b64(QSMx)",
    "timeStamp": 638974335577900000,
    "IsScheduler": False,
    "companyNo": 0,
    "amount": -1234.50,
    "at": "2025-10-30T15:05:57.7900000Z",
    "day": "30.10.2025",
    "again": ["bc0fa46d-44da-45c4-8c18-a26cb6eca33c", 5100001, "5100001", None, ""],
    "email": "ola@firma.no",
}


def test_each_value_keeps_its_kind() -> None:
    """Words of the wire stay; a GUID, a date, ticks, an address and a number become others of their kind."""
    found = made(BODY)
    for name in ("event", "action", "IsScheduler", "companyNo"):
        assert found[name] == BODY[name]
    guid = r"[0-9A-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    assert re.fullmatch(guid, found["NotificationId"])
    assert len(str(found["contextId"])) == 7
    assert 10**17 * 6 < found["timeStamp"] < 10**17 * 6.6
    assert re.fullmatch(r"-[1-9]\d{3}\.\d+", str(found["amount"]))
    datetime.fromisoformat(found["at"][:26])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", found["at"])
    datetime.strptime(found["day"], "%d.%m.%Y")  # noqa: DTZ007 - only whether it is one
    assert re.fullmatch(r"[a-z]{3}@[a-z]{5}\.[a-z]{2}", found["email"])
    assert list(found) == list(BODY)


def test_the_same_value_is_the_same_everywhere() -> None:
    """Ids that were one are one, whatever their case and however they are written: as a number, in a path, encoded."""
    found = made(BODY)
    guid, number, text, *rest = found["again"]
    assert guid == found["NotificationId"].lower()
    assert (number, text, rest) == (found["contextId"], str(found["contextId"]), [None, ""])
    item = found["resourceId"]
    assert re.fullmatch(r"[A-Z]#[0-9]", item)
    scheme, host, path = re.fullmatch(r"(https)://([^/]+)/(.*)", found["resourceUri"]).groups()  # type: ignore[union-attr]
    assert (scheme, path) == ("https", f"v1/customer/{item.replace('#', '%23')}")
    assert "visma" not in host
    encoded = re.fullmatch(r"api/v1/inventory/b64\((.*)\)", found["relativeResourceUri"])
    assert encoded
    assert urlsafe_b64decode(encoded[1]).decode() == item


def test_unknown_names_and_words() -> None:
    """A name that programs would give stays and is told; one that could be data does not. Words of events stay."""
    body = {"creditNoteNbr": "1234", "Ola Nordmann": 1, "ola@firma.no": 1, "id1234567": 1, "Ålesund": 1, "secret": "x"}
    found = sample({**body, "event": "CreditNote_Released", "eventType": "Ola_Released", "note": "secret"})
    names = list(json.loads(found.body))
    assert names[0] == "creditNoteNbr"
    assert not {"Ola Nordmann", "ola@firma.no", "id1234567", "Ålesund"} & set(names)
    assert len(names) == 9
    assert found.names == ("creditNoteNbr", "note")  # `secret` is also a value
    said = json.loads(found.body)
    assert said["event"] == "CreditNote_Released"
    assert said["eventType"].endswith("_Released")
    assert not said["eventType"].startswith("Ola")
    kept = made(
        {"event": "Dunning_Sent"}, words=Vocabulary.of(Catalogue.load().publishers.values(), ["dunning", "sent"])
    )
    assert kept == {"event": "Dunning_Sent"}
    assert made({"event": "Dunning_Sent"}) != kept


def test_it_is_drawn_at_random() -> None:
    """Another draw gives another sample: nothing in it is worked out of the original."""
    assert sample(BODY, seed=1) == sample(BODY, seed=1)
    assert scalars(made(BODY, seed=1)) != scalars(made(BODY, seed=2))


def test_hints_are_disguised_alike() -> None:
    """What came in headers is replaced too, and is the same as in the body."""
    found = sample({"tenantId": "abc-17"}, orderref="abc-17")
    assert found.hints["orderref"] == json.loads(found.body)["tenantId"] != "abc-17"


def test_escapes_and_marks_stay() -> None:
    """How a sender writes its JSON can be seen: escapes, spaces, a byte order mark, repeated names."""
    raw = b'\xef\xbb\xbf{ "a" : "\\u00c5se \\/ b",\n\t"a":"\xc3\x85se" }'
    found = sample(raw).body
    assert re.fullmatch(
        rb'\xef\xbb\xbf\{ "[a-z]" : "\\u00[cd][0-9a-f][a-z]{2} \\/ [a-z]",\n\t"[a-z]":"\xc3.[a-z]{2}" \}', found
    )


# The commands


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return a command line with an event and with bodies that could not be read."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        await put_events(store, "e1", resource="customer/55555", company=5100001)
        await put_quarantined(store, b'{"name": "Ola Nordmann", "notificationId": 7', reason="not valid JSON")
        await put_quarantined(store, b"\xff\xfeOla", reason="not valid UTF-8")

    cli.fill(fill)
    return cli


def test_capture_of_an_event(filled: Cli) -> None:
    """The sample says of which publisher and event it is, the unknown names are told, and the audit has who took it."""
    result = filled.run("events", "capture", "e1")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["publisher"], found["event"], found["version"]) == (FINANCIAL, CUSTOMERS.partition("/")[2], 1)
    body = json.loads(found["body"])
    assert body["event"] == "customer_changed"
    assert body["relativeResourceUri"] == f"v1/customer/{body['resourceId']}"
    assert "55555" not in result.stdout
    assert "5100001" not in result.stdout
    (line,) = filled.json("audit")
    assert (line["verb"], line["subject"], line["matched"]) == ("events capture", "event e1 to -", 1)
    filled.fails(3, "events", "capture", "nothing")


def test_capture_of_what_is_quarantined(filled: Cli) -> None:
    """A body that cannot be read is a sample too: into a file that is nobody else's to read, or on stdout."""
    second, first = (row["entry_id"] for row in filled.json("quarantine", "list"))
    assert "wrote a sample to sample.json" in filled.run("quarantine", "capture", first, "sample.json").stderr
    found = json.loads(Path("sample.json").read_text())
    assert (found["publisher"], found["reason"]) == (FINANCIAL, "not valid JSON")
    assert "notificationId" in found["body"]
    assert "Nordmann" not in found["body"]
    assert Path("sample.json").stat().st_mode & 0o777 == 0o600
    assert "exists already" in filled.fails(2, "quarantine", "capture", first, "sample.json")
    assert set(json.loads(filled.ok("quarantine", "capture", second))["body"]) == {"base64"}
    assert [line["verb"] for line in filled.json("audit")] == ["quarantine capture"] * 2
    filled.fails(3, "quarantine", "capture", "9-9")
