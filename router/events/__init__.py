"""What a notification means: pure functions and values, no I/O."""
