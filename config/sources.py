"""Where the settings come from.

Strongest first: `ROUTER_…` environment variables (`ROUTER_INGRESS__PORT`), the TOML file, the defaults. An empty
variable counts as unset, because compose files and charts pass empty ones on.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.erp import ErpSettings
from config.errors import ConfigError
from config.files import read_regular
from config.forward import ForwardSettings
from config.notify import NotifySettings
from config.reconcile import ReconcileSettings
from config.secret_files import files_of, table_files, with_secrets
from config.settings import Settings
from config.tables import merged, name_of, put
from config.urls import redact_url
from config.wanted import wanted

_PREFIX = "ROUTER_"
_PLAIN = ("data_dir", "publishers", "publishers_dir", "allow_unsigned")  # the settings outside any section
_BY_NAME: Mapping[str, type[BaseModel]] = {"erp": ErpSettings, "reconcile": ReconcileSettings}
"""What has a section for each publisher, or for each name."""
_LISTS: Mapping[str, type[BaseModel]] = {"forward": ForwardSettings, "notify": NotifySettings}
"""What is a list of tables, each with a name."""
_HIDDEN: Mapping[str, tuple[str, ...]] = {
    "forward": ("secrets", "headers"),
    "notify": ("secrets", "url", "password"),
}
"""The settings of their tables that no message repeats."""
_NEAR = (Path("router.toml"), Path("config", "router.toml"))
"""Where the settings are looked for in the working folder, in this order: one file is read."""
_SHOWN = 120  # characters of a wrong value that an error message repeats

_Values = dict[str, Any]


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `path` and `environ`.

    Without a path it is `ROUTER_CONFIG`, else `./router.toml`, else `./config/router.toml`, else the packaged file.

    Raises ConfigError, one line, when a file cannot be read, a key is unknown or a value is not allowed.
    """
    environ = os.environ if environ is None else environ
    file = _choose_file(path, environ)
    weak = with_secrets(_parse(file), lambda *keys: f"{file}: {'.'.join(keys)}")
    strong = with_secrets(_variables(environ), lambda *keys: _variable(keys))
    values = _merge(weak, strong)
    try:
        return Settings(**values)
    except ValidationError as error:
        problems = [_explain(problem, strong, file, values) for problem in error.errors()]
    # Raised outside the handler: the original error repeats the values it was given, secrets among them.
    raise ConfigError("; ".join(problems))


def settings_file(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the file that `load_settings` reads by the same arguments."""
    return _choose_file(path, os.environ if environ is None else environ)


def unread_file() -> Path | None:
    """Return `./config/router.toml` where it is passed over for `./router.toml`, and anything is set in it."""
    near, far = _NEAR
    return far if settings_file() == near and far.is_file() and _sets_anything(far) else None


def secret_files(path: Path | None = None, environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Return the files that hold secrets by the same settings; raises ConfigError where these cannot be read."""
    environ = os.environ if environ is None else environ
    file = _choose_file(path, environ)
    return (*files_of(_parse(file), file), *files_of(_variables(environ)))


def forward_secret_files(name: str) -> tuple[Path, ...]:
    """Return the files that hold the secrets of a forward; none where they stand in the settings themselves."""
    sources = (_variables(os.environ), _parse(_choose_file(None, os.environ)))
    return next((files for source in sources if (files := table_files(source, "forward", name)) is not None), ())


def _sets_anything(file: Path) -> bool:
    try:
        return _holds_anything(_parse(file))
    except ConfigError:
        return True


def _holds_anything(value: object) -> bool:
    """Return whether there is more than tables in which nothing stands, as in the packaged file."""
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_holds_anything, value)) if isinstance(value, list) else True


def _merge(weak: _Values, strong: _Values) -> _Values:
    both = weak | strong
    for key in strong:
        if key in _LISTS:
            both[key] = merged(weak.get(key), strong[key], _merge)
        elif isinstance(weak.get(key), dict) and isinstance(strong[key], dict):
            both[key] = _merge(weak[key], strong[key])
    return both


def _choose_file(path: Path | None, environ: Mapping[str, str]) -> Path:
    if named := path or environ.get(f"{_PREFIX}CONFIG"):
        return Path(named)
    return next((file for file in _NEAR if file.is_file()), Path(__file__).with_name("router.toml"))


