"""A year of synthetic traffic, replayed in virtual time: how often the watcher of silence is wrong, and how late."""
