"""What one message to people says, before any channel writes it: pure, of the notices and the time now."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final
from zoneinfo import ZoneInfo

from router.store.reading import moment_at
from router.telemetry.printable import printable
from workers.incidents.incident import Incident, clipped

__all__ = ["ALL", "Item", "Late", "Message", "Notice", "compose", "sample"]

ALL: Final = "event-router incidents list"
"""The command that lists what lasts."""
_MOST: Final = 10
"""Most incidents that one message tells one by one."""
_SUBJECT, _TEXT, _COMMAND = 120, 400, 300
"""Most characters of each text."""
_KINDS: Final = 8
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Notice:
    """An incident that began, or is over, and the entry that says so; `at` in epoch milliseconds."""

    entry_id: str
    at: int
    incident: Incident


@dataclass(frozen=True, slots=True)
class Item:
    """One incident as people read it, each text on one line and without what does not print."""

    incident: Incident
    title: str
    what: str
    when: str
    do: str
    command: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.incident.over is not None


@dataclass(frozen=True, slots=True)
class Late:
    """Notices that are too old to be reported one by one: how many, and in a sentence what they were."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `id` is the same for the same notices, so that a receiver knows one that comes twice.

    more: how many incidents there are besides those reported one by one, and `rest` says so in a sentence.
    """

    id: str
    title: str
    items: tuple[Item, ...]
    more: int = 0
    rest: str = ""
    late: Late | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The sentences about what is not reported one by one."""
        return tuple(filter(None, (self.rest, self.late.text if self.late else "")))

    def shorter(self) -> "Message":
        """Return the message with one incident less reported by itself."""
        dropped = self.items[-1].incident
        kinds = Counter({dropped.kind: 1})
        more = self.more + 1
        return Message(self.id, self.title, self.items[:-1], more, _rest(more, kinds if more == 1 else None), self.late)

    def bare(self) -> "Message":
        """Return the message without any text of an incident: for a receiver that refuses what one of them says."""
        number = self.more + len(self.items)
        return Message(self.id, self.title, (), number, _rest(number, None) if number else "", self.late)


def compose(notifier: str, notices: Sequence[Notice], now: int, *, zone: ZoneInfo, fresh: float) -> Message | None:
    """Return what to say of these notices, in their order; None for none. `now` in epoch milliseconds, `fresh` seconds.

    An incident that began and is over by now is reported once. What is older than `fresh` is only summed up.
    """
    if not notices:
        return None
    since = now - int(fresh * 1000)
    old = [notice for notice in notices if notice.at < since]
    reported = _last_words([notice for notice in notices if notice.at >= since])
    items = tuple(_item(clipped(incident), zone) for incident in reported[:_MOST])
    rest = reported[_MOST:]
    digest = sha256("\n".join([notifier, *(notice.entry_id for notice in notices)]).encode()).hexdigest()[:32]
    return Message(
        id=f"notice-{digest}",
        title=_title(reported, len(old)),
        items=items,
        more=len(rest),
        rest=_rest(len(rest), Counter(incident.kind for incident in rest)) if rest else "",
        late=_late(old, zone) if old else None,
    )


def sample(name: str, now: int, zone: ZoneInfo) -> Message:
    """Return the message that `notify test` sends: it says that it is one."""
    incident = Incident(
        kind="test",
        subject=name,
        since=now,
        what=f"This is a test of the notifier {name}: nothing is wrong.",
        do="Nothing. Incidents will be reported here in this form.",
        command=f"event-router notify test {name}",
    )
    return Message(f"notice-test-{now}", f"Test of the notifier {name}", (_item(incident, zone),))


def _last_words(notices: Sequence[Notice]) -> list[Incident]:
    """Return each incident once, as its last notice has it; one that began again is another."""
    reported: dict[tuple[str, str, int], Incident] = {}
    for notice in notices:
        one = notice.incident
        reported[one.kind, one.subject, one.since] = one
    return list(reported.values())


def _title(reported: Sequence[Incident], late: int) -> str:
    over = sum(incident.over is not None for incident in reported)
    began = len(reported) - over
    if len(reported) == 1 and not late:
        return f"{'Over' if over else 'Began'}: {_name(reported[0])}"
    parts = [f"{began} began" if began else "", f"{over} over" if over else "", f"{late} reported late" if late else ""]
    return f"Incidents: {', '.join(filter(None, parts))}"


def _item(incident: Incident, zone: ZoneInfo) -> Item:
    return Item(
        incident=incident,
        title=f"{'Over' if incident.over is not None else 'Began'}: {_name(incident)}",
        what=_line(incident.what, _TEXT),
        when=_when(incident, zone),
        do=_line(incident.do, _TEXT),
        command=_line(incident.command, _COMMAND),
    )


def _when(incident: Incident, zone: ZoneInfo) -> str:
    since = _stamp(incident.since, zone)
    if incident.over is None:
        return f"Since {since}"
    lasted = _span(max(0, incident.over - incident.since) // 1000)
    return f"From {since} to {_stamp(incident.over, zone)}: it lasted {lasted}"


def _late(old: Sequence[Notice], zone: ZoneInfo) -> Late:
    ats = [notice.at for notice in old]
    kinds = _counted(Counter(notice.incident.kind for notice in old))
    span = f"from {_stamp(min(ats), zone)} to {_stamp(max(ats), zone)}"
    number = f"{len(old)} notice{'s' if len(old) > 1 else ''}"
    return Late(
        len(old), f"{number} {span} could not be reported in time ({kinds}). What lasts still is listed by: {ALL}"
    )


def _rest(number: int, kinds: Counter[str] | None) -> str:
    counted = f" ({_counted(kinds)})" if kinds else ""
    return f"{number} more{counted}. What lasts is listed by: {ALL}"


def _counted(kinds: Counter[str]) -> str:
    listed = [f"{_line(kind, 30)} {number}" for kind, number in kinds.most_common(_KINDS)]
    return ", ".join([*listed, *(["others"] if len(kinds) > _KINDS else [])])


def _name(incident: Incident) -> str:
    return f"{_line(incident.kind, 30)} of {_line(incident.subject, _SUBJECT)}"


def _line(text: str, most: int) -> str:
    """Return a text of anybody as one line of bounded length that prints."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _stamp(millis: int, zone: ZoneInfo) -> str:
    moment: datetime = moment_at(millis)
    with suppress(OverflowError):  # the last day of the calendar, which has no other zones
        moment = moment.astimezone(zone)
    return f"{moment:%Y-%m-%d %H:%M %Z}"


def _span(seconds: int) -> str:
    """Return a span of time in its two largest units."""
    for index, (size, unit) in enumerate(_UNITS):
        if seconds >= size:
            text = f"{seconds // size} {unit}"
            if index + 1 < len(_UNITS) and (below := seconds % size // _UNITS[index + 1][0]):
                text += f" {below} {_UNITS[index + 1][1]}"
            return text
    return "less than a second"
