"""How keyed subscriptions are judged: what this would miss if it were wrong, nobody else would tell."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from faults.happening import Explainer, Happening
from faults.keyed_verdict import judge
from faults.ledger import Handling
from faults.load import STREAMS, Journal, Notification
from faults.order import Place, Rules, account, crowds, inversions, overlaps
from faults.points import POINTS, Point
from faults.stored import Stored
from faults.turns import CUT, DEAD, DONE, FAILED, Turn, TurnWriter, read_turns
from faults.verdict import Verdict
from support.waiting import eventually

from workers import Delivery
from workers.testing import sample_event

pytestmark = pytest.mark.faults

STREAM, OTHER = STREAMS[:2]
PLACES = {
    "a": Place(STREAM, 1, 0),
    "b": Place(STREAM, 1, 1),
    "c": Place(OTHER, 1, 0),
    "d": Place(OTHER, 2, 0),
    "e": Place(STREAM, 3, 0),
}


def turn(
    ids: str, start: float, end: float, *, key: str = "k", company: str = "1", pid: int = 1, outcome: str = DONE
) -> Turn:
    """Return a turn; each letter of `ids` is an event, the last one its own."""
    return Turn(key, company, tuple(ids), start, end, pid, outcome=outcome)


def never(*_: object) -> bool:
    """Excuse nothing."""
    return False


def always(*_: object) -> bool:
    """Excuse everything."""
    return True


@pytest.mark.parametrize(
    ("turns", "found"),
    [
        ([turn("a", 0, 1), turn("b", 1, 2)], 0),
        ([turn("a", 0, 1), turn("b", 0.9, 2)], 1),
        ([turn("a", 0, 1), turn("b", 0.9, 2, key="other")], 0),
        ([turn("a", 0, 1), turn("a", 0.9, 2)], 1),  # the same event twice at once is no better
        ([turn("a", 0, 9), turn("b", 1, 2), turn("c", 3, 4)], 2),
    ],
)
def test_two_turns_of_a_key_at_once_are_found(turns: Sequence[Turn], found: int) -> None:
    """Turns of one key may touch, and not overlap; those of other keys may."""
    assert len(overlaps(turns, never)[0]) == found
    assert overlaps(turns, always) == ([], found)


@pytest.mark.parametrize(
    ("turns", "late"),
    [
        ([turn("a", 0, 1), turn("b", 1, 2), turn("d", 2, 3), turn("e", 3, 4)], ""),
        ([turn("b", 0, 1), turn("a", 1, 2)], "a"),
        ([turn("d", 0, 1), turn("b", 1, 2)], "b"),  # of two streams
        ([turn("c", 0, 1), turn("a", 1, 2)], ""),  # taken in one millisecond by two streams
        ([turn("b", 0, 1, key="other"), turn("a", 1, 2)], ""),
        ([turn("a", 0, 1, outcome=FAILED), turn("b", 1, 2), turn("a", 2, 3)], "a"),  # overtaken in its retry
        ([turn("a", 0, 1, outcome=FAILED), turn("a", 1, 2), turn("b", 2, 3)], ""),
        ([turn("a", 0, 1, outcome=CUT), turn("b", 1, 2), turn("a", 2, 3)], "a"),  # overtaken in a crash
        ([turn("abd", 0, 1, outcome=FAILED), turn("abde", 1, 2)], ""),  # merged once more, with what came meanwhile
        ([turn("ab", 0, 1, outcome=FAILED), turn("d", 1, 2), turn("ab", 2, 3)], "ab"),
        ([turn("d", 0, 1), turn("abe", 1, 2)], "ab"),  # left out of what was merged
    ],
)
def test_turns_out_of_order_are_found(turns: Sequence[Turn], late: str) -> None:
    """An event is late when a turn for a later one of its key began before, unless the two were one turn."""
    assert "".join(found.id for found in inversions(turns, PLACES, (), never)) == late


def test_only_what_was_finished_may_come_once_more() -> None:
    """A cause excuses that an event comes again, never that it had not come to its end when a later one began."""
    again = [turn("a", 0, 1), turn("b", 1, 2), turn("a", 2, 3)]
    assert [found.id for found in inversions(again, PLACES, (), never)] == ["a"]
    assert not inversions(again, PLACES, (), always)
    for unfinished in (FAILED, CUT, DEAD, ""):
        again[0] = turn("a", 0, 1, outcome=unfinished)
        assert [found.id for found in inversions(again, PLACES, (), always)] == ["a"]
    assert not inversions(again, PLACES, ("a",), always)


def test_a_company_with_too_many_turns_is_found() -> None:
    """The limit holds over all keys of a company, and for each company alone."""
    turns = [turn("a", 0, 9, key="1"), turn("b", 1, 9, key="2"), turn("c", 2, 9, key="3", company="2")]
    assert not crowds(turns, 2, never)
    assert crowds([*turns, turn("d", 3, 4, key="4")], 2, never)
    assert not crowds([*turns, turn("d", 9, 10, key="4")], 2, never)
    assert not crowds([*turns, turn("d", 3, 4, key="4")], 2, always)


def test_each_event_counts_once() -> None:
    """An event is done, merged or dead; what was handled and is dead all the same is told with both times."""
    ends = account([turn("ab", 0, 1), turn("b", 1, 2), turn("cd", 2, 3, outcome=DEAD), turn("ce", 3, 4)], ["d"])
    assert (ends.done, ends.merged, ends.dead) == ({"b", "e"}, {"a", "c"}, {"d"})
    assert ends.buried_and_handled == [("c", Handling(3, 1, 1), Handling(4, 1, 1))]


def judged(turns: Sequence[Turn], *, dead: str = "", rules: Rules = Rules(), kept: str = "") -> list[str]:  # noqa: B008
    """Return what is wrong about the turns of a subscription to which a, b, d and e were sent."""
    journal, verdict = Journal(), Verdict()
    for id_ in "abde":
        journal.sent[id_] = Notification(id_, PLACES[id_].stream, "1", 1, True, {})
        journal.first_sent[id_] = journal.acknowledged[id_] = 0.0
    stored = Stored(dead={"sub": Counter(dead)}, places=PLACES, kept=set(kept))
    judge(verdict, "sub", turns, rules, journal=journal, stored=stored, explainer=Explainer([]))
    assert sum(verdict.totals[f"sub: {end}"] for end in ("done", "merged", "dead")) <= len(journal.sent)
    return verdict.complaints()


FINE = [turn("a", 1, 2), turn("b", 2, 3), turn("d", 3, 4), turn("e", 4, 5)]


@pytest.mark.parametrize(
    ("turns", "options", "complaint"),
    [
        (FINE, {}, ""),
        (FINE[:3], {}, "neither done nor merged nor dead with sub: 1, such as e"),
        (FINE[:3], {"dead": "e"}, ""),
        ([turn("abde", 1, 2)], {"rules": Rules(merges=True)}, ""),
        ([turn("abde", 1, 2)], {}, "merged by sub, never to be: 3"),
        ([turn("abde", 1, 2)], {"rules": Rules(merges=True), "kept": "b"}, "merged by sub, never to be: 1, such as b"),
        ([turn("abde", 1, 2)], {"rules": Rules(merges=True), "kept": "e"}, ""),
        ([FINE[0], turn("b", 1.5, 3), *FINE[2:]], {}, "two at once of a key with sub: 1"),
        ([FINE[0], turn("b", 1.5, 3), *FINE[2:]], {"rules": Rules(per_company=1)}, "more than 1 at once of a company"),
        ([turn("b", 0, 1), FINE[0], *FINE[2:]], {}, "out of order with sub: 1"),
        (
            [turn("ab", 1, 2, outcome=DEAD), turn("ad", 3, 4), FINE[3]],
            {"rules": Rules(merges=True), "dead": "b"},
            "handled and dead with sub: 1, such as a",
        ),
    ],
)
def test_every_broken_promise_of_a_key_is_a_complaint(
    turns: Sequence[Turn], options: dict[str, object], complaint: str
) -> None:
    """Each way to break what a keyed subscription promises is found, and named."""
    complaints = judged(turns, **options)  # type: ignore[arg-type]
    assert any(line.startswith(complaint) for line in complaints) if complaint else not complaints, complaints


@pytest.mark.parametrize(
    ("happening", "fenced"),
    [
        (Happening("", "", 10.0, 13.0, cut_off={1}), True),
        (Happening("", "", 11.5, 13.0, cut_off={1}), False),  # less than half a lease before: the hold is good
        (Happening("", "", 5.0, 7.0, cut_off={1}), False),  # over before the turn began
        (Happening("", "", 10.0, 13.0, cut_off={2}), False),
        (Happening("", "", 10.0, 13.0, killed={1}, flushed=True, rolled_back=True), False),
    ],
)
def test_only_a_worker_that_could_not_renew_its_hold_has_lost_it(happening: Happening, *, fenced: bool) -> None:
    """Two turns at once are excused where one is of a worker that was cut off for long enough, alone."""
    assert Explainer([happening]).fenced(turn("a", 9.9, 14), 12.0) is fenced


def test_a_turn_is_noted_when_it_begins_and_however_it_ends(tmp_path: Path) -> None:
    """One line says that a turn begins, one how it ended; without an end it lasts as long as its process was seen."""
    writer = TurnWriter(tmp_path, "sub")
    delivery = Delivery(sample_event(STREAM), "sub")
    for error, outcome in ((None, DONE), (ValueError(), FAILED), (KeyboardInterrupt(), CUT)):
        try:
            with writer.turn(["k"], [delivery]):
                if error is not None:
                    raise error
        except (ValueError, KeyboardInterrupt):
            pass
        assert read_turns(tmp_path, "sub")[-1].outcome == outcome
    with (tmp_path / "sub.turns.jsonl").open("ab") as file:
        file.write(b'\n[7, 9e9, 0, "k", "1", ["a"], 1]\n\n[7, 9.5e9, 1, "x", "1", ["b"], 1]\n\n[7, 9.6e9, 1, "do')
    begun, other = read_turns(tmp_path, "sub")[-2:]
    assert (begun.start, begun.end, begun.outcome, begun.ids) == (9e9, 9.5e9, "", ("a",))
    assert other.end == 9.5e9


async def test_a_process_stops_at_a_point_only_where_it_is_asked_to(tmp_path: Path) -> None:
    """One process takes what was asked for, writes down who it is, and stops there; the next one passes."""
    point, program = Point(tmp_path, POINTS[0]), "from faults.points import *; from pathlib import Path; import sys; "
    program += "Point(Path(sys.argv[1]), POINTS[0]).come(); print('passed')"
    command = [sys.executable, "-c", program, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    async def come() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)

    async def passed(process: asyncio.subprocess.Process) -> bool:
        return (await process.communicate())[0] == b"passed\n"

    assert await passed(await come())
    point.ask()
    process = await come()
    found: list[int] = []
    await eventually(lambda: found.extend(filter(None, [point.stopped()])) or found)
    assert found == [process.pid]
    assert await passed(await come())
    process.send_signal(signal.SIGCONT)
    assert await passed(process)
