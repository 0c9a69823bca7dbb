"""Erasing and handing out all that is stored of a company or a tenant: one walk, and two uses of it."""
