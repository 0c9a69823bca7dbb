"""The root of every error this package raises on purpose, and how any error is told in a line."""

__all__ = ["ConfigError", "RouterError", "told"]


class RouterError(Exception):
    """Something a user or operator can act on; the message says what happened, with which value, and what to do."""


class ConfigError(RouterError):
    """A setting, secret or catalogue file is wrong; raised at start, before anything is accepted."""


def told(error: BaseException) -> str:
    """Return the class and the text of an error, for logs and messages."""
    return f"{type(error).__name__}: {error}"
