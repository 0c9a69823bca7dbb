"""What all tests may ask for: the catalogue, and stores to keep things in."""

import gc
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `support`; not the checkout, which would hide an installed wheel

from hypothesis import settings
from support.cli import Cli, cli_on_fake_store
from support.postgres import Postgres, has_postgres, running_postgres
from support.stores import fake_store, running_server
from support.stores import real_store as on_real_server
from support.topologies import running_cluster

from router.events.catalogue import Catalogue
from router.process.signals import HANDLED
from router.store.client import Store

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    if signal.getsignal(number) == signal.SIG_IGN:  # under nohup, or in the background of a script
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

settings.register_profile("router", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("router")


ON_A_CLUSTER = Path(__file__).parent / "unit" / "router" / "store"
"""Whose tests run on a Cluster in `make test`, too: they prove that each script and read keeps to one hash tag."""


def pytest_sessionstart() -> None:
    """Collect no garbage while the tests are collected: nearly all of what is made then stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Spare the garbage collector what the ten thousand tests are made of: it took a fifth of their time."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as long what proves on a Cluster once more what it proves on a server, of all that stands on the scripts.

    Tests on Postgres are left out where none is installed, and counted as left out.
    """
    if not has_postgres() and (left := [item for item in items if item.get_closest_marker("postgres")]):
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    for item in items:
        if item.get_closest_marker("cluster") and not item.path.is_relative_to(ON_A_CLUSTER):
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Return the packaged catalogue."""
    return Catalogue.load()


@pytest.fixture
def signals_put_back() -> Iterator[None]:
    """Put back what a test does to the signals of this process."""
    before = {number: signal.getsignal(number) for number in HANDLED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Yield the URL of the real server that all tests of this process share."""
    with running_server() as url:
        yield url


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    """Yield the URL of the Cluster that all tests of this process share: three nodes, which nobody kills."""
    with running_cluster(replicas=0, node_timeout=30) as cluster:
        yield cluster.url


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Yield the Postgres that all tests of this process share."""
    with running_postgres() as server:
        yield server


@pytest.fixture
async def real_store(server_url: str) -> AsyncIterator[Store]:
    """Yield a store on a real server, under a key prefix of its own."""
    async with on_real_server(server_url) as store:
        yield store


@pytest.fixture(
    params=["fake", pytest.param("real", marks=pytest.mark.real), pytest.param("cluster", marks=pytest.mark.cluster)]
)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Yield an empty store: the fake one, then one on a real server, then one on a Cluster."""
    async with AsyncExitStack() as stack:
        if request.param == "fake":
            yield await stack.enter_async_context(fake_store())
        else:
            url = request.getfixturevalue("server_url" if request.param == "real" else "cluster_url")
            yield await stack.enter_async_context(on_real_server(url))


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    """Yield the command line on a fake store, in an empty folder."""
    with cli_on_fake_store(monkeypatch, tmp_path) as found:
        yield found
