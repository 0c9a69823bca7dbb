"""Ids as a narrow table shows them, their two ends with an ellipsis between, which commands take as ids too."""

SHORTENED = "…"
"""Stands for what was cut out."""

_PLAIN = "..."
"""Stands for it where an alphabet has no ellipsis."""

_TELLING = 6  # characters that say which id it is


def is_shortened(id_: str) -> bool:
    """Return whether an id is one that is shown so."""
    return SHORTENED in id_ or _PLAIN in id_


def is_short_for(shortened: str, id_: str) -> bool:
    """Return whether an id is shown as `shortened`."""
    head, ellipsis, tail = shortened.replace(_PLAIN, SHORTENED, 1).partition(SHORTENED)
    known = len(head) + len(tail)
    return bool(ellipsis) and _TELLING <= known <= len(id_) and id_.startswith(head) and id_.endswith(tail)
