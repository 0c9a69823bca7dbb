"""The secrets that the answers call for, a file each: as given, as they were, or made at random."""

import base64
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from router.cli.init.answers import EMBEDDED, Answers

__all__ = ["Secret", "secrets_for"]


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret: the name of its file, its text, what it is, and whether it was given, and not made at random."""

    name: str
    text: str = field(repr=False)
    what: str
    is_given: bool = True


def secrets_for(answers: Answers) -> Iterator[Secret]:
    """Yield the secrets, in the order of the questions."""
    for slug in answers.publishers:
        given = answers.secrets.get(slug)
        yield Secret(slug, given or secrets.token_urlsafe(32), f"what {slug} signs with", bool(given))
    if answers.redis != EMBEDDED:
        yield Secret("redis-url", answers.redis, "the URL of Redis")
    if answers.forward:
        yield Secret("forward", _signing(), "what your receiver verifies with", is_given=False)
    if answers.channel_url:
        yield Secret("notify-url", answers.channel_url, "where incidents are reported")
    if answers.channel == "webhook":
        yield Secret("notify-secret", _signing(), "what the receiver of incidents verifies with", is_given=False)
    if answers.mail and answers.mail.password:
        yield Secret("notify-password", answers.mail.password, "the login to the mail server")


def _signing() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
