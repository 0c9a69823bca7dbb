"""The commands `limits …`."""
