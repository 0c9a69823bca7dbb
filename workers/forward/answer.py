"""The beginning of a receiver's answer, as the history of an event keeps it."""

from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["answer_text"]

_TAKEN_OUT: Final = "[taken out]"
_LEAST: Final = 8
"""Characters of a secret from which on it is looked for: a shorter one is in any text by chance."""


def answer_text(answer: bytes, secrets: Iterable[str]) -> str:
    """Return an answer as text, without what must not be kept and an answer may repeat: secrets and signatures."""
    text = answer.decode(errors="backslashreplace")
    for spelling in sorted(set(_spellings(secrets)), key=len, reverse=True):
        text = text.replace(spelling, _TAKEN_OUT)
    return text


def _spellings(secrets: Iterable[str]) -> Iterator[str]:
    """Yield secrets as an answer may repeat them: bare, and as PHP writes a slash in JSON."""
    for secret in secrets:
        for text in (secret, secret.removeprefix("whsec_"), secret.rpartition(" ")[2]):
            if len(text) >= _LEAST:
                yield text
                yield text.replace("/", "\\/")
