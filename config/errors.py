"""The root of every error this package raises on purpose, and the line that describes any error."""

from collections.abc import Iterator


class RouterError(Exception):
    """Something a user or operator can act on; the message says what happened, with which value, and what to do."""

    named = True
    """Whether `described` names the class; the text of some says all there is."""


class ConfigError(RouterError):
    """A setting, secret or catalogue file is wrong; raised at start, before anything is accepted."""


class ExtraMissing(ConfigError):
    """What an extra of the package brings is not installed: `what` says what needs which package."""

    def __init__(self, what: str, extra: str) -> None:
        ways = f"pip install 'visma-event-router[{extra}]'; an image is built with EXTRAS={extra}"
        super().__init__(f"{what}, which is not installed: {ways}")


def described(error: BaseException) -> str:
    """Return the class and the text of an error, for logs and messages."""
    return f"{type(error).__name__}: {error}" if getattr(error, "named", True) else str(error)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came of, each once: `raise error from error` makes a circle of them."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and not any(found is one for one in seen):
        seen.append(found)
        yield found
        found = found.__cause__ or found.__context__
