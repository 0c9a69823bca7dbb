"""Who may see the console: its token, links that sign in once, sessions, and guesses slowed down."""
