"""Posting one event after the other, showing what became of each, and saying once what helps a developer on."""

from collections import Counter
from pathlib import Path
from typing import Protocol

from router.cli.command.exits import complain
from router.cli.options.networks import as_option
from router.cli.output.results import print_line
from router.cli.output.rows import body_of, is_masked, say_masked
from router.events.event import Event
from workers.forward.advice import advice
from workers.forward.listening import Posted, Poster
from workers.operations.audit import MATCHED
from workers.outgoing import AddressRefused

__all__ = ["Showing"]


class Write(Protocol):
    """Returns what is printed of an event and of what became of it."""

    def __call__(self, event: Event, posted: Posted, *, reveal: bool) -> str: ...


class Showing:
    """Posts events by `poster`, counts them in `counts`, and prints each as `write` has it.

    secret_file: where the secret is that signs. is_for_people: whether to say that values are masked.
    """

    def __init__(
        self,
        poster: Poster,
        write: Write,
        counts: Counter[str],
        secret_file: Path,
        *,
        reveal: bool,
        is_for_people: bool,
    ) -> None:
        self._poster = poster
        self._write = write
        self._counts = counts
        self._secret_file = secret_file
        self._reveal = reveal
        self._says_masked = is_for_people and not reveal
        self._advised: set[int] = set()

    async def post(self, event: Event) -> None:
        """Post an event until it is answered; raises AddressRefused, and OutputFailed when nobody reads any more."""
        try:
            posted = await self._poster.post(event)
        except AddressRefused as error:  # of a name, which is resolved now
            raise AddressRefused(as_option(str(error))) from None
        self._counts[MATCHED] += 1
        print_line(self._write(event, posted, reveal=self._reveal))
        self._say_masked(event)
        if posted.status is not None:
            self._advise(posted.status)

    def _say_masked(self, event: Event) -> None:
        if self._says_masked and is_masked({"raw": body_of(event.raw, reveal=False)}, reveal=False):
            self._says_masked = False
            say_masked()

    def _advise(self, status: int) -> None:
        if status not in self._advised and (what := advice(status, str(self._secret_file))):
            self._advised.add(status)
            complain(f"the receiver answered {status}: {what}")
