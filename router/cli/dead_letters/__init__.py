"""The commands `dlq …`."""
