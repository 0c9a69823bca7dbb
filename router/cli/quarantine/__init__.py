"""The commands `quarantine …`."""
