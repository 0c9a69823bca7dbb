"""The command `event-router`: no more than what has to be in order while all the rest is imported."""

import gc

from router.cli.command.interrupt import quietly
from router.cli.command.stdio import adopt, open_closed


def main() -> None:
    """Run the command line."""
    gc.disable()  # what is imported stays: to look through it for garbage, again and again, is a seventh of the start
    adopt(open_closed())
    quietly()
    from router.cli.app import app  # noqa: PLC0415 - it takes long, and Ctrl-C must be seen to before
    from router.cli.command.exits import own_process  # noqa: PLC0415 - likewise

    own_process()
    app(prog_name="event-router")


if __name__ == "__main__":
    main()
