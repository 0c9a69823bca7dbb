"""Durability levels on real servers: what is confirmed, and what is not."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.servers import Server, starting
from support.stores import fresh_keys

from config.durability import Durability
from router.intake.confirmation import Confirmation, NotDurable
from router.intake.entry import Entry
from router.intake.writer import Batch
from router.store.client import Store, connect

STREAM = "p/type"
WINDOW = 60_000


@pytest.fixture
def server() -> Iterator[Server]:
    """Yield a server that flushes its file with every write."""
    with starting("--appendfsync", "always", "--repl-diskless-sync-delay", "0") as server:
        yield server


@pytest.fixture
def replica(server: Server, tmp_path: Path) -> Iterator[Server]:
    """Yield a replica of the server, in step with it."""
    replica = Server(tmp_path / "replica", "--replicaof", "127.0.0.1", str(server.port))
    try:
        replica.start()
        while server.ask("WAIT", 1, 1000) != 1:
            server.ask("SET", "in-step", "?")
        yield replica
    finally:
        replica.kill()


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    """Yield a store on the server."""
    store = connect(server.url, fresh_keys())
    yield store
    await store.aclose()


def batch_of(store: Store, level: str, timeout: float = 5.0) -> Batch:
    """Return a batch of this durability."""
    confirmation = Confirmation.for_level(store, Durability.parse(level), timeout=timeout)
    return Batch(store, window=WINDOW, confirmation=confirmation)


def entry(store: Store, name: str, stream: str = STREAM) -> Entry:
    """Return an entry."""
    return Entry(store.keys.events(stream), store.keys.seen(stream, name), ("id", name), 1)


async def test_written_needs_no_confirmation(store: Store) -> None:
    """By default a reply is enough, and costs one round trip."""
    assert Confirmation.for_level(store, Durability(), timeout=1) is None
    assert await batch_of(store, "written").append([entry(store, "a")]) == [True]


async def test_fsynced_is_confirmed_by_the_server(store: Store, server: Server) -> None:
    """With `fsynced` one WAITAOF a batch, on the connection that wrote, says that all of it is on disk."""
    entries = [entry(store, "a"), entry(store, "b", "p/other"), entry(store, "a")]
    assert await batch_of(store, "fsynced").append(entries) == [True, True, False]
    stats = server.ask("INFO", "commandstats")
    assert stats["cmdstat_waitaof"]["calls"] == 1


async def test_fsynced_without_an_append_only_file_is_not_durable(store: Store, server: Server) -> None:
    """Where the server cannot confirm, nothing passes for durable."""
    server.ask("CONFIG", "SET", "appendonly", "no")
    (outcome,) = await batch_of(store, "fsynced").append([entry(store, "a")])
    assert isinstance(outcome, Exception)


async def test_replicated_is_confirmed_by_a_replica(store: Store, replica: Server) -> None:
    """With `replicated:1` the entry is with a replica when it counts as stored."""
    assert await batch_of(store, "replicated:1").append([entry(store, "a")]) == [True]
    assert replica.ask("XLEN", store.keys.events(STREAM)) == 1


async def test_a_replica_that_does_not_confirm_makes_the_entry_not_durable(store: Store, replica: Server) -> None:
    """In the store, but not with enough replicas in time: not stored, as far as a 2xx goes."""
    replica.freeze()
    batch = batch_of(store, "replicated:1", timeout=0.3)
    (outcome,) = await batch.append([entry(store, "a")])
    assert isinstance(outcome, NotDurable)
    assert "0 of 1" in str(outcome)
    replica.thaw()
    assert await batch_of(store, "replicated:1").append([entry(store, "a")]) == [False]


async def test_a_duplicate_waits_for_the_first_to_be_durable(store: Store, server: Server, replica: Server) -> None:
    """A repetition on another connection is not confirmed before the entry itself is: it stands for the same event."""
    replica.freeze()
    assert await batch_of(store, "written").append([entry(store, "a")]) == [True]
    other = connect(server.url, store.keys)
    try:
        (outcome,) = await batch_of(other, "replicated:1", timeout=0.3).append([entry(other, "a")])
        assert isinstance(outcome, NotDurable)
        replica.thaw()
        assert await batch_of(other, "replicated:1").append([entry(other, "a")]) == [False]
    finally:
        await other.aclose()


async def test_too_few_replicas_are_too_few(store: Store, replica: Server) -> None:
    """`replicated:2` with one replica never says yes."""
    (outcome,) = await batch_of(store, "replicated:2", timeout=2).append([entry(store, "a")])
    assert isinstance(outcome, NotDurable)
    assert "1 of 2" in str(outcome)


async def test_a_marker_that_is_gone_is_no_confirmation(store: Store, replica: Server) -> None:
    """A store flushed between append and confirmation has confirmed nothing."""
    confirmation = Confirmation(store, Durability("replicated", 1), timeout=1)
    (failure,) = await confirmation.failures([(store.keys.seen(STREAM, "never"), WINDOW)])
    assert isinstance(failure, NotDurable)


async def test_only_what_was_appended_is_confirmed(store: Store, replica: Server) -> None:
    """A refused stream keeps its own reason, and does not spoil the others."""
    await store.client.set(store.keys.events("p/wrong"), "no stream")
    wrong, right = await batch_of(store, "replicated:1").append([entry(store, "a", "p/wrong"), entry(store, "a")])
    assert "WRONGTYPE" in str(wrong)
    assert right is True
    (alone,) = await batch_of(store, "replicated:1").append([entry(store, "b", "p/wrong")])
    assert "WRONGTYPE" in str(alone)


@pytest.mark.parametrize("text", ["", "fsync", "replicated", "replicated:0", "replicated:-1", "replicated:x", 3, None])
def test_a_level_that_is_none_is_refused(text: object) -> None:
    """The setting is one of three forms, and the message names them."""
    with pytest.raises(ValueError, match="written, fsynced or replicated:N"):
        Durability.parse(text)


def test_levels_are_read_and_written_alike() -> None:
    """What is read back is what was written."""
    assert [str(Durability.parse(text)) for text in ("written", "fsynced", "replicated:2")] == [
        "written",
        "fsynced",
        "replicated:2",
    ]
    assert Durability.parse(Durability("replicated", 2)).replicas == 2
