"""Removing what has been kept for long enough: `round` removes, `janitor` says when."""
