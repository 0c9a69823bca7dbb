"""The webhook route, and the process that serves it."""
