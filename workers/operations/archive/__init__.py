"""What an operator sees of the archive and does with it: `browser` looks into it, `recall` gives its events again."""
