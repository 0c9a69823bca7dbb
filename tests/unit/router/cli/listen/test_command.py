"""`listen`: what is posted, what is printed, and what is left behind."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook
from support.cli import Cli
from support.filling import CUSTOMERS
from support.receiver import Served

from router.store import scripts
from router.store.client import Store

RAW = (
    b'{"notificationId":"%s","event":"customer_changed",'
    b'"relativeResourceUri":"v1/customer/1","contextId":7,"note":"hush"}'
)


@pytest.fixture
def served() -> Iterator[Served]:
    """Yield what serves a receiver."""
    one = Served()
    yield one
    one.end()


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Put three events."""

    async def fill(store: Store) -> None:
        for id_ in ("e1", "e2", "e3"):
            fields = ["id", id_, "at", 1_760_000_000_000, "raw", RAW % id_.encode()]
            seen = [store.keys.seen(CUSTOMERS, id_)]
            await store.call(scripts.append(store.keys.events(CUSTOMERS), seen, fields, 60_000))

    cli.fill(fill)
    return cli


def arguments(port: int, *more: str) -> tuple[str, ...]:
    """Return the command so that it ends by itself."""
    return ("listen", "customer_*", "--to", f"http://127.0.0.1:{port}/hook", "--until", "0s", *more)


def test_the_last_events_are_posted_whole_and_printed_masked(filled: Cli, served: Served) -> None:
    """`--replay-last` posts that many, oldest first; the bodies arrive whole, the lines have no values."""
    receiver = served.start()
    found = filled.run(*arguments(receiver.port, "--replay-last", "2"))
    assert found.exit_code == 0
    assert [request.event_id for request in receiver.requests] == ["e2", "e3"]
    assert all(json.loads(request.body)["data"]["note"] == "hush" for request in receiver.requests)
    assert "hush" not in found.output
    assert found.output.count("200 in") == 2


