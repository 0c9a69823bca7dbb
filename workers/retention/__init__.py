"""Removing what has been kept for long enough."""
