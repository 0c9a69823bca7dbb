"""The selector: one grammar for all commands on dead letters."""

from datetime import UTC, datetime, timedelta

import pytest
from support.filling import CUSTOMERS, history, raw_of

from router.events.catalogue import Catalogue
from router.store.reading import Span
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.selector import Selector

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
DIED = datetime(2025, 5, 31, tzinfo=UTC)
ENTRY = f"{int(DIED.timestamp() * 1000)}-3"


@pytest.fixture(scope="module")
def letter(catalogue: Catalogue) -> DeadLetterEntry:
    """Return a dead letter of three attempts; the last failed with `Client.Timeout: no answer from 10.0.0.1`."""
    fields = {
        b"id": b"abc",
        b"at": b"1748000000000",
        b"raw": raw_of("abc", resource="customer/55"),
        b"attempts": b"3",
        b"history": history("no answer from 10.0.0.1", error="Client.Timeout"),
        b"reason": b"failed 3 of 3 attempts",
    }
    return DeadLetterEntry(catalogue, CUSTOMERS, "sync", ENTRY.encode(), fields)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, True),
        ({"events": "visma-net-financial/customer_*"}, True),
        ({"events": "visma-net-financial/*"}, True),
        ({"events": "customer_*"}, True),
        ({"events": "Customer_Changed"}, True),
        ({"events": "supplier_*"}, False),
        ({"events": "supplier_*,customer_*"}, True),
        ({"events": "supplier_*,visma-net-journal-transaction/*"}, False),
        ({"events": "visma-net-journal-transaction/*"}, False),
        ({"events": "visma-net-financial"}, False),
        ({"subscription": "sync"}, True),
        ({"subscription": "syn"}, False),
        ({"error": "Timeout"}, True),
        ({"error": "client.timeout"}, True),
        ({"error": "*out"}, True),
        ({"error": "ValueError"}, False),
        ({"text": "NO ANSWER"}, True),
        ({"text": "3 of 3"}, True),
        ({"text": "refused"}, False),
        ({"resource": "customer/55"}, True),
        ({"resource": "customer/*"}, True),
        ({"resource": "customer/5"}, False),
        ({"attempts": 3}, True),
        ({"attempts": 4}, False),
        ({"since": DIED}, True),
        ({"since": DIED + timedelta(seconds=1)}, False),
        ({"until": DIED}, True),
        ({"until": DIED - timedelta(seconds=1)}, False),
        ({"ids": frozenset({"abc", "other"})}, True),
        ({"ids": frozenset({ENTRY})}, True),
        ({"ids": frozenset({"other"})}, False),
        ({"events": "customer_*", "subscription": "sync", "error": "Timeout", "attempts": 2}, True),
        ({"events": "customer_*", "subscription": "other"}, False),
    ],
)
def test_matches(letter: DeadLetterEntry, given: dict, wanted: bool) -> None:  # noqa: FBT001
    """A dead letter is selected when it is as wanted in every respect that is given."""
    assert Selector(**given).matches(letter) is wanted


@pytest.mark.parametrize(
    ("text", "wanted"), [("1749…00-3", False), (f"{ENTRY[:5]}…{ENTRY[-5:]}", True), ("abc…", False), ("…", False)]
)
def test_shortened_id(letter: DeadLetterEntry, text: str, wanted: bool) -> None:  # noqa: FBT001
    """An id may be given as a narrow table shows it; too little of one selects nothing, and never everything."""
    selector = Selector().narrowed(text)
    assert selector.matches(letter) is wanted
    assert not selector.is_empty
    assert selector.span() == Span("-", "+")
    assert selector.describe() == {"shortened": [text]}
    assert Selector().narrowed(text, "abc").matches(letter)


def test_unreadable_event(catalogue: Catalogue, letter: DeadLetterEntry) -> None:
    """A dead letter whose event cannot be read has no resource, and is selected by everything else."""
    unreadable = DeadLetterEntry(catalogue, CUSTOMERS, "sync", ENTRY.encode(), {**letter.fields, b"raw": b"\xff"})
    assert not Selector(resource="customer/*").matches(unreadable)
    assert Selector(events="customer_*", text="answer").matches(unreadable)


def test_streams(catalogue: Catalogue) -> None:
    """A glob without a slash takes the type of any publisher."""
    streams = catalogue.streams()
    assert Selector(events="salesorder_created").streams(streams) == tuple(
        stream for stream in streams if stream.endswith("/salesorder_created")
    )
    assert Selector().streams(streams) == streams


def test_is_empty() -> None:
    """Only a selector to which nothing was given is empty."""
    assert Selector().is_empty
    assert not Selector(attempts=1).is_empty
    assert Selector(text="").is_empty


@pytest.mark.parametrize(
    ("given", "span"),
    [
        ({}, Span("-", "+")),
        ({"since": DIED}, Span(ENTRY.partition("-")[0], "+")),
        ({"until": DIED}, Span("-", "+")),
        ({"since": datetime(1, 1, 1, tzinfo=UTC)}, Span("0", "+")),
        ({"ids": frozenset({"9-1", "10-0", "10-2"})}, Span("9-1", "10-2")),
        ({"ids": frozenset({"9-1", "abc"})}, Span("-", "+")),
    ],
)
def test_span(given: dict, span: Span) -> None:
    """Only entries that can match are read: those of the time, or between the entry ids, that are given."""
    assert Selector(**given).span() == span


def test_describe() -> None:
    """The log gets what was given and nothing else."""
    given = Selector(events="customer_*", since=DIED, ids=frozenset({"b", "a"}))
    assert given.describe() == {"events": "customer_*", "since": str(DIED), "ids": ["a", "b"]}
