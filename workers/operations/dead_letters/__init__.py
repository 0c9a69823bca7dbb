"""Dead letters: reading, selecting, grouping, watching and restoring them."""
