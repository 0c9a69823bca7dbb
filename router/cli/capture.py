"""`events capture` and `quarantine capture`: a sample of a body that can be shown to others."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from random import SystemRandom
from typing import Annotated, Any

import typer

from router.cli.command.exits import complain
from router.cli.command.runtime import operate
from router.cli.dead_letters.file import STANDARD, writing
from router.cli.events.show import found_event
from router.cli.output.results import fields_of
from router.cli.quarantine.reading import Publisher, found_by
from router.events.capture import Sample, sample_of
from router.events.hints import read_hints
from router.events.vocabulary import Vocabulary
from workers.operations import audit
from workers.operations.audit import Deed
from workers.operations.operations import Operations

_VERSION = 1

File = Annotated[str, typer.Argument(metavar="[FILE|-]", help="A new file, or - for stdout.")]
Keep = Annotated[
    list[str] | None, typer.Option("--keep", metavar="WORD", help="A word that stays: a name of an event, for example.")
]


def capture_event(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the event.")],
    file: File = STANDARD,
    *,
    keep: Keep = None,
) -> None:
    """Write a sample of an event's body: its structure and names, each value replaced by one of the same shape.

    It says what the sender sends, and nothing of whom it is about: to be sent to those who maintain the catalogue.
    """

    async def work(operations: Operations) -> None:
        _, event = await found_event(operations, id_)
        sample = _sample(operations, event.raw, event.hints, keep)
        about = {"publisher": event.publisher, "event": event.type}
        await _write(operations, Deed("events capture", f"event {event.id} to {file}"), about, sample, file)

    operate(work)


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

    async def work(operations: Operations) -> None:
        entry = await found_by(operations, id_, publisher)
        sample = _sample(operations, entry.raw, read_hints(entry.hints), keep)
        about, subject = fields_of(entry, "publisher", "reason"), f"quarantined {entry.entry_id} to {file}"
        await _write(operations, Deed("quarantine capture", subject), about, sample, file)

    operate(work)


def _sample(operations: Operations, raw: bytes, hints: Mapping[str, str], keep: Sequence[str] | None) -> Sample:
    vocabulary = Vocabulary.of(operations.catalogue.publishers.values(), keep or ())
    return sample_of(raw, hints, vocabulary, SystemRandom())


async def _write(operations: Operations, deed: Deed, about: Mapping[str, Any], sample: Sample, file: str) -> None:
    with writing(file) as sink:
        await audit.record(operations.store, deed, {audit.MATCHED: 1})
        sink.write(_document(about, sample))
        sink.finish()
    if sample.names:
        complain(f"kept these names of fields, look at them before you send it: {', '.join(sample.names)}")
    if file != STANDARD:
        complain(f"wrote a sample to {file}")


def _document(about: Mapping[str, Any], sample: Sample) -> bytes:
    try:
        body: Any = sample.body.decode()
    except UnicodeDecodeError:
        body = {"base64": b64encode(sample.body).decode()}
    whole = {"version": _VERSION, **about, "hints": sample.hints, "body": body}
    return json.dumps(whole, indent=2).encode() + b"\n"