def test_values_are_printed_where_they_are_to_be_revealed(filled: Cli, served: Served) -> None:
    """`--reveal` prints bodies and answers, which is said once where they are masked."""
    receiver = served.start(b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nburnt")
    masked = filled.run(*arguments(receiver.port, "--replay-last", "2")).output
    shown = filled.run(*arguments(receiver.port, "--replay-last", "1", "--reveal")).output
    assert ("hush" in masked, "burnt" in masked) == (False, False)
    assert ("hush" in shown, "burnt" in shown, "500 in" in shown) == (True, True, True)
    assert (masked.count("--reveal shows them"), shown.count("--reveal shows them")) == (1, 0)


def test_json(filled: Cli, served: Served) -> None:
    """A line of JSON has the exchange and the event, masked unless revealed."""
    receiver = served.start()
    [line] = filled.ok(*arguments(receiver.port, "--replay-last", "1", "--json")).splitlines()[-1:]
    found = json.loads(line)
    assert (found["status"], found["error"], found["event"]["id"]) == (200, "", "e3")
    assert "hush" not in line
    assert "answer" not in found


def test_the_secret_is_kept_and_named(filled: Cli, served: Served) -> None:
    """The secret that signs is made once for a data folder; a file of one's own is taken instead."""
    receiver = served.start()
    said = filled.run(*arguments(receiver.port, "--replay-last", "1")).output
    secret = Path("data/listen-secret").read_text().strip()
    assert "WEBHOOK_SECRET=$(cat data/listen-secret)" in said
    assert secret not in said
    filled.run(*arguments(receiver.port, "--replay-last", "1"))
    assert Path("data/listen-secret").read_text().strip() == secret
    own = "whsec_" + "A" * 43 + "="
    Path("own").write_text(own)
    filled.run(*arguments(receiver.port, "--replay-last", "1", "--secret-file", "own"))
    for request, key in zip(receiver.requests, (secret, secret, own), strict=True):
        Webhook(key).verify(request.body, request.headers)


def test_the_item_as_it_came(filled: Cli, served: Served) -> None:
    """`--format raw` posts the sender's own bytes."""
    receiver = served.start()
    filled.run(*arguments(receiver.port, "--replay-last", "1", "--format", "raw"))
    assert receiver.requests[0].body == RAW % b"e3"


def test_filters_of_events_hold(filled: Cli, served: Served) -> None:
    """What is not wanted is not posted."""
    receiver = served.start()
    filled.run(*arguments(receiver.port, "--replay-last", "5", "--company", "8"))
    assert receiver.requests == []


def test_nothing_is_left_in_the_store_but_a_line_of_the_audit(filled: Cli, served: Served) -> None:
    """There is no group and no key that could hold up retention, or stay behind."""
    receiver = served.start()

    async def names(store: Store) -> set[bytes]:
        return set(await store.client.keys("*"))

    before = filled.fill(names)
    filled.run(*arguments(receiver.port, "--replay-last", "2"))
    assert {name.rpartition(b":")[2] for name in filled.fill(names) - before} == {b"audit"}
    [line] = json.loads(filled.ok("audit", "--json"))
    assert (line["verb"], line["matched"], line["finished"], line["error"]) == ("listen", 2, True, None)
    assert f"127.0.0.1:{receiver.port}" in json.dumps(line)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ("--to", "http://10.0.0.1:3000/"),
            "a private address: is it to be reached, name its network with --allow-private",
        ),
        (("--to", "http://8.8.8.8/"), "with --allow-private"),
        (("--to", "http://169.254.169.254/"), "credentials"),
        (("--to", "http://169.254.169.254/", "--allow-private", "0.0.0.0/0"), "credentials"),
        (("--to", "http://127.1/"), "four decimal numbers"),
        (("--to", "http://127.0.0.1:9/", "--allow-private", "here"), "192.168.1.0/24"),
        (("nope", "--to", "http://127.0.0.1:9/"), "no stream matches"),
        ((), "--to"),
    ],
)
def test_what_cannot_be_is_refused_at_once(cli: Cli, given: tuple[str, ...], words: str) -> None:
    """An error in the call is one line, and exit code 2."""
    said = cli.fails(2, "listen", *given)
    assert words in said
    assert "Traceback" not in said


def test_a_name_that_leads_to_a_private_address_is_refused(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are judged when they are resolved: the command ends, and says by which option the network is allowed."""

    async def resolved(*_: object) -> list[str]:
        return ["10.0.0.1"]

    monkeypatch.setattr("workers.outgoing.resolver.SystemLookup.__call__", resolved)
    found = filled.run("listen", "--to", "https://crm.example/hook", "--until", "0s", "--replay-last", "1")
    assert found.exit_code != 0
    assert "a private address: is it to be reached, name its network with --allow-private" in found.stderr


def test_a_secret_that_is_none_is_refused(cli: Cli) -> None:
    """A file with another secret is named; the message holds nothing of it."""
    Path("own").write_text("hush")
    said = cli.fails(2, "listen", "--to", "http://127.0.0.1:9/", "--secret-file", "own")
    assert "openssl rand" in said
    assert "hush" not in said


def test_a_refused_signature_is_explained_once(filled: Cli, served: Served) -> None:
    """An answer that takes no event is explained once a run, with the file of the secret that the receiver needs."""
    receiver = served.start(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    said = " ".join(filled.run(*arguments(receiver.port, "--replay-last", "2")).output.split())
    assert said.count("the receiver answered 401") == 1
    assert "with the secret in data/listen-secret" in said


def test_nothing_to_begin_with_is_said(cli: Cli, served: Served) -> None:
    """`--replay-last` on streams that hold nothing says so; without it nothing is said."""
    receiver = served.start()
    assert "no past event matches" in cli.run(*arguments(receiver.port, "--replay-last", "5")).output
    assert "no past event matches" not in cli.run(*arguments(receiver.port)).output
