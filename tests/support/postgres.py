"""A Postgres of a test's own: in a folder of its own, on a unix socket there, ended with the test."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

__all__ = ["Postgres", "has_postgres", "running_postgres"]

REQUIRED = "TEST_POSTGRES"
"""The environment variable that says that a machine without Postgres is an error, and not one that leaves tests out."""

_OF_DEBIAN = Path("/usr/lib/postgresql")


class Postgres:
    """A running server, by the folder of its socket; every connection is let in as `postgres`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conninfo = f"host={folder} user=postgres dbname=postgres"
        self.asyncpg = {"host": str(folder), "user": "postgres", "database": "postgres"}


@cache
def _programs() -> Path | None:
    found = shutil.which("pg_ctl")
    with suppress(OSError):
        newest = sorted(_OF_DEBIAN.glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
        return newest[-1].parent if newest else Path(found).parent if found else None
    return Path(found).parent if found else None


def has_postgres() -> bool:
    """Return whether there is one to start; True where that is required, so that its tests fail without."""
    return _programs() is not None or bool(os.environ.get(REQUIRED))


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Yield a new server, which flushes nothing to the disk."""
    programs = _programs()
    assert programs, "no Postgres is installed: `apt-get install postgresql` brings one"
    folder = Path(tempfile.mkdtemp(prefix="er-pg-"))
    user = _user()
    if user is not None:
        shutil.chown(folder, user)
    data = str(folder / "data")

    def run(*command: str) -> None:
        done = subprocess.run(
            [str(programs / command[0]), *command[1:]],
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # no pipe: the server would keep it open
            check=False,
        )
        assert done.returncode == 0, f"{command[0]} failed; its log: {_log_of(folder)}"

    try:
        run("initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=50"
        run("pg_ctl", "start", "--pgdata", data, "--wait", "--log", str(folder / "log"), "--options", options)
        try:
            yield Postgres(folder)
        finally:
            run("pg_ctl", "stop", "--pgdata", data, "--wait", "--mode", "immediate")
    finally:
        shutil.rmtree(folder)


def _user() -> str | None:
    """Return as whom to run it: it refuses root."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


def _log_of(folder: Path) -> str:
    with suppress(OSError):
        return (folder / "log").read_text()
    return "none"
