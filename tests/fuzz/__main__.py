"""The long fuzz: `make fuzz CASES=200000`, with SEED to repeat one and REPLAY to try again a case that failed.

    PYTHONPATH=tests python -m fuzz --cases 200000

plays that many cases through the normaliser in this process, and as many against a real ingress over real connections.
Prints the seed; a case that breaks a rule is written to a file. Exits with 1 if one did.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import SystemRandom

import uvloop
from fuzz import failure, normaliser, wire

from router.events.catalogue import Catalogue

TARGETS = ("normaliser", "wire")


def main() -> int:
    """Run; return the exit code."""
    options = _options()
    if options.replay:
        return _replay(failure.load(options.replay))
    say(f"seed {options.seed}, {options.cases} cases of each kind")
    for target in options.only or TARGETS:
        started = time.perf_counter()
        try:
            _fuzz(target, options.cases, options.seed)
        except failure.Failure as failed:
            say(f"FAILED {failed}\nkept in {failed.save(options.folder)}")
            return 1
        say(f"{target}: {options.cases} cases, {options.cases / (time.perf_counter() - started):,.0f} a second")
    return 0


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=SystemRandom().getrandbits(32))
    parser.add_argument("--only", choices=TARGETS, action="append")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="where a case that failed is kept")
    parser.add_argument("--replay", type=Path, help="a case that was kept")
    return parser.parse_args()


def _fuzz(target: str, cases: int, seed: int) -> None:
    if target == "normaliser":
        normaliser.fuzz(cases, seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(wire.fuzz(Path(folder), cases, seed, say))


def _replay(failed: failure.Failure) -> int:
    say(f"it was: {failed}")
    if failed.target == "normaliser":
        catalogue = Catalogue.load()
        normaliser.check(catalogue, frozenset(catalogue.streams()), failed.data)
    else:
        with tempfile.TemporaryDirectory() as folder:
            say(f"{uvloop.run(wire.replay(Path(folder), failed.data))}")
    say("now no rule is broken by it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
