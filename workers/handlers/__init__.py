"""Running a handler, and keeping what it does to its process away from the worker."""
