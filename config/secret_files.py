"""Secrets that are kept in files, as container platforms mount them: one secret a line, or one token or URL alone.

Nothing is guessed: a file that is missing, empty or no text is an error, never no secret.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from config.errors import ConfigError
from config.files import read_regular
from config.settings import fold_slug, split_list
from config.tables import fold_name

_FILE = "_file"
_ALONE = (("ops", "token"), ("redis", "url"), ("archive", "secret_key"))
"""The settings, by section and key, whose file holds one secret alone."""

_SPELLINGS = ("secret", "secrets", "secret_file", "secret_files")
"""How a table may name its secrets, several while they are rotated."""

_LISTS: Mapping[str, tuple[str, ...]] = {"forward": (), "notify": ("url", "password")}
"""The lists of tables that have secrets, each with the settings whose file holds one alone."""

_CLIENT = ("client_secret", "proxy")
"""What each section of `erp` has that is a secret, or may hold one."""

Values = dict[str, Any]


def files_of(values: Mapping[str, Any], file: Path | None = None) -> Iterator[Path]:
    """Yield the files that hold secrets by one source, as it was read: those it names, and `file`, it itself."""
    sections = (values.get(name) for name in ("ops", "redis", "archive", "erp", "secrets"))
    ops, redis, archive, erp, secrets = ({**section} if isinstance(section, dict) else {} for section in sections)
    secrets |= {key: ops[key] for key in ("token", "token_file") if ops.get(key)}
    secrets |= {key: archive[key] for key in ("secret_key", "secret_key_file") if archive.get(key)}
    secrets |= {key: redis[key] for key in ("url_file",) if redis.get(key)}
    for slug, client in erp.items():
        kept = client if isinstance(client, dict) else {}
        secrets |= {f"{slug}.{key}": value for key, value in _of_client(kept)}
    named_files = [str(value) for key, value in secrets.items() if fold_slug(key).endswith(_FILE)]
    if file is not None and len(secrets) > len(named_files):
        yield file
    yield from map(Path, named_files)
    for name, alone in _LISTS.items():
        yield from _files_of_tables(values.get(name), file, alone)


def table_files(values: Mapping[str, Any], section: str, name: str) -> tuple[Path, ...] | None:
    """Return the files of the secrets of one table of a list; None where the source gives it no secret."""
    for named, table in _tables(values.get(section)):
        if fold_name(named) == fold_name(name) and any(table.get(key) for key in _SPELLINGS):
            files = ("secret_file", "secret_files")
            return tuple(Path(str(path)) for key in files for path in _listed(table.get(key)))
    return None


def with_secrets(values: Values, label: Callable[..., str]) -> Values:
    """Return the values of one source with the secrets, the token and the URL that its files hold in their place.

    `label` names an entry by its section and keys in messages. Raises ConfigError for an entry that holds no secret, or
    a file that cannot be read.
    """
    read = {**values}
    if isinstance(named := values.get("secrets"), dict):
        read["secrets"] = _read_secrets(named, lambda key: label("secrets", key))
    for section, key in _ALONE:
        if isinstance(settings := values.get(section), dict):
            read[section] = _read_one(settings, key, label(section, key + _FILE))
    if isinstance(clients := values.get("erp"), dict):
        read["erp"] = {
            fold_slug(slug): _read_client(client, partial(label, "erp", slug)) if isinstance(client, dict) else client
            for slug, client in clients.items()
        }
    for name, alone in _LISTS.items():
        if name in values:
            read[name] = _with_table_secrets(values[name], partial(label, name), alone)
    return read


def _of_client(client: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings of an ERP that hold a secret, or name a file of one; a proxy without a user holds none."""
    for key in _CLIENT:
        if (held := client.get(key)) and (key == "client_secret" or "@" in str(held)):
            yield key, held
        if named := client.get(key + _FILE):
            yield key + _FILE, named


def _read_client(client: Values, label: Callable[[str], str]) -> Values:
    for key in _CLIENT:
        client = _read_one(client, key, label(key + _FILE))
    return client


