"""`schema`: the fields of each type as they were learnt, and what has changed in them."""
