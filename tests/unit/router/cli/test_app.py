"""The root of all commands: what it knows before it imports them, and Ctrl-C meanwhile."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli import Cli

import router
from router.cli.app import _COMMANDS, load
from router.cli.command import interrupt

INTERRUPTED = """
import signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "{name}":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv = ["event-router", {arguments}]
from router.cli.main import main
main()
"""
IMPORTED = """
import sys
sys.argv = ["event-router", {arguments}]
from router.cli.main import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""

COLLECTING = """
import atexit, gc, sys

class Watching:
    def find_spec(self, name, path=None, target=None):
        if name in ("router.cli.app", "router.cli.catalogue"):
            print(name, gc.isenabled(), file=sys.stderr)

sys.meta_path.insert(0, Watching())
sys.argv = ["event-router", "catalogue"]
atexit.register(lambda: print("at the end", gc.isenabled(), gc.get_threshold()[0], file=sys.stderr))
atexit.register(lambda: print("left alone", gc.get_freeze_count() > 20_000, file=sys.stderr))
from router.cli.main import main
main()
"""


def _python(code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(Path(router.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_what_the_help_says(name: str) -> None:
    """The help says of a command what it says itself, though it is not imported for that."""
    command = load(name)
    assert command.help.partition("\n\n")[0].replace("\n", " ") == _COMMANDS[name][1]
    assert command.name == name


@pytest.mark.parametrize("arguments", [(), ("init",), ("dlq",), ("dlq", "replay"), ("forward",)])
def test_flags_take_no_value(cli: Cli, arguments: tuple[str, ...]) -> None:
    """The help of a command, of a group and of all shows a flag by its name, with no type of a value beside it."""
    help_ = cli.run(*arguments, "--help").stdout
    assert "--help" in help_
    assert "bool" not in help_


@pytest.mark.parametrize("arguments", [(), ("dlq",)])
def test_nothing_asked(cli: Cli, arguments: tuple[str, ...]) -> None:
    """A group without a command shows its help, and complains of nothing."""
    result = cli.run(*arguments)
    assert (result.exit_code, result.stderr) == (2, "")
    assert "Commands" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        ('"--version"', {"pydantic", "redis", "aiohttp", "structlog", "uvloop"}),
        ('"--help"', {"pydantic", "redis", "aiohttp", "structlog", "uvloop"}),
        ('"catalogue", "--json"', {"redis", "aiohttp", "structlog", "uvloop", "prometheus_client"}),
        ('"dlq", "list"', {"aiohttp"}),
    ],
)
def test_only_what_is_needed_is_imported(tmp_path: Path, arguments: str, unwanted: set[str]) -> None:
    """A command starts quickly because it imports nothing that it does not use."""
    done = _python(IMPORTED.format(arguments=arguments), tmp_path)
    assert not unwanted & set(done.stderr.split())
    assert "typer" in done.stderr


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("router.cli.app", '"--help"'), ("router.cli.dead_letters.reading", '"dlq", "list"'), ("redis", '"streams"')],
)
def test_interrupted_while_importing(tmp_path: Path, name: str, arguments: str) -> None:
    """Ctrl-C in the first second ends with what shells know, and without a word about where in an import it was."""
    done = _python(INTERRUPTED.format(name=name, arguments=arguments), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_garbage_is_collected_once_all_is_imported(tmp_path: Path) -> None:
    """Nothing looks for garbage in what is imported; a command that runs has its garbage collected, in large steps."""
    done = _python(COLLECTING, tmp_path)
    importing = ["router.cli.app False", "router.cli.catalogue False"]
    assert done.stderr.splitlines() == [*importing, "left alone True", "at the end True 10000"]


def test_interrupt_is_given_back() -> None:
    """Once a command runs, Ctrl-C is its own affair; one that is ignored stays ignored."""
    before = signal.getsignal(signal.SIGINT)
    try:
        for handler in (signal.default_int_handler, signal.SIG_IGN):
            signal.signal(signal.SIGINT, handler)
            interrupt.quietly()
            assert (signal.getsignal(signal.SIGINT) is handler) is (handler == signal.SIG_IGN)
            interrupt.as_usual()
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
