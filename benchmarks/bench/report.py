"""What was measured, as JSON and as tables: medians with their spread, ratios, and whether it is what was aimed at."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from math import floor, log10
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.capacity import RATES, Costs, costs, needs
from bench.figures import Figures
from bench.plan import Plan, Samples
from bench.stats import summary
from bench.targets import verdicts

__all__ = ["Document", "document", "insert", "load", "markdown", "number"]

_BEGIN, _END = "<!-- figures -->", "<!-- end of figures -->"
_PROCESSOR_TIME = "CPU µs"

Document = dict[str, Any]


def document(
    name: str, part: ModuleType, plan: Plan, facts: Mapping[str, str], samples: Samples, seconds: float
) -> Document:
    """Return all there is to keep of a part's run, ready for JSON."""
    figures = [{"case": case, "subject": who, "measures": rows} for (case, who), rows in samples.values.items()]
    return {
        "part": name,
        "title": part.TITLE,
        "notes": part.NOTES,
        "reference": part.REFERENCE,
        "rounds": plan.rounds,
        "size": plan.size,
        "seconds": round(seconds, 1),
        "facts": dict(facts),
        "problems": samples.problems,
        "figures": figures,
    }


def load(files: Iterable[Path]) -> list[Document]:
    """Read what was written of several parts."""
    return [json.loads(file.read_text()) for file in files]


def markdown(documents: Sequence[Document]) -> str:
    """Return the tables of several parts, with the facts of the first before them."""
    if not documents:
        return "Nothing was measured."
    blocks = [_facts(documents[0]), _verdicts(documents), *map(_part, documents), _capacity(documents)]
    return "\n\n".join(filter(None, blocks))


def insert(text: str, page: str) -> str:
    """Return a page with the text in place of its figures; raises ValueError for one that has no place for them."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"the page has no {_BEGIN} and {_END}, between which the figures go")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def number(value: float) -> str:
    """Write a number with three digits that count, and thousands apart."""
    if value == 0:
        return "0"
    digits = 2 - floor(log10(abs(value)))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def _facts(found: Document) -> str:
    return _table(("fact", "value"), [row for row in found["facts"].items() if row[0] != "used by others"])


def _verdicts(documents: Sequence[Document]) -> str:
    rows = [
        (verdict.text, verdict.aim, number(verdict.value), "yes" if verdict.met else "**no**")
        for verdict in verdicts(documents)
    ]
    return _table(("figure", "aim", "measured", "met"), rows) if rows else ""


def _part(found: Document) -> str:
    cases = dict.fromkeys(figure["case"] for figure in found["figures"])
    tables = [_case(found, case) for case in cases]
    rounds = max((len(values) for figure in found["figures"] for values in figure["measures"].values()), default=0)
    others = found["facts"].get("used by others", "an unknown part of the processors")
    ran = f"{rounds} interleaved rounds of the {found['size']} sizes, {found['seconds']:.0f} s in all"
    said = f"{found['notes']}\n\n{ran}; others used {others} meanwhile."
    problems = "\n".join(f"- Not as it should be: {problem}" for problem in found["problems"])
    return "\n\n".join(filter(None, [f"### {found['title']}", said, problems, *tables]))


def _case(found: Document, case: str) -> str:
    figures = [figure for figure in found["figures"] if figure["case"] == case]
    reference = next((f for f in figures if f["subject"] == found["reference"]), figures[0])
    names = list(dict.fromkeys(name for figure in figures for name in figure["measures"]))
    more = [title for name in names[1:] for title in _titles(name, reference["subject"])]
    head = (case, names[0], "lowest – highest", f"of {reference['subject']}", *more)
    return _table(head, [_row(figure, reference, names) for figure in figures])


def _titles(name: str, reference: str) -> list[str]:
    """Return the columns of a measure: processor time, which depends least on the machine's load, has its ratio too."""
    return [name, f"CPU of {reference}"] if name.startswith(_PROCESSOR_TIME) else [name]


def _row(figure: Document, reference: Document, names: Sequence[str]) -> tuple[str, ...]:
    measures = figure["measures"]
    first = summary(measures[names[0]])
    spread, ratio = f"{number(first.low)} – {number(first.high)}", _ratio(figure, reference, names[0])
    more = [cell for name in names[1:] for cell in _cells(figure, reference, name)]
    return (figure["subject"], number(first.median), spread, ratio, *more)


def _cells(figure: Document, reference: Document, name: str) -> list[str]:
    """Return what stands in the columns that `_titles` gives a measure."""
    values = figure["measures"].get(name)
    median = number(summary(values).median) if values else ""
    return [median, _ratio(figure, reference, name)] if name.startswith(_PROCESSOR_TIME) else [median]


def _ratio(figure: Document, reference: Document, name: str) -> str:
    """Return what a measure is of the reference's; nothing where either has none."""
    measured, base = (summary(row["measures"].get(name) or [0]).median for row in (figure, reference))
    return f"{number(measured / base)} ×" if base and figure["measures"].get(name) else ""


def _capacity(documents: Sequence[Document]) -> str:
    """Return what the model says, and how it fares against the whole system as it was measured."""
    try:
        cost = costs(documents)
    except KeyError:
        return ""
    head = ("events/s", "ingress cores", "Redis primaries", "worker cores", "GB an hour")
    found = [needs(cost, rate) for rate in RATES]
    rows = [(*(f"{count:,}" for count in need[:-1]), number(need.memory)) for need in found]
    return "\n\n".join(filter(None, ["### Capacity", _table(head, rows), _checked(cost, documents)]))


def _checked(cost: Costs, documents: Sequence[Document]) -> str:
    figures, key = Figures(documents), ("capacity", "as fast as it goes", "ours")
    try:
        measured, sender = figures.get(*key, "events/s"), figures.get(*key, "wrk µs")
    except KeyError:
        return ""
    cores = os.cpu_count() or 1
    expected = cost.rate_of(cores, sender)
    return (
        f"The model expects {number(expected)} events a second of the whole system on the {cores} cores of this "
        f"machine; {number(measured)} were measured, {number(measured / expected)} of that."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
