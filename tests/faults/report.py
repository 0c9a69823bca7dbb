"""What a run says while it goes on and when it is over, for readers and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from faults.happening import Happening
from faults.outcome import Outcome

__all__ = ["HEADING", "fault_line", "figures", "lines", "write"]

HEADING = f"{'at':>7}  {'fault':<26}{'target':<12}{'lasted':>8}{'recovered':>11}{'whole':>8}   (seconds)"

_MIB = 1024 * 1024


def fault_line(happening: Happening, began: float) -> str:
    """Return one line about a fault; `began` is when the run did."""
    times = (happening.ended - happening.began, happening.recovered, happening.whole)
    lasted, recovered, whole = ("never" if time is None else f"{time:.2f}" for time in times)
    target = happening.target or "all"
    return f"{happening.began - began:7.1f}  {happening.fault:<26}{target:<12}{lasted:>8}{recovered:>11}{whole:>8}"


def lines(outcome: Outcome) -> list[str]:
    """Return what a reader wants to know of a run."""
    verdict = outcome.verdict
    recoveries = [happening.recovered for happening in outcome.happenings if happening.recovered is not None]
    rows = {
        "seed": outcome.seed,
        "seconds": round(outcome.seconds),
        "faults": len(outcome.happenings),
        "seconds in which a worker was starved": round(sum(one.ended - one.began for one in outcome.starved)),
        **verdict.totals,
        "requests a second": round(verdict.totals.get("requests", 0) / outcome.seconds),
        "lost": sum(map(len, verdict.lost.values())),
        "doubled without a cause": len(verdict.unexplained),
        **{f"doubled: {cause}": number for cause, number in sorted(verdict.doubled.items())},
        **{f"answered {answer}": number for answer, number in sorted(outcome.answers.items())},
        **outcome.figures,
    }
    if recoveries:
        rows["recovery, median and longest"] = f"{median(recoveries):.2f} s, {max(recoveries):.2f} s"
    width = max(map(len, rows))
    text = [f"{name:<{width}}  {value}" for name, value in rows.items()]
    text += [f"memory in MiB: {_sizes(sizes)}" for sizes in outcome.memory]
    text += [f"NEEDED A HAND: {hand}" for hand in outcome.hands]
    text += [f"WRONG: {complaint}" for complaint in (*verdict.complaints(), *outcome.failures)]
    return [f"== {outcome.name}: {'passed' if outcome.passed else 'FAILED'}", *text]


def figures(outcome: Outcome) -> dict[str, Any]:
    """Return everything about a run as JSON can hold it."""
    whole = asdict(outcome)
    for happening in [*whole["happenings"], *whole["starved"]]:
        happening["seconds"] = round(happening.pop("ended") - happening["began"], 3)
        for unordered in ("killed", "cut_off", "destroyed"):
            happening[unordered] = sorted(happening[unordered])
    return {"passed": outcome.passed, **whole}


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write runs as a JSON array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([figures(outcome) for outcome in outcomes], indent=1) + "\n")


def _sizes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {size / _MIB:.0f}" for name, size in sizes.items())
