"""What all tests may ask for: the catalogue, and stores to keep things in."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `support`; not the checkout, lest it hide an installed wheel

from support.cli import Cli, cli_on_fake_store
from support.stores import fake_store, running_server
from support.stores import real_store as on_real_server

from router.catalogue import Catalogue
from router.store import Store


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Return the packaged catalogue."""
    return Catalogue.load()


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Yield the URL of the real server that all tests of this process share."""
    with running_server() as url:
        yield url


@pytest.fixture
async def real_store(server_url: str) -> AsyncIterator[Store]:
    """Yield a store on a real server, under a key prefix of its own."""
    async with on_real_server(server_url) as store:
        yield store


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Yield an empty store, once the fake one and once on a real server."""
    async with AsyncExitStack() as stack:
        if request.param == "fake":
            yield await stack.enter_async_context(fake_store())
        else:
            yield await stack.enter_async_context(on_real_server(request.getfixturevalue("server_url")))


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    """Yield the command line on a fake store, in an empty folder."""
    with cli_on_fake_store(monkeypatch, tmp_path) as found:
        yield found
