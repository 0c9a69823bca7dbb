"""Finding the subscriptions in the modules that a user names."""

import importlib
import importlib.util
import os
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from config.errors import ConfigError
from workers.subscription import Subscription

__all__ = ["load_subscriptions"]


def load_subscriptions(modules: Sequence[str]) -> list[Subscription]:
    """Import modules, each a dotted name or a file, and return all subscriptions found in them, in order.

    Raises ConfigError for a module that is not there or holds none, for a subscription without a handler, and for two
    subscriptions of one name. An error inside the user's own module is raised as it is: they need its traceback.
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
    if name.endswith(".py") or os.sep in name:
        return _import_file(Path(name))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"{name}: no such module; name a dotted module or a file such as ./my_worker.py"
            ) from None
        raise


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
