"""`dlq import`: putting exported dead letters back, each once, whatever else the file holds."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, BinaryIO

import typer

from router.cli.changes.change import SAMPLE, carry_out, confirm, repeatable, show_sample
from router.cli.changes.order import DryRun, Order, Reason, Yes
from router.cli.command.exits import ExitCode, NothingMatched, complain
from router.cli.command.loop import run
from router.cli.command.runtime import Session, opened
from router.cli.dead_letters.file import STANDARD, numbered, readable
from router.cli.output.results import JsonFlag, clean, number_of, print_json, print_line
from router.cli.output.rows import DEAD_LETTER_COLUMNS, dead_letter_row
from workers.operations.audit import CHANGED, FAILED
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.lines import BadLine, ExportedLetter, read_line
from workers.operations.dead_letters.restore import BEFORE, NEW, REFUSED, THERE, Importer

__all__ = ["import_"]

_NOUN = "dead letter"
_BATCH = 500
_MAX_BYTES = 4 * 1024 * 1024
_TOLD = 100  # bad lines that are told one by one


@dataclass(slots=True)
class _Found:
    """What a file holds: how many dead letters, the first few, and the lines that are none."""

    number: int = 0
    bad: int = 0
    sample: list[ExportedLetter] = field(default_factory=list)
    bad_lines: list[dict[str, Any]] = field(default_factory=list)

    def is_bad(self, line: int, why: str) -> None:
        """Take note of a bad line, and tell it."""
        self.bad += 1
        if self.bad <= _TOLD:
            complain(f"line {line}: {clean(why)}")
            self.bad_lines.append({"line": line, "why": why})


def import_(
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="What dlq export has written; - for stdin.")] = "-",
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that were imported before, and replayed or purged since.")
    ] = False,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Put exported dead letters back where they were; safe to repeat, since each is put back once.

    A line that is wrong is told with its number and left out, and the exit code is 1.
    """
    subject = "stdin" if file == STANDARD else file
    order = Order(
        group="dlq",
        verb="import",
        done="imported",
        noun=_NOUN,
        selector={"again": True} if again else {},
        subject=subject,
        yes=yes,
        dry_run=dry_run,
        reason=reason,
    )
    with readable(file) as opened_file:
        found, counts = run(_import(order, opened_file, again=again))
    _finish(order, found, counts, as_json=as_json)


async def _import(order: Order, file: BinaryIO, *, again: bool) -> tuple[_Found, Counter[str]]:
    async with opened() as session:
        importer = Importer(session.store, session.catalogue, again=again)
        found = await _look(importer, file)
        if not found.number + found.bad:
            raise NothingMatched(f"nothing to import: {order.subject} is empty")
        if not found.number:
            return found, Counter()
        if order.dry_run:
            _show(session, order, found)
        elif found.number > 1:
            confirm(order, found.number, lambda: _show(session, order, found))
        return found, await _carry_out(session, order, importer, file, found)


async def _look(importer: Importer, file: BinaryIO) -> _Found:
    found = _Found()
    async for line, letter in _letters(importer, file):
        if isinstance(letter, str):
            found.is_bad(line, letter)
            continue
        found.number += 1
        if found.number <= SAMPLE:
            found.sample.append(letter)
    if found.bad > _TOLD:
        complain(f"{found.bad - _TOLD} more lines are wrong")
    return found


async def _letters(importer: Importer, file: BinaryIO) -> AsyncIterator[tuple[int, ExportedLetter | str]]:
    """Yield the number of each line, and the dead letter in it, or what is wrong with it."""
    for number, line in numbered(file):
        try:
            letter = read_line(line) if line is not None else None
        except BadLine as error:
            yield number, str(error)
            continue
        if letter is None:
            yield number, "too long for a dead letter"
        else:
            yield number, await importer.obstacle(letter) or letter


async def _carry_out(session: Session, order: Order, importer: Importer, file: BinaryIO, found: _Found) -> Counter[str]:
    batches = _batches(importer, file)
    if order.dry_run:
        outcomes: Counter[str] = Counter()
        async for batch in batches:
            outcomes.update(await importer.restore(batch, dry=True))
        return outcomes

    async def apply(batch: Sequence[ExportedLetter]) -> Counter[str]:
        done = await importer.restore(batch)
        return done + Counter({CHANGED: done[NEW], FAILED: done[REFUSED]})

    outcomes = await carry_out(session, order, batches, apply, found.number, repeatable, failed=found.bad)
    if importer.refusal:
        complain(f"{outcomes[REFUSED]} could not be imported: {importer.refusal}")
    return outcomes


async def _batches(importer: Importer, file: BinaryIO) -> AsyncIterator[list[ExportedLetter]]:
    batch: list[ExportedLetter] = []
    size = 0
    async for _, letter in _letters(importer, file):
        if isinstance(letter, str):
            continue
        batch.append(letter)
        size += letter.size
        if len(batch) == _BATCH or size > _MAX_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _show(session: Session, order: Order, found: _Found) -> None:
    letters = (
        DeadLetterEntry(session.catalogue, letter.stream, letter.subscription, letter.entry_id.encode(), letter.fields)
        for letter in found.sample
    )
    rows = [dead_letter_row(session.catalogue, letter) for letter in letters]
    show_sample(f"{order.verb} {number_of(found.number, _NOUN)}", found.number, DEAD_LETTER_COLUMNS, rows)


def _finish(order: Order, found: _Found, outcomes: Counter[str], *, as_json: bool) -> None:
    new, failed = outcomes[NEW], found.bad + outcomes[REFUSED]
    if as_json:
        counts = {"there": outcomes[THERE], "before": outcomes[BEFORE], "failed": failed}
        imported = {"would_import": new, "imported": 0} if order.dry_run else {"imported": new}
        print_json({"matched": found.number, **imported, **counts, "bad_lines": found.bad_lines})
    else:
        would = "would import" if order.dry_run else "imported"
        print_line(f"{would} {new} of {found.number}{_others(outcomes)}")
    if failed:
        raise typer.Exit(ExitCode.PARTLY_FAILED)


def _others(outcomes: Counter[str]) -> str:
    there = f", {outcomes[THERE]} there already" if outcomes[THERE] else ""
    gone = f", {outcomes[BEFORE]} imported before and gone since (see --again)" if outcomes[BEFORE] else ""
    return there + gone
