"""Changes of dead letters that are killed half-way: repeating them finishes the work, nothing doubled or lost."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.filling import CUSTOMERS, FINANCIAL, put_group, put_quarantined, raw_of
from support.processes import System, running_system
from support.waiting import eventually

from router.store.client import Store

pytestmark = pytest.mark.real

NUMBER = 3000
ENOUGH = 300
SLOWLY = "500"
"""So many a second leave time to strike before the end on a busy machine too."""

_FILL = """
for i = 1, tonumber(ARGV[1]) do
  redis.call('XADD', KEYS[1], '*', 'id', 'e' .. i, 'at', '1', 'raw', '{}', 'history', '', 'reason', 'failed')
end
"""


@pytest.fixture
async def system(tmp_path: Path, server_url: str, real_store: Store) -> AsyncIterator[System]:
    """Yield a system on a store with many dead letters."""
    await put_group(real_store, "sync")
    await real_store.client.eval(_FILL, 1, real_store.keys.dead(CUSTOMERS, "sync"), NUMBER)
    prefix = real_store.keys.prefix
    async with running_system(tmp_path, ROUTER_REDIS__URL=server_url, ROUTER_REDIS__PREFIX=prefix) as running:
        yield running


async def _killed(system: System, store: Store, key: str, *command: str) -> None:
    """Start a command, and kill it once some of its work is in a stream."""
    process = await system.start(*command)

    async def under_way() -> bool:
        return int(await store.client.xlen(key)) >= ENOUGH

    await eventually(under_way, timeout=60, interval=0.002)
    process.kill()
    await process.wait()


async def _ids(store: Store, key: str) -> list[bytes]:
    return sorted(fields[b"id"] for _, fields in await store.client.xrange(key))


async def test_replay(system: System, real_store: Store) -> None:
    """A replay that is killed and repeated moves each dead letter once."""
    dead, inbox = real_store.keys.dead(CUSTOMERS, "sync"), real_store.keys.inbox(CUSTOMERS, "sync")
    expected = await _ids(real_store, dead)
    await _killed(system, real_store, inbox, "dlq", "replay", "--yes", "--rate", SLOWLY)
    left = await real_store.client.xlen(dead)
    assert 0 < left < NUMBER
    code, out, err = await system.run("dlq", "replay", "--yes")
    assert (code, out) == (0, f"replayed {left} of {left}\n"), err
    assert await _ids(real_store, inbox) == expected


@pytest.mark.long
async def test_import(system: System, real_store: Store) -> None:
    """An import that is killed and repeated puts each dead letter back once."""
    dead = real_store.keys.dead(CUSTOMERS, "sync")
    expected = await _ids(real_store, dead)
    file = str(system.folder / "all.jsonl")
    assert (await system.run("dlq", "export", file))[0] == 0
    assert (await system.run("dlq", "purge", "*", "--yes"))[0] == 0
    await _killed(system, real_store, dead, "dlq", "import", file, "--yes")
    code, _, err = await system.run("dlq", "import", file, "--yes")
    assert code == 0, err
    assert await _ids(real_store, dead) == expected


_EVENTS = """
for i = 1, tonumber(ARGV[2]) do
  redis.call('XADD', KEYS[1], '*', 'id', 'v' .. i, 'at', '1', 'raw', ARGV[1])
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]
redis.call('XGROUP', 'SETID', KEYS[1], 'sync', last)
"""


async def test_events_replay(system: System, real_store: Store) -> None:
    """A replay of events that is killed and repeated gives each once; repeated once more it gives none."""
    events, inbox = real_store.keys.events(CUSTOMERS), real_store.keys.inbox(CUSTOMERS, "sync")
    await real_store.client.eval(_EVENTS, 1, events, raw_of("v"), NUMBER)
    command = ("events", "replay", "--to", "sync", "--since", "1h", "--yes")
    await _killed(system, real_store, inbox, *command, "--rate", SLOWLY)
    given = await real_store.client.xlen(inbox)
    assert 0 < given < NUMBER
    code, out, err = await system.run(*command)
    left = NUMBER - given
    assert (code, out) == (0, f"replayed {left} of {NUMBER} to sync, {given} already handed over (see --again)\n"), err
    assert await _ids(real_store, inbox) == sorted(f"v{number}".encode() for number in range(1, NUMBER + 1))
    code, out, err = await system.run(*command)
    assert (code, out) == (0, f"replayed 0 of {NUMBER} to sync, {NUMBER} already handed over (see --again)\n"), err
    assert await real_store.client.xlen(inbox) == NUMBER


@pytest.mark.long
async def test_quarantine_retry(system: System, real_store: Store) -> None:
    """A retry of the quarantine that is killed and repeated makes one event of each body."""
    for number in range(1000):
        await put_quarantined(real_store, raw_of(f"q{number:04}"))
    events = real_store.keys.events(CUSTOMERS)
    await _killed(system, real_store, events, "quarantine", "retry", "--yes", "--rate", "2000")
    code, _, err = await system.run("quarantine", "retry", "--yes")
    assert code in (0, 3), err
    assert await _ids(real_store, events) == sorted(f"q{number:04}".encode() for number in range(1000))
    assert await real_store.client.xlen(real_store.keys.quarantine(FINANCIAL)) == 0


async def test_at_once(system: System, real_store: Store) -> None:
    """Two replays at the same time move each dead letter once between them."""
    inbox = real_store.keys.inbox(CUSTOMERS, "sync")
    expected = await _ids(real_store, real_store.keys.dead(CUSTOMERS, "sync"))
    results = await asyncio.gather(*(system.run("dlq", "replay", "--yes") for _ in range(2)))
    assert all(code in (0, 3) for code, _, _ in results)
    assert await _ids(real_store, inbox) == expected


# Signals in the middle of a change


async def _signalled(system: System, store: Store, sent: signal.Signals, *command: str) -> int:
    """Start a change, send it a signal once some of its work is done; return how it ended."""
    dead = store.keys.dead(CUSTOMERS, "sync")
    process = await system.start(*command)

    async def under_way() -> bool:
        return int(await store.client.xlen(dead)) <= NUMBER - ENOUGH

    await eventually(under_way, timeout=60, interval=0.002)
    process.send_signal(sent)
    return await process.wait()


OTHER_SIGNALS = (signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM)


@pytest.mark.parametrize(
    "sent", [signal.SIGHUP, *(pytest.param(sent, marks=pytest.mark.long) for sent in OTHER_SIGNALS)]
)
async def test_a_signal_leaves_a_line(system: System, real_store: Store, sent: signal.Signals) -> None:
    """Whatever signal ends a change, but for SIGKILL: its batch is finished, and the audit says how far it came."""
    code = await _signalled(system, real_store, sent, "dlq", "replay", "*", "--yes", "--rate", SLOWLY)
    assert code == 130
    left = await real_store.client.xlen(real_store.keys.dead(CUSTOMERS, "sync"))
    (line,) = await system.json("audit")
    assert (line["matched"], line["changed"], line["error"]) == (NUMBER, NUMBER - left, "interrupted")


async def test_a_change_that_is_killed_leaves_a_line(system: System, real_store: Store) -> None:
    """A change that is killed outright is in the audit: who began it, what was meant, and that it did not finish."""
    command = ("dlq", "replay", "*", "--yes", "--rate", SLOWLY, "--reason", "junk")
    assert await _signalled(system, real_store, signal.SIGKILL, *command) == -signal.SIGKILL
    (line,) = await system.json("audit")
    assert (line["verb"], line["matched"], line["reason"], line["finished"]) == ("dlq replay", NUMBER, "junk", False)
    assert (line["changed"], line["selector"]) == (None, {"events": "*"})


@pytest.mark.long
async def test_a_signal_that_is_ignored_stays_so(system: System, real_store: Store) -> None:
    """A change under nohup goes on when its terminal is closed."""
    dead = real_store.keys.dead(CUSTOMERS, "sync")
    process = await asyncio.create_subprocess_exec(
        "nohup",
        *(sys.executable, "-m", "router.cli.main", "dlq", "replay", "--yes", "--rate", "3000"),
        cwd=system.folder,
        env=system.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    system.processes.append(process)

    async def under_way() -> bool:
        return int(await real_store.client.xlen(dead)) <= NUMBER - ENOUGH

    await eventually(under_way, timeout=60, interval=0.002)
    process.send_signal(signal.SIGHUP)
    assert await process.wait() == 0
    (line,) = await system.json("audit")
    assert (line["matched"], line["changed"], line["error"]) == (NUMBER, NUMBER, None)


_ON_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.long
async def test_a_closed_terminal(system: System, real_store: Store) -> None:
    """A change whose terminal is closed finishes its batch and writes its line, though nothing can be said any more."""
    main, side = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _ON_TERMINAL),
        *(sys.executable, "-m", "router.cli.main", "dlq", "replay", "*", "--yes", "--rate", SLOWLY),
        cwd=system.folder,
        env=system.environment,
        stdin=side,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    system.processes.append(process)

    async def under_way() -> bool:
        return int(await real_store.client.xlen(real_store.keys.dead(CUSTOMERS, "sync"))) <= NUMBER - ENOUGH

    await eventually(under_way, timeout=60, interval=0.002)
    os.close(main)
    await process.wait()
    left = await real_store.client.xlen(real_store.keys.dead(CUSTOMERS, "sync"))
    (line,) = await system.json("audit")
    assert (line["changed"], line["error"], left > 0) == (NUMBER - left, "interrupted", True)
