"""The URL of the store: which forms there are, and how one is shown."""

import re

__all__ = ["check_redis_url", "redact_url"]

_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")


def check_redis_url(value: str) -> str:
    """Return the URL if it has a form that the router knows, else raise ValueError."""
    scheme, _, rest = value.partition("://")
    if value == "embedded" or (rest and scheme in _SCHEMES):
        return value
    raise ValueError(f"must be embedded or a URL of {', '.join(f'{known}://' for known in _SCHEMES)}")


def redact_url(url: str) -> str:
    """Return the URL with its password as `***`: that before the host and those among the parameters."""
    url = re.sub(r"([?&][^=&#]*(?:password|secret)[^=&#]*=)[^&#]*", r"\1***", url, flags=re.IGNORECASE)
    return re.sub(r"^([\w+.-]+://)?([^:@/]*:)?.*@", r"\1\2***@", url, flags=re.DOTALL)
