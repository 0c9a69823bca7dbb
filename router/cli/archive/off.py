"""`archive off`: letting retention remove events without archiving them."""

from router.cli.change import Reason, Yes, ask
from router.cli.command.exits import NothingMatched, complain
from router.cli.command.runtime import operate
from router.cli.output.results import JsonFlag, number_of, print_json, print_line
from workers.operations.operations import Operations


def off(*, yes: Yes = False, reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Let retention remove events that are not in the archive, once no worker has one in its settings any more.

    While a worker has one, its next round begins again. What is in the archive stays there.
    """
    if not yes:
        ask("remove finished events from now on without archiving them?", "add --yes to end the archive")

    async def work(operations: Operations) -> int:
        number = await operations.stop_archiving(reason=reason)
        if operations.settings.archive.to:
            complain("archive.to is set here: a worker with these settings begins to archive again")
        return number

    number = operate(work)
    if not number:
        raise NothingMatched("no stream is archived, or that was ended before")
    if as_json:
        print_json({"streams": number})
    else:
        print_line(f"{number_of(number, 'stream')} {'is' if number == 1 else 'are'} trimmed without the archive")
