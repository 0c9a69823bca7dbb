"""Rules of what a message says, before any channel writes it."""

from zoneinfo import ZoneInfo

import pytest

from workers.incidents.incident import Incident
from workers.notify.message import Message, Notice, compose, sample

NOW = 1_796_000_000_000  # 2026-11-30 00:53:20 UTC
HOUR = 3_600_000
OSLO, UTC = ZoneInfo("Europe/Oslo"), ZoneInfo("UTC")


def incident(subject: str = "visma-net-financial/51", *, kind: str = "silence", over: int | None = None) -> Incident:
    """Return an incident that began two hours ago."""
    return Incident(
        kind, subject, NOW - 2 * HOUR, "Nothing came.", "See whether it sends.", "event-router doctor", over
    )


def said(*incidents: Incident, at: int = NOW, zone: ZoneInfo = UTC) -> Message:
    """Return what is said of these, whose notices came at a time."""
    notices = [Notice(f"{at}-{number}", at, one) for number, one in enumerate(incidents)]
    message = compose("ops", notices, NOW, zone=zone, fresh=86_400)
    assert message is not None
    return message


def test_what_happened_since_when_and_what_to_do() -> None:
    """One that begins says what happened, since when, what to do, and by which command."""
    message = said(incident())
    [item] = message.items
    assert message.title == item.title == "Began: silence of visma-net-financial/51"
    assert (item.what, item.when, item.do, item.command) == (
        "Nothing came.",
        "Since 2026-11-29 22:53 UTC",
        "See whether it sends.",
        "event-router doctor",
    )


@pytest.mark.parametrize(
    ("lasted", "words"),
    [
        (0, "less than a second"),
        (59_000, "59 s"),
        (61_000, "1 min 1 s"),
        (2 * HOUR + 13 * 60_000, "2 h 13 min"),
        (50 * HOUR, "2 d 2 h"),
    ],
)
def test_one_that_is_over_says_how_long_it_lasted(lasted: int, words: str) -> None:
    """The text of the end has both times, and the span between them in its two largest units."""
    [item] = said(incident(over=NOW - 2 * HOUR + lasted)).items
    assert item.title == "Over: silence of visma-net-financial/51"
    assert item.when.startswith("From 2026-11-29 22:53 UTC to ")
    assert item.when.endswith(f": it lasted {words}")


def test_times_are_in_the_zone_of_the_notifier() -> None:
    """A zone is named beside each time that is in it."""
    assert said(incident(), zone=OSLO).items[0].when == "Since 2026-11-29 23:53 CET"


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
@pytest.mark.parametrize("since", [10**20, -(10**20), 0])
def test_any_time_can_be_written(zone: str, since: int) -> None:
    """A time at either end of what a calendar has, which anybody may write into the store, stops no notifier."""
    notice = Notice("1-1", since, Incident("silence", "p", since, "w", "d", "c", over=since + 10**30))
    for now in (NOW, 0):
        message = compose("ops", [notice], now, zone=ZoneInfo(zone), fresh=60.0)
        assert message is not None


def test_a_burst_is_one_message() -> None:
    """Ten are reported by themselves, and the rest is counted by kind."""
    burst = [incident(f"p/{number}", kind="dead" if number > 20 else "silence") for number in range(30)]
    message = said(*burst)
    assert message.title == "Incidents: 30 began"
    assert (len(message.items), message.more) == (10, 20)
    assert message.rest == "20 more (silence 11, dead 9). What lasts is listed by: event-router incidents list"


def test_what_began_and_is_over_by_now_is_told_once() -> None:
    """Of one incident only its last notice is reported; one that began again is another."""
    again = Incident("silence", "p/1", NOW, "Nothing came.", "See.", "event-router doctor")
    first = incident("p/1")
    over = incident("p/1", over=NOW - HOUR)
    message = said(first, incident("p/2"), over, again)
    assert [item.title for item in message.items] == [
        "Over: silence of p/1",
        "Began: silence of p/2",
        "Began: silence of p/1",
    ]
    assert message.title == "Incidents: 2 began, 1 over"


def test_what_is_too_old_is_summed_up() -> None:
    """Notices that are older than a day are not reported as if they came now."""
    old = [Notice(f"{n}-0", NOW - 30 * HOUR, incident(f"p/{n}")) for n in range(3)]
    message = compose("ops", [*old, Notice("9-0", NOW, incident("p/9"))], NOW, zone=UTC, fresh=86_400)
    assert message is not None
    assert message.title == "Incidents: 1 began, 3 reported late"
    assert [item.incident.subject for item in message.items] == ["p/9"]
    assert message.late is not None
    assert message.late.text.startswith(
        "3 notices from 2026-11-28 18:53 UTC to 2026-11-28 18:53 UTC could not be reported"
    )
    assert "(silence 3)" in message.late.text


def test_nothing_is_no_message() -> None:
    """Where there is no notice there is nothing to say."""
    assert compose("ops", [], NOW, zone=UTC, fresh=86_400) is None


def test_the_id_is_that_of_the_notices() -> None:
    """The same notices have the same id at any time, and others or another notifier another one."""
    notices = [Notice("1-0", NOW, incident())]
    later = compose("ops", notices, NOW + HOUR, zone=UTC, fresh=86_400)
    other = compose("boss", notices, NOW, zone=UTC, fresh=86_400)
    assert later is not None
    assert other is not None
    assert said(incident()).id != later.id != other.id


def test_texts_of_anybody_are_one_bounded_line() -> None:
    """What events bring along makes no line of its own, turns none round, and fills no message."""
    bad = Incident("silence", "a\r\nBcc: x@y.z\n\u202egnp", NOW, "w" * 9000, "d\x00\x1b[31m" + "d" * 9000, "c" * 9000)
    message = said(bad)
    texts = [message.title, *(getattr(message.items[0], name) for name in ("title", "what", "when", "do", "command"))]
    assert all(text.isprintable() and len(text) <= 400 for text in texts)
    assert message.items[0].what.endswith("…")


def test_a_message_can_be_made_shorter_and_bare() -> None:
    """Each step leaves out one incident and counts it; bare, no text of an incident is left."""
    message = said(*(incident(f"p/{number}") for number in range(3)))
    assert (len(message.shorter().items), message.shorter().more) == (2, 1)
    assert message.bare().items == ()
    assert message.bare().rest == "3 more. What lasts is listed by: event-router incidents list"


def test_the_sample_says_that_it_is_one() -> None:
    """A test alarms nobody."""
    message = sample("ops", NOW, UTC)
    assert message.title == "Test of the notifier ops"
    assert "nothing is wrong" in message.items[0].what
