"""What code of users takes from a process, and what is taken back: `router/process/keeping.py`."""

import asyncio
import json
import subprocess
import sys

import pytest

from router.process.keeping import Keeper

RUN = """
import asyncio, logging, logging.config, os, signal, socket, sys
import structlog
from router.process.keeping import Keeper
from router.telemetry import logs

logs.configure("info", "json")
log = structlog.get_logger("mine")
log.info("before")

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    keeper = Keeper()
    {deed}
    keeper.look()
    keeper.look()
    log.info("after")
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(stop.wait(), 30)
    keeper.close()

asyncio.run(main())
"""

SILENCED = {
    "disable": "logging.disable(logging.CRITICAL)",
    "no handlers": "logging.getLogger().handlers.clear()",
    "level": "logging.getLogger().setLevel(logging.CRITICAL)",
    "level of the handlers": "[handler.setLevel(100) for handler in logging.getLogger().handlers]",
    "forced": "logging.basicConfig(force=True, level='CRITICAL', stream=open(os.devnull, 'w'))",
    "dictionary": "logging.config.dictConfig(dict(version=1))",
    "structlog": "structlog.configure(processors=[lambda *_: 1 / 0])",
    "structlog anew": "structlog.configure(logger_factory=structlog.ReturnLoggerFactory())",
}
DEAF = {
    "ignored": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "SIGTERM"),
    "asleep": ("signal.set_wakeup_fd(-1)", "set_wakeup_fd"),
    "blocked": ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])", "SIGTERM, blocked"),
}


def run(deed: str) -> list[dict[str, object]]:
    """Run a process in which code of users does something; return what it logged once it was stopped."""
    script = RUN.format(deed=deed)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stderr.splitlines()]


@pytest.mark.parametrize("deed", SILENCED.values(), ids=SILENCED)
def test_the_log_goes_on(deed: str) -> None:
    """However code of users silences the log, it says that, once, and goes on."""
    assert [line["event"] for line in run(deed)] == ["before", "logging_taken_back", "after"]


def test_more_is_no_harm() -> None:
    """Code of users may have more logged than there was: that stays."""
    more = "logging.getLogger().setLevel(logging.DEBUG); logging.getLogger().addHandler(logging.NullHandler())"
    assert [line["event"] for line in run(f"{more}\n    logging.getLogger('its').debug('its own')")] == [
        "before",
        "its own",
        "after",
    ]


@pytest.mark.parametrize(("deed", "name"), DEAF.values(), ids=DEAF)
def test_a_process_hears_its_signals(deed: str, name: str) -> None:
    """A process can be stopped, whatever code of users does to its signals."""
    _, said, _ = run(deed)
    assert (said["event"], said["signal"]) == ("signal_taken_back", name)


@pytest.mark.parametrize("number", range(3))
def test_standard_descriptors_are_open(number: int) -> None:
    """One that was closed leads where it led before, so that no connection gets its number, and what is printed."""
    lines = run(f"kept = os.fstat({number})\n    os.close({number})")
    assert [(line["event"], line.get("descriptor")) for line in lines[1:-1]] == [("descriptor_taken_back", number)]
    same = f"assert os.path.samestat(os.fstat({number}), kept)"
    run(f"kept = os.fstat({number})\n    os.close({number}); keeper.look(); {same}")


def test_what_a_module_sets_up_stays() -> None:
    """What was so when the process began to keep it is no theft: nothing is said, and nothing is changed."""
    assert [line["event"] for line in run("logging.getLogger('other').disabled = True")] == ["before", "after"]


async def test_it_looks_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks again and again, and ends with the process."""
    looks: asyncio.Queue[None] = asyncio.Queue()
    stop = asyncio.Event()
    keeper = Keeper()
    monkeypatch.setattr(keeper, "look", lambda: looks.put_nowait(None))
    running = asyncio.create_task(keeper.run(stop, 0.01))
    for _ in range(3):
        await asyncio.wait_for(looks.get(), 30)
    stop.set()
    await asyncio.wait_for(running, 30)
    keeper.close()
