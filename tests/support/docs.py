"""The programs beside the pages of docs/, which are no package."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["DOCS", "docs_module"]

DOCS = Path(__file__).parents[2] / "docs"


def docs_module(name: str) -> ModuleType:
    """Return a module of docs/, which may import its neighbours."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS))
