"""What ingress wants stored, and who waits for it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from router import logs
from router.scripts import Field

__all__ = ["Answer", "Entry", "Waiting"]

Answer = Callable[[Sequence[bool] | Exception], None]
"""Is told once: for each entry of a request whether it is new, or why not all of them are stored."""

_log = logs.get("ingress")


class Entry(NamedTuple):
    """One item to append: where to, under which deduplication marker, and the fields of its entry."""

    stream: str
    marker: str
    fields: tuple[Field, ...]
    size: int


class Waiting(NamedTuple):
    """A request: its entries, and who is told what became of them."""

    entries: Sequence[Entry]
    answer: Answer

    def tell(self, outcome: Sequence[bool] | Exception) -> None:
        """Tell it; if answering breaks, the others of a batch are told all the same."""
        try:
            self.answer(outcome)
        except Exception:  # noqa: BLE001 - a fault of ours, which is one request's
            _log.exception("answer_failed")
