"""`python -m bench PART…` measures, `python -m bench report FILE…` prints what was measured."""

import argparse
import importlib
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from bench.facts import facts
from bench.machine import TOO_BUSY, Elsewhere
from bench.plan import Plan, Samples
from bench.plots import chart
from bench.report import Document, document, insert, load, markdown

__all__ = ["main"]

_CHARTS = {
    "ingress": {"closed loop, 64 connections": "performance-ingress.svg"},
    "worker": {"no-op handler": "performance-worker.svg"},
}
PARTS = ("ingress", "latency", "worker", "order", "flow", "growth", "idle", "operator", "capacity", "retried")


def main() -> int:
    """Run the command line; return the exit code: 1 when a figure is missing or doubtful."""
    options = _options()
    if options.parts[0] == "report":
        return _report(load(map(Path, options.parts[1:])), options.into)
    signal.signal(signal.SIGTERM, _end)  # so that what was started is ended
    options.out.mkdir(parents=True, exist_ok=True)
    files = [_measure(part, options) for part in options.parts]
    documents = load(files)
    print(markdown(documents))
    return 1 if any(found["problems"] for found in documents) else 0


def _report(documents: list[Document], page: Path | None) -> int:
    """Print the tables, or put them into a page and draw its charts beside it."""
    if page is None:
        print(markdown(documents))
        return 0
    page.write_text(insert(markdown(documents), page.read_text()))
    for found in documents:
        for case, name in _CHARTS.get(found["part"], {}).items():
            (page.parent / name).write_text(chart(found, case))
    return 0


def _measure(name: str, options: argparse.Namespace) -> Path:
    part = importlib.import_module(f"bench.parts.{name}")
    print(f"{part.TITLE}", flush=True)
    plan = Plan(options.rounds, options.size, options.peers.resolve(), options.only, options.tree)
    samples, known, started, elsewhere = Samples(), facts(), time.monotonic(), Elsewhere()
    part.run(plan, samples)
    known["used by others"] = f"{elsewhere.part():.0%} of the processors"
    if elsewhere.part() > TOO_BUSY:
        samples.problem(f"the machine was busy: other processes used {known['used by others']} meanwhile")
    found = document(name, part, plan, known, samples, time.monotonic() - started)
    file: Path = options.out / f"{name}.json"
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False))
    return file


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all where none is named")
    parser.add_argument("--rounds", type=int, default=5, help="how often each subject is measured")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", dest="size", action="store_const", const="quick", help="short rounds")
    sizes.add_argument("--full", dest="size", action="store_const", const="full", help="the large sizes, up to 10⁶")
    parser.add_argument("--only", action="append", default=[], help="only subjects with this in their name")
    parser.add_argument("--tree", type=Path, action="append", default=[], help="also ours of another checkout")
    parser.add_argument("--peers", type=Path, default=Path("build/bench"), help="where the peers are installed")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where the figures are written")
    parser.add_argument("--into", type=Path, help="with report: the page to put the figures into")
    parser.set_defaults(size="normal")
    options = parser.parse_args()
    options.parts = options.parts or [*PARTS]
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown and options.parts[0] != "report":
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return options


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
