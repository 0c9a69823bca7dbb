"""Effects in a database, each made once: markers that are written in the transaction of the effect."""
