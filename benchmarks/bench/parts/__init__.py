"""What is measured, one module each.

Each has `TITLE` and `NOTES` (what is done, and how it is checked), `REFERENCE` (the subject that the others are
compared with; "" for the first of each case) and `run(plan, samples)`.
"""
