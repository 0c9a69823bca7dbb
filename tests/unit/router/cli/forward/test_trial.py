"""`forward test`: the exchange is shown, nothing secret of it, and the exit code says whether it was 2xx."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Cli
from support.forwarding import SECRET, answering
from support.receiver import Served

from router.cloudevents import from_cloudevent

HUSH = "hush-hush-hush"


@pytest.fixture
def served() -> Iterator[Served]:
    """Yield what serves a receiver."""
    one = Served()
    yield one
    one.end()


def settings(port: int) -> None:
    """Write settings with a forward to a port."""
    Path("config").mkdir(exist_ok=True)
    Path("config/router.toml").write_text(
        f"""
[[forward]]
name = "crm"
events = ["*/customer_*"]
url = "http://127.0.0.1:{port}/hook?token={HUSH}"
secret = "{SECRET}"
allow_private = ["127.0.0.0/8"]
headers = {{ Authorization = "Bearer {HUSH}" }}
"""
    )


def test_an_event_that_is_taken(cli: Cli, served: Served) -> None:
    """A sample of the first event type is posted as the forward would; JSON has the exchange, nothing secret in it."""
    receiver = served.start(answering(202, headers=f"X-Echo: {HUSH}\r\n", body=f"got it with {SECRET}"))
    settings(receiver.port)
    found = json.loads(cli.ok("forward", "test", "crm", "--json"))
    [request] = receiver.requests
    assert found["ok"] is True
    assert (found["answer"]["status"], found["answer"]["body"]) == (202, "got it with [taken out]")
    assert found["address"] == "127.0.0.1"
    assert found["url"] == f"http://127.0.0.1:{receiver.port}/hook"
    assert found["stream"] == request.headers["event-router-stream"]
    assert found["id"] == from_cloudevent(request.body).id == request.headers["webhook-id"]
    assert request.headers["authorization"] == f"Bearer {HUSH}"
    assert found["request"]["headers"]["Authorization"] == "…"
    signature = request.headers["webhook-signature"].partition(",")[2]
    shown = json.dumps(found)
    assert f"v1,{signature[:8]}…" in found["request"]["headers"]["webhook-signature"]
    assert not any(secret in shown for secret in (HUSH, SECRET, signature))
    text = cli.ok("forward", "test", "crm")
    assert "202 Accepted from 127.0.0.1" in text
    assert not any(secret in text for secret in (HUSH, SECRET))


def test_the_event_can_be_chosen(cli: Cli, served: Served) -> None:
    """`--event` takes a type in any spelling, of those that the forward gets."""
    receiver = served.start(answering(200))
    settings(receiver.port)
    cli.ok("forward", "test", "crm", "--event", "CustomerChanged")
    assert receiver.requests[0].headers["event-router-stream"].endswith("/customer_changed")
    cli.fails(3, "forward", "test", "crm", "--event", "supplier_changed")
    cli.fails(2, "forward", "test", "crm", "--event", "nothing_of_this_name")


@pytest.mark.parametrize("status", [302, 400, 410, 500])
def test_an_event_that_is_not_taken(cli: Cli, served: Served, status: int) -> None:
    """Any status but 2xx ends with 1; what a terminal could be commanded by is escaped."""
    receiver = served.start(answering(status, body="\x1b[31mno"))
    settings(receiver.port)
    text = cli.fails(1, "forward", "test", "crm")
    assert f"the receiver answered {status}" in text
    assert "\x1b" not in text


def test_no_answer(cli: Cli) -> None:
    """Where nobody answers it ends with 4; for an unknown name with 3, and for wrong settings with 2."""
    settings(1)
    assert "no connection could be made" in cli.fails(4, "forward", "test", "crm")
    assert "there is crm" in cli.fails(3, "forward", "test", "other")
    cli.fails(2, "forward", "test")
    Path("config/router.toml").write_text('[[forward]]\nname = "crm"\n')
    assert "forward 'crm' has no events" in cli.fails(2, "forward", "test", "crm")
