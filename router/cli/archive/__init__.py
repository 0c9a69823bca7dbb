"""`archive`: looking into the archive, and ending it."""
