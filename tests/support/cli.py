"""The command line in this process, on a fake store."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import fakeredis
import pytest
import structlog
from support.stores import fake_store, fresh_keys
from typer.testing import CliRunner, Result

from config.settings import Settings
from router.cli.app import app
from router.store.client import Store

__all__ = ["Cli", "Terminal", "cli_on_fake_store"]

T = TypeVar("T")


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Cli:
    """Runs commands, and fills the store that they look into."""

    def __init__(self) -> None:
        self._server = fakeredis.FakeServer()
        self._keys = fresh_keys()
        self._runner = CliRunner()

    @asynccontextmanager
    async def open_store(self, settings: Settings | None = None, **options: Any) -> AsyncIterator[Store]:
        """Stand in for the function that opens the store of the settings."""
        async with fake_store(self._keys, self._server) as store:
            yield store

    def fill(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Do something with the store."""

        async def do() -> T:
            async with self.open_store() as store:
                return await work(store)

        return asyncio.run(do())

    def run(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        """Run a command; an error that it should have handled fails the test."""
        result = self._runner.invoke(app, list(arguments), input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    def ok(self, *arguments: str, stdin: str | bytes | None = None) -> str:
        """Run a command that succeeds; return what it prints."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str, code: int = 0, stdin: str | bytes | None = None) -> Any:
        """Return what a command says with `--json`."""
        result = self.run(*arguments, "--json", stdin=stdin)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def fails(self, code: int, *arguments: str, stdin: str | bytes | None = None) -> str:
        """Run a command that ends with an exit code; return what it says on stderr."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == code, result.output
        return result.stderr


@contextmanager
def cli_on_fake_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Cli]:
    """Yield a command line whose commands find a fake store and no settings but the defaults."""
    cli = Cli()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROUTER_LOG__FORMAT", "json")
    monkeypatch.setattr("workers.operations.operations.open_store", cli.open_store)
    level = logging.getLogger().level
    try:
        yield cli
    finally:  # logging would go on writing to the runner's closed stderr
        root = logging.getLogger()
        root.setLevel(level)
        for handler in [known for known in root.handlers if known.name == "event-router"]:
            root.removeHandler(handler)
        structlog.reset_defaults()
