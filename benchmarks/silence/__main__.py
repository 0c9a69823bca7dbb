"""Replays a year of synthetic traffic in virtual time, and prints how often the watcher is wrong and how late it is.

    PYTHONPATH=benchmarks .venv/bin/python -m silence --write docs/silence.md

Some years of 100 companies each, a minute or less for each. `--write` puts the tables into the page, between its marks.
"""

import argparse
import re
from calendar import month_abbr
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from silence.replay import Found, replay

_MARKS = re.compile(r"(<!-- year -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Replay, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--year", type=int, default=2026)
    parser.add_argument("--years", type=int, default=5, help="how many such years, each with senders of its own")
    parser.add_argument("--companies", type=int, default=100)
    parser.add_argument("--trials", type=int, default=120, help="moments of each at which senders break off")
    parser.add_argument("--write", type=Path, help="the page to put the tables into")
    given = parser.parse_args()
    found = [replay(given.year, seed, given.companies, given.trials) for seed in range(1, given.years + 1)]
    text = "\n".join(lines(found, given.companies))
    print(text)
    if given.write:
        page = given.write.read_text(encoding="utf-8")
        given.write.write_text(_MARKS.sub(lambda marks: f"{marks[1]}{text}\n{marks[2]}", page), encoding="utf-8")


def lines(found: Sequence[Found], companies: int) -> Iterator[str]:
    """Yield the report."""
    yield f"Of {len(found)} years, each with {companies + 6} companies of 3 publishers, on average:"
    yield ""
    yield f"| false alarms | {' | '.join(month_abbr[month] for month in range(1, 13))} | year |"
    yield f"|---|{'---|' * 13}"
    for name, is_one in (("of publishers", False), ("of companies", True)):
        counts = [sum(("/" in one) == is_one for each in found for one in each.false[month]) for month in range(1, 13)]
        cells = [f"{count / len(found):.1f}" for count in (*counts, sum(counts))]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield "| who breaks off | times | median, hours | 90 % within | longest | not within three weeks |"
    yield "|---|---|---|---|---|---|"
    for kind in sorted({kind for each in found for kind in (*each.delays, *each.unseen)}):
        delays = sorted(delay for each in found for delay in each.delays.get(kind, ()))
        unseen = sum(each.unseen.get(kind, 0) for each in found)
        middle, most, last = (median(delays), delays[int(0.9 * len(delays))], delays[-1]) if delays else ("–",) * 3
        shown = f"{middle:.0f}" if delays else middle
        yield f"| {kind} | {len(delays) + unseen} | {shown} | {most} | {last} | {unseen} |"
    left = [days for each in found for days in each.left.values()]
    gone = sum(one.ends.year == found[0].year for each in found for one in each.members)
    yield ""
    yield f"Of {gone} companies that left for good, {len(left)} were said within the year."


if __name__ == "__main__":
    main()
