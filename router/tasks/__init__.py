"""Tasks of the event loop: ended reliably, tried again after a wait, their outages logged once."""
