"""Raw bodies on a screen: masked, unless whoever asks wants to see them, which is kept in the audit."""

from typing import Annotated

import typer

from router import audit
from router.cli.rows import text_of
from router.store import Store

__all__ = ["Reveal", "revealed"]

Reveal = Annotated[bool, typer.Option("--reveal", help="Show the values of the body too; the audit says that you did.")]


async def revealed(store: Store, raw: bytes, *, subject: str, actor: str | None = None) -> str:
    """Return the body of `subject` as text, once the audit has a line of who saw it: `actor`, or this process's user.

    Raises what redis-py raises where the line is refused.
    """
    await audit.record(store, "reveal", subject=subject, matched=1, actor=actor)
    return text_of(raw)
