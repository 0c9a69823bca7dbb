"""The commands `breakers …`."""
