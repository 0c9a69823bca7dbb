"""Imports go one way, so that each part can be read, tested and used without those above it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LAYERS = ("config", "router", "workers", "router.cli")
TOP = ("router.cli", "router.console")


def layer_of(module: str) -> int:
    """Return the place of a module in the order of the layers; -1 for what is not ours."""
    if module in TOP or module.startswith(tuple(f"{name}." for name in TOP)):
        return len(LAYERS) - 1
    top = module.partition(".")[0]
    return LAYERS.index(top) if top in LAYERS else -1


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", ["config", "router", "workers"])
def test_imports_go_one_way(folder: str) -> None:
    """Nothing imports what is above it: config, router, workers, and router/cli, which nothing else imports."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert paths
    for path in paths:
        own = layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        above = [name for name in imported(path) if layer_of(name) > own]
        assert not above, f"{path.relative_to(ROOT)} imports {above}"
