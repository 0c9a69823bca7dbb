"""Finding the subscriptions in the modules that a user names."""

import importlib
import importlib.util
import os
import sys
import traceback
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from config.errors import ConfigError, described
from router.telemetry import logs
from workers.made import Made, collected
from workers.modules.held import held_by
from workers.modules.one_module import OneModule, one_module
from workers.subscription import Subscription

_log = logs.get("worker")


class BrokenModule(ConfigError):
    """The user's own module raised when it was imported; `traceback` shows where, from their module on."""

    def __init__(self, name: str, error: BaseException) -> None:
        self.traceback = _traceback(error)
        super().__init__(f"{name} cannot be imported: {described(error)}")


def load_subscriptions(modules: Sequence[str]) -> list[Subscription]:
    """Import modules, each a dotted name or a file, and return all subscriptions found in them, each once, in order.

    A module's subscriptions are those that it holds, in its variables or in collections and objects in them, and those
    that were made by its body, or by the modules of the package that it is. Where these are none, it stands for all
    that it imports. Others that are made meanwhile, by what is imported for something else, are not run.

    Raises ConfigError for a module that is not there or holds none, for a subscription without a handler, and for two
    subscriptions of one name. An error inside the user's own module is a BrokenModule: they need its traceback.
    """
    finder = one_module()
    _import_from(finder, Path.cwd())
    found: dict[int, Subscription] = {}
    with collected() as made:
        for name in modules:
            subscriptions = _subscriptions(finder, *_import(finder, name), made)
            if not subscriptions:
                raise ConfigError(f"{name}: no Subscription found in this module")
            found.update((id(subscription), subscription) for subscription in subscriptions)
    for subscription, importing in made:
        if id(subscription) not in found:
            _log.info("subscription_not_run", subscription=subscription.name, made_in=next(iter(importing), None))
    _check(list(found.values()))
    return list(found.values())


def _subscriptions(
    finder: OneModule, name: str, module: ModuleType, made: Sequence[Made[Subscription]]
) -> list[Subscription]:
    own = [one for one, importing in made if any(f"{by}.".startswith(f"{name}.") for by in importing[:1])]
    imported = [one for one, importing in made if name in importing]
    return [*held_by(module, finder.is_users), *own] or imported


def _import(finder: OneModule, name: str) -> tuple[str, ModuleType]:
    """Import what a user named; return the name that its code sees, and the module."""
    is_file = name.endswith(".py") or os.sep in name
    try:
        if is_file:
            name_of_file = _import_file(finder, Path(name))
            return name_of_file, sys.modules[name_of_file]
        module = importlib.import_module(name)
        return getattr(module, "__name__", name), module
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) and not is_file else None
        if missing and f"{name}.".startswith(f"{missing}."):
            raise ConfigError(
                f"{name}: no such module; name a dotted module or a file such as ./my_worker.py"
            ) from None
        raise BrokenModule(name, error) from error


def _traceback(error: BaseException) -> str:
    """Return the traceback of an import as Python prints it, without our own frames and those of the import system."""
    frame = error.__traceback__
    while frame is not None and _is_ours(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))


def _is_ours(file: str) -> bool:
    return file in (__file__, importlib.__file__) or file.startswith("<frozen importlib")


def _import_from(finder: OneModule, folder: Path, *, first: bool = True) -> None:
    finder.add(folder)
    if str(folder) not in sys.path:
        sys.path.insert(0 if first else len(sys.path), str(folder))


def _import_file(finder: OneModule, path: Path) -> str:
    if not os.path.isfile(path):  # noqa: PTH113 - False for a name that is too long, where Path raises
        raise ConfigError(f"{path}: no such file; name a Python file or a dotted module")
    file = path.resolve() if path.resolve().suffix == ".py" else path.absolute()
    if file.suffix != ".py":
        raise ConfigError(f"{path}: not a Python file; its name must end in .py")
    top, rest = _package(file)
    # A file of a package finds what it imports by the package's name first, else beside itself.
    _import_from(finder, top.parent if top == file else top.parent.parent)
    _import_from(finder, file.parent, first=False)
    return finder.name_of(file) or _import_as(finder, top, rest)


def _package(file: Path) -> tuple[Path, list[str]]:
    """Return the outermost package's `__init__.py` and the names that lead from there to a file; or the file itself."""
    rest = [] if file.stem == "__init__" else [file.stem]
    folder, top = file.parent, file
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        top, rest = folder / "__init__.py", [folder.name, *rest]
        folder = folder.parent
    return top, rest[1:]


def _import_as(finder: OneModule, top: Path, rest: Sequence[str]) -> str:
    """Import a file by the name that others would import it by, or, where that is taken, by one of its own.

    It may well be called `workers.py` or `config.py`, as our packages are.
    """
    name = top.parent.name if top.name == "__init__.py" else top.stem
    if not _leads_to(name, top):
        name = f"worker_file_{name}_{zlib.crc32(bytes(top)):08x}"
        if name not in sys.modules:
            finder.named(top, name)
            _execute(name, top)
    whole = ".".join([name, *rest])
    importlib.import_module(whole)
    return whole


def _leads_to(name: str, file: Path) -> bool:
    """Return whether Python finds this file by a name."""
    if not name.isidentifier() or name in sys.stdlib_module_names:
        return False
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a module that somebody made without a file
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == file.resolve()


def _execute(name: str, file: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise


def _check(subscriptions: Sequence[Subscription]) -> None:
    names: set[str] = set()
    for subscription in subscriptions:
        _ = subscription.handled_by
        if subscription.name in names:
            raise ConfigError(f"two subscriptions are named {subscription.name!r}: each needs a name of its own")
        names.add(subscription.name)
