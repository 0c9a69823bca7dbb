"""Drift: which fields the notifications of each type have, learnt from what came, and what changes in that."""
