"""Whether a server can keep the promises: what it says of itself, the judgement, and what a process does about it."""
