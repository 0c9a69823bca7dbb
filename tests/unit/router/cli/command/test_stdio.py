"""Standard output and error, whatever code of users does to them.

Closed, full and broken ones: tests/integration/test_stdio.py.
"""

import subprocess
import sys

import pytest

RUN = """
import io, os, sys
from router.cli.command.stdio import adopt, put_back
adopt(())
{deed}
put_back()
print("last")
print("last", file=sys.stderr)
"""

CLOSING = {
    "close": "sys.stdout.close(); sys.stderr.close()",
    "with": "with sys.stdout, sys.stderr: pass",
    "buffer": "sys.stdout.buffer.close(); sys.stderr.buffer.close()",
    "raw": "sys.stdout.buffer.raw.close(); sys.stderr.buffer.raw.close()",
    "wrapped": "io.TextIOWrapper(sys.stdout.buffer); io.TextIOWrapper(sys.stderr.buffer)",
    "detached": "sys.stdout.detach(); sys.stderr.detach().detach()",
}
INSTEAD = [
    "None",
    "object()",
    "io.StringIO()",
    "open(os.devnull, 'w')",
    "io.TextIOWrapper(sys.stdout.detach())",
]


def run(deed: str) -> "subprocess.CompletedProcess[str]":
    """Run a script in which code of users does something."""
    script = RUN.format(deed=deed)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False, text=True)


@pytest.mark.parametrize("deed", CLOSING.values(), ids=CLOSING)
def test_nobody_closes_them_for_all_others(deed: str) -> None:
    """What is printed after one has closed them, or an object that wraps them was freed, is written all the same."""
    ended = run(f"{deed}\nprint('next')\nprint('next', file=sys.stderr)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "next\nlast\n", "next\nlast\n")


@pytest.mark.parametrize("instead", INSTEAD)
def test_what_was_put_in_their_place_is_gone_at_the_end(instead: str) -> None:
    """The end of the process finds them as they were, and can say how it ended."""
    ended = run(f"sys.stdout = sys.stderr = {instead}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "last\n", "last\n")


def test_what_a_wrapper_in_their_place_holds_is_written_before() -> None:
    """Code that gives standard output another alphabet loses nothing of what it prints."""
    ended = run("sys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint('first')")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "first\nlast\n", "last\n")


def test_the_end_of_a_run_puts_back_nothing_of_an_earlier_one() -> None:
    """A process that runs several commands, as tests do, has its output at the end of each as at its beginning."""
    another = (
        "put_back()\nours = sys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nput_back()\nassert sys.stdout is ours"
    )
    ended = run(another)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "last\n", "last\n")
