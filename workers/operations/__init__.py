"""All that an operator sees or changes, for the command line, the console and scripts.

from workers.operations import Operations
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.operations.operations import Operations

__all__ = ["Operations"]


def __getattr__(name: str) -> Any:
    """Import `Operations` once somebody asks for it: a worker needs only the modules that it names."""
    if name != "Operations":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from workers.operations.operations import Operations  # noqa: PLC0415 - as said

    return Operations
