"""The embedded server, and opening the store that the settings name."""
