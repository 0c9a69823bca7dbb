"""Tasks of the event loop: ended for certain, tried again after a wait, their outages logged once."""
