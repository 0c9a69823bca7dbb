"""Who imports whom: modules, packages, and their picture in docs/architecture.md, which `make docs` draws."""

import ast
import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

import config

__all__ = [
    "DOCUMENT",
    "Graph",
    "circle",
    "grouped",
    "modules",
    "modules_graph",
    "node_of",
    "packages",
    "room_of",
    "written",
]

ROOT = Path(config.__file__).parents[1]
DOCUMENT = ROOT / "docs" / "architecture.md"
OPEN = ("workers", "workers.operations", "router.cli", "router.console")
"""Packages whose own modules stand below and above the packages within: each module counts as a node of its own."""

Graph = Mapping[str, Collection[str]]


@cache
def modules() -> Mapping[str, Path]:
    """Return the file of every module of the product."""
    found = {}
    for top in ("config", "router", "workers"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def modules_graph() -> Graph:
    """Return the modules that each module imports, wherever in it: at its top, in a function, or for its types."""
    return {name: frozenset(_imported(name, path)) for name, path in modules().items()}


def package_of(module: str) -> str:
    """Return the package that a module is in."""
    return module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]


def packages() -> Mapping[str, list[str]]:
    """Return the modules of each package, without its `__init__`."""
    found: dict[str, list[str]] = {}
    for module, path in modules().items():
        below = found.setdefault(package_of(module), [])
        if path.name != "__init__.py":
            below.append(module)
    return found


def node_of(module: str) -> str:
    """Return what a module counts as among packages: its package, or itself where that package is open."""
    package = package_of(module)
    return module if package in (*OPEN, "router") else package


def grouped(node: Callable[[str], str]) -> Graph:
    """Return the graph of what `node` makes of the modules; an import within one of them is none."""
    found: dict[str, set[str]] = {}
    for module, imports in modules_graph().items():
        found.setdefault(node(module), set()).update(node(name) for name in imports)
    return {name: imports - {name} for name, imports in found.items()}


def circle(graph: Graph) -> list[str]:
    """Return the nodes of one circle, each importing the next and the last the first; none where there is no circle."""
    done: set[str] = set()
    for start in sorted(graph):
        if found := _circle_from(start, graph, done, []):
            return found
    return []


def _circle_from(node: str, graph: Graph, done: set[str], way: list[str]) -> list[str]:
    if node in way:
        return way[way.index(node) :]
    if node in done:
        return []
    for name in sorted(graph[node]):
        if found := _circle_from(name, graph, done, [*way, node]):
            return found
    done.add(node)
    return []


def _imported(module: str, path: Path) -> Iterator[str]:
    known = modules()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else str(node.module) for name in within]
        else:
            continue
        yield from (name for name in names if name in known and name != module)


def room_of(module: str) -> str:
    """Return the box of a module in the picture: its package, where those of the top layer are one."""
    if module.startswith(("router.cli", "router.console")):
        return "router.cli, router.console"
    node = node_of(module)
    if package_of(module) == "workers":
        return "workers: the process" if _stands_on_packages(module) else "workers: public names"
    if package_of(module) == "router":
        return "router.up"
    if node.startswith("workers.operations."):
        return "workers.operations"
    return {"router.store.scripts": "router.store"}.get(node, node)


def _stands_on_packages(module: str) -> bool:
    """Say whether a module directly in workers/ imports any package within it, itself or by another."""
    below = {module}
    waiting = [module]
    while waiting:
        for name in modules_graph()[waiting.pop()]:
            if package_of(name).startswith("workers.") and name in modules():
                return True
            if name not in below and package_of(name) == "workers":
                below.add(name)
                waiting.append(name)
    return False


def _picture() -> Iterator[str]:
    graph = {name: set(imports) for name, imports in grouped(room_of).items() if imports or name != "router"}
    boxes = {name: f"n{number}" for number, name in enumerate(sorted(graph))}
    yield "```mermaid"
    yield "graph BT"
    for name, box in boxes.items():
        yield f'  {box}["{name.replace(".", "/")}"]'
    for name, imports in sorted(graph.items()):
        for other in sorted(_nearest(imports, graph)):
            yield f"  {boxes[name]} --> {boxes[other]}"
    yield "```"


def _nearest(imports: Collection[str], graph: Graph) -> set[str]:
    """Return those of `imports` that none of the others leads to."""
    return {name for name in imports if not any(name in _reached(other, graph) for other in imports if other != name)}


def _reached(start: str, graph: Graph) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph[waiting.pop()]:
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


def _rooms() -> Iterator[str]:
    """Yield a line for each package: what it does, and the names of its modules."""
    for package, below in packages().items():
        words = (importlib.import_module(package).__doc__ or "").partition("\n\n")[0]
        scripts = sorted(path.name for path in (ROOT / package.replace(".", "/")).glob("*.lua"))
        names = " · ".join([*(module.rpartition(".")[2] for module in below), *scripts])
        line = f"- **`{package.replace('.', '/')}`** {' '.join(words.split())}"
        yield f"{line}  \n  {names}" if names else line


def written(document: str) -> str:
    """Return a document with its picture and its table of packages replaced by those of the code."""
    for name, lines in (("picture", _picture()), ("packages", _rooms())):
        begin, end = f"<!-- {name} -->\n", "<!-- end -->\n"
        before, _, rest = document.partition(begin)
        _, _, after = rest.partition(end)
        document = f"{before}{begin}" + "\n".join(lines) + f"\n{end}{after}"
    return document


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
