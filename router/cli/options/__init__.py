"""Options that several commands take, and what completes them in a shell."""
