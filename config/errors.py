"""The root of every error this package raises on purpose."""

__all__ = ["ConfigError", "RouterError"]


class RouterError(Exception):
    """Something a user or operator can act on; the message says what happened, with which value, and what to do."""


class ConfigError(RouterError):
    """A setting, secret or catalogue file is wrong; raised at start, before anything is accepted."""
