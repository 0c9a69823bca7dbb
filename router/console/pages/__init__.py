"""The pages: each function answers one path, and changes nothing unless it is posted to."""