def _parse(file: Path) -> _Values:
    try:
        return tomllib.loads(read_regular(file).decode())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); name an existing settings file") from error
    except ValueError as error:
        raise ConfigError(f"{file}: not a TOML file: {error}") from None


def _variables(environ: Mapping[str, str]) -> _Values:
    values: _Values = {}
    for name, value in environ.items():
        if value and name.startswith(_PREFIX):
            _place(values, name, value)
    return values


def _place(values: _Values, variable: str, value: str) -> None:
    """Put one variable where it belongs; one without `__` that names no setting is somebody else's."""
    section, nested, key = variable.removeprefix(_PREFIX).lower().partition("__")
    if section in Settings.model_fields and section not in _PLAIN:
        keys = key.split("__", -1 if section in _LISTS else int(section in _BY_NAME))
        if not all(keys) or (len(keys) == 1 and (section in _LISTS or section in _BY_NAME)):
            raise ConfigError(f"{variable}: a section, not a setting; set one of its settings, as in {variable}__NAME")
        put(values.setdefault(section, {}), keys, value)
    elif nested or section in _PLAIN:
        values[section + nested + key] = value
    elif section in _SLIPS and not value.startswith("tcp://"):  # Kubernetes sets ROUTER_INGRESS_PORT so, of a service
        raise ConfigError(f"{variable}: no setting; write {_SLIPS[section]}, with two underscores")


def _variable(keys: Sequence[str]) -> str:
    return _PREFIX + "__".join(keys).upper()


_SLIPS = {
    f"{section}_{key}": _variable([section, key])
    for section, field in Settings.model_fields.items()
    if isinstance(field.default, BaseModel)
    for key in type(field.default).model_fields
}
"""The variable that one with a single underscore should be: an allow list that is not applied must not go unnoticed."""


def _explain(problem: ErrorDetails, environment: _Values, file: Path, values: _Values) -> str:
    """Say in one line which setting is wrong, where it was set, to what, and what is allowed."""
    first, *rest = (str(part) for part in problem["loc"])
    if first in _LISTS:
        return _explain_table(problem, file, values)
    keys = [first] if first in _PLAIN else [first, *rest[: 2 if first in _BY_NAME else 1]]
    section: Any = environment
    for key in keys:
        section = section.get(key) if isinstance(section, dict) else section
    in_environment = section is not None
    where = _variable(keys) if in_environment else f"{file}: {'.'.join(keys)}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown setting; known are {', '.join(sorted(_beside(keys)))}"
    hidden = first == "secrets" or keys[-1] in ("token", "client_secret", "secret_key", "proxy")
    value = "" if hidden else f" = {redact_url(str(problem['input']))[:_SHOWN]!r}"
    return f"{where}{value}: {wanted(problem, _beside(keys).get(keys[-1]))}"


def _explain_table(problem: ErrorDetails, file: Path, values: _Values) -> str:
    """Say it of a list of tables, naming the table; a variable may have set the value as well."""
    first, *rest = problem["loc"]
    if not rest:
        return f"{file}: {first} {wanted(problem, None)}"
    named, path = name_of(values[str(first)], rest[0]), [str(part) for part in rest[1:]]
    fields: Mapping[str, FieldInfo] = _LISTS[str(first)].model_fields
    for part in path[:-1]:
        fields = _within(fields.get(part)) or fields
    where = f"{file}: {first} {named}{': ' if path else ''}{'.'.join(path)}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown setting; known are {', '.join(sorted(fields))}"
    shown = isinstance(problem["input"], str | int | float) and not (path and path[0] in _HIDDEN[str(first)])
    value = f" = {redact_url(str(problem['input']))[:_SHOWN]!r}" if shown else ""
    return f"{where}{value}: {wanted(problem, fields.get(path[-1]) if path else None)}"


def _within(field: FieldInfo | None) -> Mapping[str, FieldInfo] | None:
    """Return the settings of the table that is a value of this field; None where it is no table."""
    kinds = () if field is None else (field.annotation, *get_args(field.annotation))
    return next((k.model_fields for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def _beside(keys: Sequence[str]) -> Mapping[str, FieldInfo]:
    """Return the settings of the section that a setting is in, or all sections."""
    if keys[0] in _BY_NAME:
        return _BY_NAME[keys[0]].model_fields
    section = Settings.model_fields[keys[0]].default if len(keys) > 1 else None
    return type(section).model_fields if isinstance(section, BaseModel) else Settings.model_fields
