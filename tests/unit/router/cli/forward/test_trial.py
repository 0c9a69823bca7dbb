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


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (302, "redirections are not followed"),
        (401, "verify the bytes as they came with the secret in own-secret"),
        (403, "the secret in own-secret"),
        (404, "compare the path"),
        (405, "takes no POST"),
        (415, "application/cloudevents+json"),
        (500, "its log says why"),
    ],
)
def test_what_to_do_about_an_answer(cli: Cli, served: Served, status: int, words: str) -> None:
    """An answer that takes no event is explained by what to do; a refused signature names the file of the secret."""
    receiver = served.start(answering(status))
    settings(receiver.port)
    file = Path("config/router.toml")
    Path("own-secret").write_text(SECRET)
    file.write_text(file.read_text().replace(f'secret = "{SECRET}"', 'secret_file = "own-secret"'))
    text = " ".join(cli.fails(1, "forward", "test", "crm").split())
    assert words in text
    assert SECRET not in text


def test_where_the_secret_of_a_forward_is(cli: Cli, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that stands in the settings is named so; a file that a variable names is named before it."""
    receiver = served.start(answering(401))
    settings(receiver.port)
    assert "the secret in the settings of forward 'crm'" in cli.fails(1, "forward", "test", "crm")
    Path("other").write_text(SECRET)
    monkeypatch.setenv("ROUTER_FORWARD__CRM__SECRET_FILE", "other")
    assert "the secret in other" in cli.fails(1, "forward", "test", "crm")


def test_a_sample_is_well_known_and_passes_the_filter(cli: Cli, served: Served) -> None:
    """Of all events a well-known one is sent; the filter chooses another, or its values; it is said where none can."""
    receiver = served.start(answering(200))
    settings(receiver.port)
    file = Path("config/router.toml")
    every = file.read_text().replace('"*/customer_*"', '"*"')

    def sent(where: str) -> dict[str, object]:
        file.write_text(every + f"where = {where}\n")
        text = cli.ok("forward", "test", "crm", "--json")
        found: dict[str, object] = json.loads(text[text.index("{") :])
        return found

    file.write_text(every)
    assert json.loads(cli.ok("forward", "test", "crm", "--json"))["stream"] == "visma-net-financial/customer_changed"
    assert str(sent('{ entity = "supplier" }')["stream"]).endswith("/supplier_changed")
    sent('{ company_id = 51, document_status = "Released", "extra.region" = "no*" }')
    event = from_cloudevent(receiver.requests[-1].body)
    assert (event.company_id, event.document_status, event.extra["region"]) == ("51", "Released", "no1")
    file.write_text(every + 'where = { id = "never" }\n')
    assert "no sample could be made that passes the filter" in cli.run("forward", "test", "crm").output
