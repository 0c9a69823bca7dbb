"""Raw bodies on a screen: masked, unless whoever asks wants to see them, which is kept in the audit."""

from typing import Annotated

import typer

from router import audit
from router.cli.rows import text_of
from router.cli.runtime import Session
from router.redact import redacted

__all__ = ["RevealFlag", "shown_raw"]

RevealFlag = Annotated[
    bool, typer.Option("--reveal", help="Show the values of the body too; the audit says that you did.")
]


async def shown_raw(session: Session, raw: bytes, *, reveal: bool, subject: str) -> str:
    """Return a body as it is shown of `subject`, masked or not; raises what redis-py raises where nothing is kept."""
    if not reveal:
        return redacted(raw)
    await audit.record(session.store, "reveal", subject=subject, matched=1)
    return text_of(raw)
