"""A user's file is one module, however it is named: as a path, by a symbolic link, from inside its package or outside.

Python goes by names, and would run a file once for each name it is imported by: a subscription would be made twice, and
a handler be given to the one that nobody runs.
"""

import os
import sys
import sysconfig
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_KINDS = ("purelib", "platlib", "stdlib", "platstdlib")


def _real(file: str) -> str:
    return os.path.realpath(file)


def _folder(path: str) -> str:
    return os.path.join(_real(path), "")  # noqa: PTH118 - a Path drops the separator at the end


_INSTALLED = tuple({_folder(sysconfig.get_path(kind)) for kind in _KINDS})


class _Same(Loader):
    """Lets a second name stand for a module that is there."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python to make one."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module that is there in its place."""
        sys.modules[module.__name__] = self._module


class OneModule(MetaPathFinder):
    """Finds the modules of the user's folders that have been imported by another name."""

    def __init__(self) -> None:
        self._folders: list[str] = []
        self._names: dict[str, str] = {}

    def add(self, folder: Path) -> None:
        """Go by files for what is imported from this folder."""
        self._folders.append(_folder(str(folder)))

    def is_users(self, name: str) -> bool:
        """Return whether a module that is imported is from one of the folders, and not installed there."""
        file = getattr(sys.modules.get(name), "__file__", None)
        return isinstance(file, str) and self._is_users(_real(file))

    def named(self, file: Path, name: str) -> None:
        """Take note that a file is imported by a name that Python would not find."""
        self._names[_real(str(file))] = name

    def name_of(self, file: Path) -> str | None:
        """Return the name that a file was imported by, or is being imported by now."""
        real = _real(str(file))
        if (name := self._names.get(real)) in sys.modules:
            return name
        for name, module in list(sys.modules.items()):
            known = getattr(module, "__file__", None)
            if isinstance(known, str) and name != "__main__" and _real(known) == real:
                return name
        return None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what stands for the module that a file has become by another name; None for Python to go on."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not spec.has_location or spec.origin is None or not self._is_users(_real(spec.origin)):
            return None
        known = self._names.setdefault(_real(spec.origin), fullname)
        if known == fullname:
            return None
        if (module := sys.modules.get(known)) is None:
            self._names[_real(spec.origin)] = fullname
            return None
        return ModuleSpec(fullname, _Same(module), origin=spec.origin)

    def _is_users(self, real: str) -> bool:
        return real.startswith(tuple(self._folders)) and not real.startswith(_INSTALLED)


def one_module() -> OneModule:
    """Return the finder of this process, from now on asked before Python's own."""
    found = next((finder for finder in sys.meta_path if isinstance(finder, OneModule)), None)
    if found is None:
        found = OneModule()
        before = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(before, found)
    return found
