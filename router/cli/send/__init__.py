"""The command `send`."""
