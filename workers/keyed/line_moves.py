"""What becomes of deliveries in the store, for those that the lines of a keyed subscription hold.

A dead letter is written in another slot than the line, in three steps, each of which can be made again: the line notes
that the event is to be one, the dead letters get it once, the line lets it go. Who has the key after a crash goes on.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from router.store import scripts
from router.store.keys import Keys
from router.store.lines import Lines
from router.store.record import KEY, REASON
from workers.consuming.context import Context
from workers.consuming.moves import Step
from workers.delivery import Held
from workers.keyed.entry import BURIAL, SKIPPED, LineHeld, pack

BURIED = 7 * 86_400_000
"""Milliseconds for which it is known that an event has become a dead letter, or is in an inbox."""


class LineMoves:
    """The moves of one consumer in the lines of its subscription."""

    def __init__(self, context: Context, lines: Lines) -> None:
        self._context = context
        self._lines = lines
        self._lease = round(context.settings.lease * 1000)
        self._holds = context.subscription.after_dead == "hold"

    def done(self, finished: Sequence[Held]) -> list[Step]:
        """End them, with what they stand for."""
        return [self._settle(share, "done") for share in _shares(finished)]

    def retry(self, held: Held, seconds: float, line: str | None) -> Step:
        """Have its key wait until it is due."""
        return self._later(held, seconds, held.moved(line), "retried")

    def defer(self, held: Held, seconds: float, deferred: bytes) -> Step:
        """Have its key wait until it is due, as for a retry."""
        return self._later(held, seconds, held.moved(deferred=deferred), "deferred")

    def _later(self, held: Held, seconds: float, fields: Sequence[scripts.Field], outcome: str) -> Step:
        held = _checked(held)
        call = self._lines.retry(held.claim, held.entry_id, pack(held.company, fields), round(seconds * 1000))
        return Step(call, outcome, [held], seconds)

    def dead(self, held: Held, reason: bytes, line: str | None) -> Step:
        """Note that it is to be a dead letter, make it one, and let its key go, or hold that."""
        held = _checked(held)
        fields = [*held.moved(line), *held.buried(), REASON, reason]
        call = self._lines.doom(held.claim, held.entry_id, pack(held.company, fields, doomed=True))
        return Step(call, "dead", [held], then=self._bury(held, fields))

    def finish(self, held: LineHeld) -> Step:
        """Make a dead letter of what was noted to be one."""
        return self._bury(held, held.moved())

    def put_aside(self, held: LineHeld) -> Step:
        """Put it into the inbox of its stream, where it stays for as long as nobody reads that; its key goes on.

        What was merged into it stays in its line.
        """
        settle = Step(self._lines.settle([(held.claim, [held.entry_id])]), "returned", [held])
        return Step(_put_aside(self._context.keys, self._context.group, held), "returned", [held], then=settle)

    def back(self, held: Held) -> Step:
        """Let its key be claimed by any consumer."""
        return Step(self._lines.back(_checked(held).claim), "returned", [held])

    def extend(self, items: Iterable[Held]) -> list[tuple[scripts.Call, list[Held]]]:
        """Renew the hold on their keys."""
        return [(self._lines.extend([held.claim for held in share], self._lease), [*share]) for share in _shares(items)]

    def lost(self, share: Sequence[Held], reply: Any) -> set[Held]:
        """Return those whose numbers the reply has."""
        return {share[number - 1] for number in reply}

    def mark(self, held: Held) -> scripts.Call:
        """Note it with the claim."""
        return self._lines.mark(_checked(held).claim)

    def _bury(self, held: LineHeld, fields: Sequence[scripts.Field]) -> Step:
        call = burial(self._context.keys, self._context.group, held, fields)
        hold = self._holds and not _is_alone(held) and SKIPPED not in held.fields
        return Step(call, "dead", [held], then=self._settle([held], "dead", hold=hold))

    def _settle(self, share: Sequence[LineHeld], outcome: str, *, hold: bool = False) -> Step:
        return Step(self._lines.settle([(held.claim, held.refs) for held in share], hold=hold), outcome, [*share])


def burial(keys: Keys, group: str, held: LineHeld, fields: Sequence[scripts.Field]) -> scripts.Call:
    """Return what adds a dead letter with these fields, once for each event of a line."""
    marker = keys.buried(held.stream, group, (held.entry_id + b":" + held.burial).decode(errors="backslashreplace"))
    letter = dict(zip(fields[::2], fields[1::2], strict=True))
    left_out = (BURIAL, SKIPPED, KEY)
    kept = [part for pair in letter.items() if pair[0] not in left_out for part in pair]
    if not _is_alone(held):
        kept += [KEY, held.claim.key]
    return scripts.bury(keys.dead(held.stream, group), marker, BURIED, kept)


def _put_aside(keys: Keys, group: str, held: LineHeld) -> scripts.Call:
    marker = keys.put_aside(held.stream, group, held.entry_id.decode(errors="backslashreplace"))
    return scripts.bury(keys.inbox(held.stream, group), marker, BURIED, held.placed())


def _is_alone(held: LineHeld) -> bool:
    """Return whether its key is its own, as that of an event which is ordered by nothing: see Mover."""
    return held.claim.key == b"~" + held.entry_id


def _shares(items: Iterable[Held]) -> list[list[LineHeld]]:
    checked = [*map(_checked, items)]
    return [checked[start : start + scripts.BATCH] for start in range(0, len(checked), scripts.BATCH)]


def _checked(held: Held) -> LineHeld:
    assert isinstance(held, LineHeld)
    return held
