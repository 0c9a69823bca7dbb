"""The message of a failed attempt as it may be shown: what a receiver of a forward answered is masked as a body is."""

from typing import Final

from router.events.redact import redacted
from workers.delivery import AttemptError

__all__ = ["ANSWERED", "shown_message"]

ANSWERED: Final = "BadAnswer"
"""The error of an attempt whose message has the answer of a receiver behind its first line: see `workers.forward`."""


def shown_message(attempt: AttemptError, *, reveal: bool) -> str:
    """Return the message; an answer in it without values unless it is to be revealed.

    An answer that is no JSON is shown by its length alone. Receivers repeat in it what they were sent.
    """
    first, newline, answer = attempt.message.partition("\n")
    if reveal or not newline or attempt.error != ANSWERED:
        return attempt.message
    return f"{first}\n{redacted(answer.encode(errors='backslashreplace'))}"
