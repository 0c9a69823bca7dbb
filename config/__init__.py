"""What an operator edits, and the code that reads it."""
