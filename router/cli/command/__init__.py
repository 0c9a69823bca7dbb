"""What every command stands on: its store and its event loop, its exit code, its standard streams and its end."""
