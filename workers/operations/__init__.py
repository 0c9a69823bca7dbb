"""All that an operator sees or changes, for the command line, the console and scripts."""
