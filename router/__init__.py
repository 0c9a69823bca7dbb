"""From request to stream: verify, normalise, deduplicate, append."""
