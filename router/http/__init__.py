"""HTTP/1.1 for the hot route; it knows nothing of webhooks."""
