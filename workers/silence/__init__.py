"""Watching for silence, and for what else goes wrong: one worker of all looks, and says each incident once."""
