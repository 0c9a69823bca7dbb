"""The command line: runs the router and shows what it holds. Nothing imports it."""
