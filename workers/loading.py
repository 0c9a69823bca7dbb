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

from config.errors import ConfigError, told
from workers.subscription import Subscription

__all__ = ["BrokenModule", "load_subscriptions"]


class BrokenModule(ConfigError):
    """The user's own module raised when it was imported; `traceback` shows where, from their module on."""

    def __init__(self, name: str, error: BaseException) -> None:
        self.traceback = _traceback(error)
        super().__init__(f"{name} cannot be imported: {told(error)}")


def load_subscriptions(modules: Sequence[str]) -> list[Subscription]:
    """Import modules, each a dotted name or a file, and return all subscriptions found in them, in order.

    Raises ConfigError for a module that is not there or holds none, for a subscription without a handler, and for two
    subscriptions of one name. An error inside the user's own module is a BrokenModule: they need its traceback.
    """
    _import_from(Path.cwd())
    found: dict[int, Subscription] = {}
    for name in modules:
        subscriptions = [value for value in vars(_import(name)).values() if isinstance(value, Subscription)]
        if not subscriptions:
            raise ConfigError(f"{name}: no Subscription found in this module")
        found.update((id(subscription), subscription) for subscription in subscriptions)
    _check(list(found.values()))
    return list(found.values())


def _import(name: str) -> ModuleType:
    is_file = name.endswith(".py") or os.sep in name
    try:
        return _import_file(Path(name)) if is_file else importlib.import_module(name)
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


def _import_from(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; name a Python file or a dotted module")
    _import_from(path.resolve().parent)
    # A name of its own: a user's file may well be called `workers.py` or `config.py`, as our packages are.
    name = f"worker_file_{path.stem}_{zlib.crc32(bytes(path.resolve())):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _check(subscriptions: Sequence[Subscription]) -> None:
    names: set[str] = set()
    for subscription in subscriptions:
        _ = subscription.handled_by
        if subscription.name in names:
            raise ConfigError(f"two subscriptions are named {subscription.name!r}: each needs a name of its own")
        names.add(subscription.name)
