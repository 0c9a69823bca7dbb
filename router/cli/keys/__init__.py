"""The commands `keys …`."""
