"""The store: the only code that knows redis-py, the keys and the scripts."""
