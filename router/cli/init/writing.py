"""Writing the files: all of them, once they are valid, or none. No file of a secret that is there is lost."""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.errors import ConfigError, RouterError
from router.cli.init.answers import Answers
from router.cli.init.compose_file import compose_text
from router.cli.init.secrets import Secret, secrets_for
from router.cli.init.settings_file import settings_text
from router.cli.init.validating import validate
from router.cli.init.worker_file import worker_text

__all__ = ["COMPOSE", "SETTINGS", "WORKER", "FileInTheWay", "Written", "refuse", "write"]

SETTINGS: Final = "router.toml"
WORKER: Final = "my_worker.py"
COMPOSE: Final = "compose.override.yaml"
_SECRETS: Final = "secrets"


class FileInTheWay(RouterError):
    """A file that would be written is there already."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and the secrets that were made or given; those that were there before were kept."""

    files: tuple[Path, ...]
    secrets: tuple[Secret, ...]
    kept: tuple[str, ...]


def write(answers: Answers, folder: Path, *, force: bool) -> Written:
    """Write all files into a folder; raises FileInTheWay, ConfigError for answers that make no valid settings."""
    try:
        return _write(answers, folder, force=force)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or folder} cannot be written ({error.strerror}); name a --folder that can"
        ) from error


def _write(answers: Answers, folder: Path, *, force: bool) -> Written:
    texts = _texts(answers, _named(folder))
    made = tuple(secrets_for(answers))
    given = [f"{_SECRETS}/{secret.name}" for secret in made if secret.is_given]
    refuse(folder, [*texts, *given], force=force)
    kept = tuple(secret.name for secret in made if not secret.is_given and _is_there(folder, secret))
    new = tuple(secret for secret in made if secret.name not in kept)
    with _staged(folder) as stage:
        _put(stage, {**_texts(answers, stage / _SECRETS)}, made)
        _validate(answers, stage, folder)
        _put(stage, texts, made)
        _secrets_folder(folder)
        for secret in new:
            (stage / _SECRETS / secret.name).replace(folder / _SECRETS / secret.name)
        for name in texts:
            (stage / name).replace(folder / name)
    return Written(tuple(folder / name for name in texts), new, kept)


def _validate(answers: Answers, stage: Path, folder: Path) -> None:
    try:
        validate(answers, stage / SETTINGS, stage / WORKER)
    except ConfigError as error:  # which names the files as they would be
        raise ConfigError(str(error).replace(str(stage), str(folder))) from None


def _texts(answers: Answers, secrets_folder: Path) -> dict[str, str]:
    worker = {} if answers.forward else {WORKER: worker_text(answers)}
    return {SETTINGS: settings_text(answers, secrets_folder), **worker, COMPOSE: compose_text(answers)}


def _named(folder: Path) -> Path:
    """Return the folder of secrets as the settings name it: as seen from here where they are read here."""
    is_here = folder.resolve() == Path.cwd()
    return Path(_SECRETS) if is_here else folder.resolve() / _SECRETS


def refuse(folder: Path, names: Iterable[str], *, force: bool) -> None:
    """Raise FileInTheWay where one of these files is there already."""
    there = [str(folder / name) for name in names if (folder / name).exists()]
    if there and not force:
        raise FileInTheWay(f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there: add --force to write over")


def _is_there(folder: Path, secret: Secret) -> bool:
    file = folder / _SECRETS / secret.name
    return file.is_file() and file.stat().st_size > 0


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Yield a folder of our own beside where the files will be, and remove it."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    stage = folder / f".init-{secrets.token_hex(4)}"
    stage.mkdir(mode=0o700)
    try:
        yield stage
    finally:
        shutil.rmtree(stage)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


def _put(stage: Path, texts: Mapping[str, str], made: Sequence[Secret]) -> None:
    _secrets_folder(stage)
    for name, text in texts.items():
        (stage / name).write_text(text, encoding="utf-8")
    for secret in made:
        _put_secret(stage / _SECRETS / secret.name, secret.text)


def _put_secret(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(descriptor, 0o600)
        stream.write(f"{text}\n")


def _secrets_folder(folder: Path) -> None:
    (folder / _SECRETS).mkdir(mode=0o700, exist_ok=True)