def _files_of_tables(tables: object, file: Path | None, alone: Sequence[str]) -> Iterator[Path]:
    held, named = list[str](), list[str]()
    for _, table in _tables(tables):
        held += [key for key in ("secret", "secrets", "headers", *alone) if table.get(key)]
        files = ("secret_file", "secret_files", *(key + _FILE for key in alone))
        named += [str(path) for key in files for path in _listed(table.get(key))]
    if file is not None and held:
        yield file
    yield from map(Path, named)


def _tables(tables: object) -> Iterator[tuple[str, Values]]:
    """Yield the tables of a list, or of a section by name as variables make it, each with what messages call it."""
    found = tables.items() if isinstance(tables, dict) else [("", table) for table in _listed(tables)]
    for name, table in found:
        if isinstance(table, dict):
            yield name or str(table.get("name", "")), table


def _listed(value: object) -> Sequence[object]:
    cut = split_list(value)
    return cut if isinstance(cut, list | tuple) else [] if cut is None else [cut]


def _with_table_secrets(tables: object, label: Callable[..., str], alone: Sequence[str]) -> object:
    """Return tables with their secrets, of all spellings and files, in one entry: `secrets`; those alone in theirs."""
    read = {id(table): _gathered(table, partial(label, name), alone) for name, table in _tables(tables)}
    if isinstance(tables, dict):
        return {name: read.get(id(table), table) for name, table in tables.items()}
    return [read.get(id(table), table) for table in tables] if isinstance(tables, list) else tables


def _gathered(table: Values, label: Callable[[str], str], alone: Sequence[str]) -> Values:
    for key in alone:
        table = _read_one(table, key, label(key + _FILE))
    rest = {key: value for key, value in table.items() if key not in _SPELLINGS}
    texts = [text for key in ("secret", "secrets") for text in _listed(table.get(key))]
    if not all(_is_text(text) for text in texts):
        raise ConfigError(f"{label('secrets')}: holds no secret; give one or more texts")
    for key in ("secret_file", "secret_files"):
        for named in _listed(table.get(key)):
            texts += _secret_lines(named, label(key))
    found = tuple(str(text).strip() for text in texts)
    return {**rest, "secrets": found} if found else rest


def _read_secrets(named: Values, label: Callable[[str], str]) -> Values:
    """Turn one source's `slug` and `slug_file` entries into the texts of each publisher's secrets."""
    found: dict[str, tuple[str, ...]] = {}
    for key, value in named.items():
        slug = fold_slug(key).removesuffix(_FILE)
        texts = split_list(value) if slug == fold_slug(key) else _secret_lines(value, label(key))
        if not isinstance(texts, list | tuple) or not texts or not all(_is_text(text) for text in texts):
            raise ConfigError(f"{label(key)}: holds no secret; give one or more, separated by commas")
        stripped = tuple(text.strip() for text in texts)
        if not all(text.isprintable() for text in stripped):
            raise ConfigError(f"{label(key)}: holds characters that no secret has; was it written as UTF-16?")
        found[slug] = found.get(slug, ()) + stripped
    return found


def _read_one(section: Values, key: str, label: str) -> Values:
    named = section.get(key + _FILE)
    rest = {name: value for name, value in section.items() if name != key + _FILE}
    if not named:
        return rest
    if rest.get(key):
        raise ConfigError(f"{label}: the {key} is set as well; set only one of them")
    lines = _secret_lines(named, label)
    if len(lines) > 1:
        raise ConfigError(f"{label}: {named} holds {len(lines)} lines; write one {key}")
    return {**rest, key: lines[0]}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _secret_lines(file: object, label: str) -> tuple[str, ...]:
    try:
        lines = map(str.strip, read_regular(Path(str(file))).decode("utf-8-sig").split("\n"))
    except OSError as error:
        raise ConfigError(f"{label}: {file} cannot be read ({error.strerror}); name a readable file") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{label}: {file} is not UTF-8 text; write one secret a line") from None
    if secrets := tuple(line for line in lines if line and not line.startswith("#")):
        return secrets
    raise ConfigError(f"{label}: {file} holds no secret; write one a line")
