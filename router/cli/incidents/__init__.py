"""The commands `incidents …`."""
