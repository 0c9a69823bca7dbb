"""The commands `events …`."""
