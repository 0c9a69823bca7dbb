"""How commands end: their exit codes, and one line on stderr for every error that a user can do something about."""

import sys
from enum import IntEnum
from typing import Any, NoReturn

import typer

from config.errors import ConfigError, RouterError
from router.cli.command.flags import Group
from router.cli.command.stdio import InputFailed, OutputFailed, failure, put_back
from router.telemetry.printable import printable

_own_process = False


def own_process() -> None:
    """Say that this process ends with its command."""
    global _own_process  # noqa: PLW0603 - it is true of the process
    _own_process = True


def is_own_process() -> bool:
    """Return whether this process ends with its command, so that somebody has to see to it that it does."""
    return _own_process


class ExitCode(IntEnum):
    """What a script that runs a command can rely on."""

    DONE = 0
    PARTLY_FAILED = 1
    USAGE = 2
    NOTHING_MATCHED = 3
    UNREACHABLE = 4
    OVER_THRESHOLD = 5


class NothingMatched(RouterError):
    """What was asked for is not there."""


class Unanswered(RouterError):
    """Nothing listens where a command wanted to send to."""


def complain(message: str) -> None:
    """Say something on stderr, which is for people: stdout is for results."""
    sys.stderr.write(f"event-router: {printable(message)}\n")
    sys.stderr.flush()


def usage(message: str) -> NoReturn:
    """End the command because of how it was called."""
    complain(message)
    raise typer.Exit(ExitCode.USAGE)


class Guarded(Group):
    """The root of all commands: turns errors into exit codes, for whichever command they come from."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command line and exit; a wrong one is answered with one line instead of a page."""
        options["standalone_mode"] = False
        failed = None
        try:
            code = self._run(*args, **options)
        except OutputFailed as error:
            code, failed = ExitCode.DONE, error
        except typer.TyperException as error:
            if message := " ".join(error.format_message().split()):  # a group without a command has shown its help
                context = getattr(error, "ctx", None)
                complain(message + (f" (see {context.command_path} --help)" if context is not None else ""))
            code = error.exit_code
        except typer.Abort:
            complain("aborted")
            code = ExitCode.PARTLY_FAILED
        except RouterError as error:
            complain(" ".join(str(error).split()))
            code = code_of(error)
        sys.exit(_ended(code if isinstance(code, int) else ExitCode.DONE, failed))

    def _run(self, *args: Any, **options: Any) -> Any:
        """Run a command line; whatever code of users did to output and error, this can say how it ended."""
        try:
            return super().main(*args, **options)
        finally:
            put_back()


def _ended(code: int, failed: OutputFailed | None) -> int:
    """Write what is still buffered; return the exit code, which says that output failed where all else went well.

    That the reader of the output has gone, as `head` does, is no failure.
    """
    try:
        sys.stdout.flush()
    except OutputFailed as error:
        failed = error
    failed = failed or failure()
    if failed is None or failed.reader_is_gone:
        return code
    if not failed.is_said:
        complain(str(failed))
    return code or ExitCode.PARTLY_FAILED


def code_of(error: BaseException) -> int:
    """Return the exit code of a command that ends with this error."""
    from router.events.catalogue import UnknownStream  # noqa: PLC0415 - slow to import, and most commands end well
    from router.store.errors import StoreUnavailable  # noqa: PLC0415 - likewise

    if isinstance(error, OutputFailed) and error.reader_is_gone:
        return ExitCode.DONE
    codes: tuple[tuple[type[RouterError], ExitCode], ...] = (
        (ConfigError, ExitCode.USAGE),
        (InputFailed, ExitCode.USAGE),
        (UnknownStream, ExitCode.USAGE),
        (NothingMatched, ExitCode.NOTHING_MATCHED),
        (Unanswered, ExitCode.UNREACHABLE),
        (StoreUnavailable, ExitCode.UNREACHABLE),
    )
    own = getattr(error, "exit_code", ExitCode.PARTLY_FAILED)
    return next((code for kind, code in codes if isinstance(error, kind)), own)
