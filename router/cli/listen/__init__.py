"""The command `listen`."""
