"""The signing secrets of a publisher, and those that `up` makes for the embedded server."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from config.errors import ConfigError
from config.files import read_regular
from config.settings import Settings
from router.embedded.access import EMBEDDED


def secrets_of(settings: Settings, slug: str) -> tuple[bytes, ...]:
    """Return the accepted secrets of a publisher; on the embedded server its generated one if none is set.

    Raises ConfigError for a generated one that is there and cannot be read.
    """
    configured = settings.secrets_for(slug)
    if configured or settings.redis.url != EMBEDDED:
        return configured
    file = _file(settings, slug)
    try:
        secret = read_regular(file).strip()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise ConfigError(f"{file}: the secret cannot be read ({error.strerror}); see whose file it is") from error
    return (secret,) if secret else ()


def make_secrets(settings: Settings, slugs: Iterable[str]) -> list[Path]:
    """Make a secret for each publisher that has none and is not `allow_unsigned`; return the files written.

    Does nothing unless the server is the embedded one: a real deployment is never given a secret nobody chose.
    """
    if settings.redis.url != EMBEDDED:
        return []
    without = [slug for slug in slugs if not secrets_of(settings, slug) and not settings.allows_unsigned(slug)]
    return [_make(_file(settings, slug)) for slug in without]


def new_secret() -> str:
    """Return a secret for a webhook of a publisher, or a token."""
    return secrets.token_urlsafe(32)


def kept_secret(file: Path, new: Callable[[], str] = new_secret) -> str:
    """Return the secret that a file holds, which `new` makes if there is none.

    Raises ConfigError for a file that can be neither read nor written.
    """
    try:
        secret = read_regular(file).decode().strip() if file.exists() else ""
        return secret or read_regular(_make(file, new)).decode().strip()
    except (OSError, UnicodeError) as error:
        why = f"{file} holds no secret that can be read ({error})"
        raise ConfigError(f"data_dir: {why}; delete it, or set ROUTER_DATA_DIR to a folder of yours") from error


def _make(file: Path, new: Callable[[], str] = new_secret) -> Path:
    try:
        return _written(file, new())
    except OSError as error:
        what = f"data_dir: {error.filename} cannot be written ({error.strerror})"
        raise ConfigError(f"{what}; set ROUTER_DATA_DIR to a folder that can") from error


def _written(file: Path, secret: str) -> Path:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(f"{secret}\n")
    # Put in place whole, and over nothing but an empty file: a start that died must not leave an empty secret behind,
    # nor two that start at once replace each other's.
    if file.exists() and not file.stat().st_size:
        file.unlink()
    with contextlib.suppress(FileExistsError):
        file.hardlink_to(whole)
    whole.unlink()
    return file


def _file(settings: Settings, slug: str) -> Path:
    return settings.data_dir / "secrets" / slug
