"""What an operator edits, and the code that reads it: `settings` has the fields, `sources` reads them."""
