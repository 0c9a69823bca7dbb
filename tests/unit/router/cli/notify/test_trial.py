"""Rules of `notify test`: a sample goes out, and the exchange shows, without what is secret."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Cli
from support.receiver import OK, Receiver, receiving

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\n\r\ninvalid_token"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Yield a receiver that answers while commands run in this thread."""
    found, ready = list[tuple[Receiver, asyncio.AbstractEventLoop, asyncio.Event]](), threading.Event()

    async def serve() -> None:
        async with receiving() as receiver:
            stop = asyncio.Event()
            found.append((receiver, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(30)
    receiver, loop, stop = found[0]
    yield receiver
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture
def notifying(cli: Cli, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a command line with a notifier of that receiver."""
    url = f"http://127.0.0.1:{receiver.port}/services/needle"
    secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
    lines = (f'url = "{url}"', f'secret = "{secret}"', 'allow_private = ["127.0.0.0/8"]', 'zone = "Europe/Oslo"')
    (tmp_path / "router.toml").write_text("\n".join(('[[notify]]\nname = "ops"\nkind = "webhook"', *lines)))
    monkeypatch.setenv("ROUTER_CONFIG", str(tmp_path / "router.toml"))
    return cli


def test_the_exchange_is_shown(notifying: Cli, receiver: Receiver) -> None:
    """What was sent and what came back are there; URL, secret and signature are not."""
    receiver.answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
    said = notifying.ok("notify", "test", "ops")
    [request] = receiver.requests
    assert f"> POST http://127.0.0.1:{receiver.port}/…" in said
    assert f"> {request.body.decode()}" in said
    assert "> webhook-signature: ***" in said
    assert "< 202 ok\ntaken by 127.0.0.1 after " in said
    assert "needle" not in said
    assert "whsec" not in said
    assert json.loads(request.body)["data"]["title"] == "Test of the notifier ops"


def test_as_json(notifying: Cli, receiver: Receiver) -> None:
    """A script gets one object."""
    receiver.answer = OK
    found = notifying.json("notify", "test", "ops")
    assert (found["name"], found["taken"], found["answer"], found["error"]) == ("ops", True, "200", None)


def test_one_that_is_not_taken(notifying: Cli, receiver: Receiver) -> None:
    """The exit code says so, and the answer is there."""
    receiver.answer = REFUSAL
    said = notifying.fails(1, "notify", "test", "ops")
    assert "ops did not take it: " in said
    assert "answered 403 invalid_token" in said
    assert "needle" not in said
    assert notifying.json("notify", "test", "ops", code=1)["taken"] is False


def test_one_that_is_away(notifying: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody answers the exit code is another one."""
    monkeypatch.setenv("ROUTER_NOTIFY__OPS__URL", "http://127.0.0.1:1/needle")
    said = notifying.fails(4, "notify", "test", "ops")
    assert "ops did not take it: http://127.0.0.1:1/…: no connection could be made" in said
    assert "needle" not in said


def test_an_unknown_one(notifying: Cli) -> None:
    """A name that none has is answered with those that there are."""
    assert "there is no notifier 'nobody'; there are ops" in notifying.fails(3, "notify", "test", "nobody")
