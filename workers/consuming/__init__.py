"""One subscription at work: reading, handling and settling its events."""
