"""The command line: `python -m faults`, with the folder of all tests on PYTHONPATH; see docs/faults.md."""

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from faults.fleet import MODULES
from faults.outcome import Outcome
from faults.random_faults import random_faults
from faults.report import HEADING, lines, write
from faults.scenarios import SCENARIOS

_RANDOM = "random"
_ALL = "all"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the runs that were asked for; return 0 when all of them passed, 1 when one did not."""
    options = _parser().parse_args(arguments)
    runs = [_RANDOM, *SCENARIOS] if options.run == _ALL else [options.run]
    outcomes = [_run(run, options) for run in runs]
    if options.report:
        write(options.report, outcomes)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _run(run: str, options: argparse.Namespace) -> Outcome:
    """Make one run in a folder of its own, which is kept when the run failed."""
    folder = Path(tempfile.mkdtemp(prefix="er-faults-"))
    _say(f"{run}, seed {options.seed}, logs in {folder}\n{HEADING}")
    outcome = asyncio.run(_make(run, folder, options))
    _say("\n".join([*lines(outcome), ""]))
    if outcome.passed and not options.keep:
        shutil.rmtree(folder)
    return outcome


async def _make(run: str, folder: Path, options: argparse.Namespace) -> Outcome:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # so that it ends what it has started
    if run == _RANDOM:
        seconds = options.minutes * 60
        modules = ("keyed.py",) if options.keyed else MODULES
        return await random_faults(
            folder, seed=options.seed, seconds=seconds, fsync=options.fsync, modules=modules, say=_say
        )
    length = {} if options.length is None else {"length": options.length}
    return await SCENARIOS[run](folder, seed=options.seed, say=_say, **length)


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="faults", description="Break the router on purpose, and count what is lost.")
    parser.add_argument(
        "run", nargs="?", default=_RANDOM, choices=[_RANDOM, *SCENARIOS, _ALL], help="random by default"
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="how long random faults are made")
    parser.add_argument("--length", type=int, help="of a scenario: seconds, or how often; its own default otherwise")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="makes the same faults again")
    parser.add_argument("--fsync", choices=["always", "everysec"], default="always", help="the server's appendfsync")
    parser.add_argument("--keyed", action="store_true", help="make random faults on keyed subscriptions alone")
    parser.add_argument("--report", type=Path, help="a file to write everything to, as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the logs of runs that passed, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
