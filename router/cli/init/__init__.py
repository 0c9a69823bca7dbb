"""`init`: the first settings, made from the answers to five questions."""
