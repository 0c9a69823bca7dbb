"""`events capture` and `quarantine capture`: a sample of a body that can be shown to others."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from random import SystemRandom
from typing import Annotated, Any

import typer

from router.cli.command.exits import NothingMatched, complain
from router.cli.command.loop import run
from router.cli.command.runtime import opened
from router.cli.dead_letters.file import STANDARD, writing
from router.cli.quarantine.reading import Publisher, found_by
from router.events.capture import Sample, sample_of
from router.events.hints import read_hints
from router.events.vocabulary import Vocabulary
from workers.operations import audit
from workers.operations.operations import Operations

__all__ = ["capture_event", "capture_quarantined"]

_VERSION = 1

File = Annotated[str, typer.Argument(metavar="[FILE|-]", help="A new file, or - for stdout.")]
Keep = Annotated[
    list[str] | None, typer.Option("--keep", metavar="WORD", help="A word that stays: a name of an event, for example.")
]


@dataclass(frozen=True, slots=True)
class _Captured:
    """What a sample is made of."""

    subject: str
    about: Mapping[str, Any]
    raw: bytes
    hints: Mapping[str, str]


def capture_event(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the event.")],
    file: File = STANDARD,
    *,
    keep: Keep = None,
) -> None:
    """Write a sample of an event's body: its structure and names, each value replaced by one of the same shape.

    It says what the sender sends, and nothing of whom it is about: to be sent to those who maintain the catalogue.
    """

    async def work() -> Sample:
        async with opened() as operations:
            stored = await operations.event(id_)
            if stored is None or stored.event is None:
                raise NothingMatched(f"no event {id_!r} was found; `event-router events list` shows the newest")
            event = stored.event
            about = {"publisher": event.publisher, "event": event.type}
            found = _Captured(f"event {event.id}", about, event.raw, event.hints)
            return await _write(operations, "events capture", found, file, keep or ())

    _tell(run(work()), file)


def capture_quarantined(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the entry, or of the body.")],
    file: File = STANDARD,
    *,
    publisher: Publisher = None,
    keep: Keep = None,
) -> None:
    """Write a sample of a body that was quarantined, as `events capture` does, whatever it is.

    What is no JSON keeps its signs and its words of the wire; every other word is replaced by one of the same shape.
    """

    async def work() -> Sample:
        async with opened() as operations:
            entry = await found_by(operations, id_, publisher)
            about = {"publisher": entry.publisher, "reason": entry.reason}
            found = _Captured(f"quarantined {entry.entry_id}", about, entry.raw, read_hints(entry.hints))
            return await _write(operations, "quarantine capture", found, file, keep or ())

    _tell(run(work()), file)


async def _write(operations: Operations, verb: str, found: _Captured, file: str, keep: Any) -> Sample:
    vocabulary = Vocabulary.of(operations.catalogue.publishers.values(), keep)
    sample = sample_of(found.raw, found.hints, vocabulary, SystemRandom())
    with writing(file) as sink:
        await audit.record(operations.store, audit.Deed(verb, f"{found.subject} to {file}"), {audit.MATCHED: 1})
        sink.write(_document(found.about, sample))
        sink.finish()
    return sample


def _document(about: Mapping[str, Any], sample: Sample) -> bytes:
    try:
        body: Any = sample.body.decode()
    except UnicodeDecodeError:
        body = {"base64": b64encode(sample.body).decode()}
    whole = {"version": _VERSION, **about, "hints": sample.hints, "body": body}
    return json.dumps(whole, indent=2).encode() + b"\n"


def _tell(sample: Sample, file: str) -> None:
    if sample.names:
        complain(f"kept these names of fields, look at them before you send it: {', '.join(sample.names)}")
    if file != STANDARD:
        complain(f"wrote a sample to {file}")
