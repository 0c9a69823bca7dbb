"""The command `event-router`: no more than Ctrl-C needs to be quiet while all the rest is imported."""

import sys

from router.cli.interrupt import quietly

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    quietly()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # what a sender wrote may be beyond a terminal's alphabet
    from router.cli.app import app  # noqa: PLC0415 - it takes long, and Ctrl-C must be seen to before

    app(prog_name="event-router")


if __name__ == "__main__":
    main()
