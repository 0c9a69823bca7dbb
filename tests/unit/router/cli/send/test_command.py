"""`send`: signed samples of any event, counted by what became of them."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from aiohttp import web
from support.cli import Cli

from config.settings import Settings
from router.cli.send.command import find_publisher, find_streams
from router.cli.send.sending import Answer, Parcel, Summary, parcels
from router.events.catalogue import Catalogue, UnknownStream
from router.events.identify import Identified, identify
from router.ingress.signature import verify
from router.tasks.pacing import Pacer

FINANCIAL = "visma-net-financial"
SECRET = "dGVzdC1zZWNyZXQ="


class Receiver:
    """An HTTP server in a thread of its own that keeps what it gets; `answer` makes a response of a number of items."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes, str | None]] = []
        self.url = ""
        self.answer: Callable[[int], web.Response] = lambda items: web.json_response(
            {"accepted": items, "duplicates": 0, "quarantined": 0}, status=202
        )

    async def handle(self, request: web.Request) -> web.Response:
        """Keep a request and answer it."""
        body = await request.read()
        self.requests.append((request.path, body, request.headers.get("x-vwd-signature-v1")))
        items = json.loads(body)
        return self.answer(len(items) if isinstance(items, list) else 1)

    @property
    def items(self) -> list[Any]:
        """What came, item by item."""
        bodies = [json.loads(body) for _, body, _ in self.requests]
        return [item for body in bodies for item in (body if isinstance(body, list) else [body])]


@contextmanager
def _serving(receiver: Receiver) -> Iterator[None]:
    ready = Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        application = web.Application()
        application.router.add_post("/webhooks/{publisher}", receiver.handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Yield a server to send to; the Financial publisher has a secret, and the default URL is the server's."""
    monkeypatch.setenv("ROUTER_SECRETS__VISMA_NET_FINANCIAL", SECRET)
    found = Receiver()
    with _serving(found):
        monkeypatch.setenv("ROUTER_INGRESS__PORT", found.url.rpartition(":")[2])
        yield found


def test_one(cli: Cli, receiver: Receiver, catalogue: Catalogue) -> None:
    """One event is posted, rightly signed, to its publisher, whatever way both are spelt."""
    summary = cli.json("send", "Visma_Net_Financial", "CustomerChanged")
    assert summary == {
        "requests": 1,
        "sent": 1,
        "accepted": 1,
        "duplicates": 0,
        "quarantined": 0,
        "refused": 0,
        "statuses": {"202": 1},
    }
    ((path, body, signature),) = receiver.requests
    assert path == f"/webhooks/{FINANCIAL}"
    assert signature is not None
    assert verify(catalogue.publishers[FINANCIAL].signature, [SECRET.encode()], body, [signature])
    (item,) = identify(catalogue, FINANCIAL, body, None)
    assert isinstance(item, Identified)
    assert item.stream == f"{FINANCIAL}/customer_changed"


def test_many(cli: Cli, receiver: Receiver) -> None:
    """`--count` items go out in requests of `--batch`, each with an id of its own."""
    options = ("--count", "25", "--batch", "10", "--rate", "5000", "--concurrency", "3")
    summary = cli.json("send", FINANCIAL, "customer_*", *options)
    assert (summary["requests"], summary["sent"], summary["accepted"]) == (3, 25, 25)
    assert sorted(len(json.loads(body)) for _, body, _ in receiver.requests) == [5, 10, 10]
    ids = {item.get("NotificationId") or item["notificationId"] for item in receiver.items}
    assert len(ids) == 25


def test_all(cli: Cli, receiver: Receiver) -> None:
    """`all` sends one of every event of the publisher."""
    assert cli.json("send", FINANCIAL, "all")["sent"] == 44
    assert len({item["event"] for item in receiver.items}) == 44
    assert "accepted     44" in cli.ok("send", FINANCIAL, "all", "--url", receiver.url + "/")


def test_figures_add_up(cli: Cli, receiver: Receiver) -> None:
    """What was sent is accepted, a duplicate, quarantined or refused; anything refused is exit code 1."""
    answers = iter([202, 401, 503])

    def answer(items: int) -> web.Response:
        status = next(answers)
        if status != 202:
            return web.Response(status=status)
        return web.json_response({"accepted": items - 2, "duplicates": 1, "quarantined": 1}, status=202)

    receiver.answer = answer
    summary = cli.json("send", FINANCIAL, "customer_changed", "--count", "12", "--batch", "4", code=1)
    assert (summary["accepted"], summary["duplicates"], summary["quarantined"], summary["refused"]) == (2, 1, 1, 8)
    assert summary["sent"] == 12
    assert summary["statuses"] == {"202": 1, "401": 1, "503": 1}


def test_reason_of_a_refusal(cli: Cli, receiver: Receiver) -> None:
    """The first refusal is told with the reason that the ingress gave, beside the figures."""
    details = iter(["the signature is not of these bytes\x1b[2J", "never told"])
    receiver.answer = lambda _items: web.json_response({"detail": next(details)}, status=401)
    result = cli.run("send", FINANCIAL, "customer_changed", "--count", "2", "--concurrency", "1", "--json")
    assert json.loads(result.stdout)["statuses"] == {"401": 2}
    assert result.stderr == (
        "event-router: refused with 401: the signature is not of these bytes\N{REPLACEMENT CHARACTER}[2J\n"
    )
    receiver.answer = lambda _items: web.Response(status=502, text="<html>")
    assert "502: the answer does not say why" in cli.fails(1, "send", FINANCIAL, "customer_changed")


def test_some_are_not_answered() -> None:
    """People are told apart what was refused and what nobody answered; machines have them as one, as ever."""
    summary, parcel = Summary(), Parcel(FINANCIAL, b"", 5)
    for answer in (Answer("no answer"), Answer("401", None, "why"), Answer("no answer")):
        summary.count(parcel, answer)
    assert (summary.as_json()["refused"], "unanswered" in summary.as_json()) == (15, False)
    assert (summary.as_text()["refused"], summary.as_text()["unanswered"]) == ("5", "10")
    assert summary.as_text()["statuses"] == "401: 1, no answer: 2"
    assert (summary.refusal, summary.unanswered) == ("401: why", False)


def test_not_an_ingress(cli: Cli, receiver: Receiver) -> None:
    """A 202 of something that is no ingress accepts nothing."""
    for text in ("fine", "{}", "[]", '{"accepted": "x", "duplicates": 0, "quarantined": 0}'):
        receiver.answer = lambda _items, text=text: web.Response(status=202, text=text)
        assert cli.json("send", FINANCIAL, "customer_changed", code=1)["refused"] == 1


def test_file(cli: Cli, receiver: Receiver, tmp_path: Path) -> None:
    """A file is sent byte for byte, signed, as often as asked; `-` is stdin."""
    body = b' [ {"event":"customer_changed"} ,{"event":"x"}]\n'
    (tmp_path / "body.json").write_bytes(body)
    assert cli.json("send", FINANCIAL, "--file", "body.json", "--count", "2")["sent"] == 4
    assert cli.json("send", FINANCIAL, "customer_changed", "--file", "-", stdin=body)["sent"] == 2
    assert [sent for _, sent, _ in receiver.requests] == [body] * 3
    assert "cannot be read" in cli.fails(2, "send", FINANCIAL, "--file", "none.json")


def test_nothing_answers(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing listens the exit code is 4, and the figures still add up."""
    monkeypatch.setenv("ROUTER_SECRETS__VISMA_NET_FINANCIAL", SECRET)
    result = cli.run("send", FINANCIAL, "customer_changed", "--count", "3", "--url", "http://127.0.0.1:1", "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["statuses"] == {"no answer": 3}
    assert json.loads(result.stdout)["refused"] == 3
    assert "nobody answered at http://127.0.0.1:1:" in result.stderr
    result = cli.run("send", FINANCIAL, "customer_changed", "--url", "http://127.0.0.1:1")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (4, "", 1)


def test_secrets(cli: Cli, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a secret nothing is sent, unless the publisher may send unsigned; a generated one is found."""
    service = ("visma-net-erp-salesorderservice", "salesorder_created")
    for publisher, event in (service, ("all", "all")):
        assert "ROUTER_SECRETS__VISMA_NET_ERP_SALESORDERSERVICE" in cli.fails(2, "send", publisher, event)
    assert receiver.requests == []
    generated = tmp_path / "data" / "secrets" / service[0]
    generated.parent.mkdir(parents=True)
    generated.write_text("made\n")
    cli.ok("send", *service)
    generated.unlink()
    monkeypatch.setenv("ROUTER_ALLOW_UNSIGNED", service[0])
    cli.ok("send", *service)
    assert [signature is None for _, _, signature in receiver.requests] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("visma", "all"), "there are visma-net"),
        ((FINANCIAL, "custmer_changed"), "did you mean"),
        ((FINANCIAL,), "name an EVENT"),
        ((FINANCIAL, "all", "--url", "localhost:80"), "http://HOST:PORT"),
        (("all", "all", "--file", "x"), "no publisher 'all'"),
        (("business_nxt", "all"), "publisher business-nxt is off: set `publishers`"),
    ],
)
def test_usage(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    """A slip of the pen is exit code 2 and one line."""
    said = cli.fails(2, "send", *arguments)
    assert message in said
    assert said.count("\n") == 1


def test_find_streams(catalogue: Catalogue) -> None:
    """`all` means every listed event; an event may belong to several publishers."""
    assert len(find_streams(catalogue, "all", "all")) == 58
    both = find_streams(catalogue, "all", "*Sales*order*")
    assert {stream.partition("/")[0] for stream in both} == {FINANCIAL, "visma-net-erp-salesorderservice"}
    assert find_streams(catalogue, FINANCIAL, "unlisted") == [f"{FINANCIAL}/unlisted"]
    assert find_publisher(catalogue, "Visma Net Financial") == FINANCIAL
    with pytest.raises(UnknownStream):
        find_streams(catalogue, "all", "nothing_like_it")


def test_parcels(catalogue: Catalogue) -> None:
    """A request holds items of one publisher; what is left over goes last."""
    streams = [f"{FINANCIAL}/customer_changed", "visma-net-journal-transaction/voucher_received"]
    made = list(parcels(catalogue, streams, 7, 2))
    assert [(parcel.publisher == FINANCIAL, parcel.items) for parcel in made] == [
        (True, 2),
        (False, 2),
        (True, 2),
        (False, 1),
    ]
    assert sum(parcel.items for parcel in made) == 7


async def test_pacer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items go when their time has come, reckoned from the first; being late is made up for."""
    now, slept = [100.0], []

    async def wait(seconds: float, _stop: asyncio.Event) -> bool:
        slept.append(round(seconds, 3))
        now[0] += seconds + 0.05
        return False

    class Loop:
        def time(self) -> float:
            return now[0]

    monkeypatch.setattr("router.tasks.pacing.asyncio.get_running_loop", Loop)
    monkeypatch.setattr("router.tasks.pacing.set_within", wait)
    pacer = Pacer(10)
    for count in (5, 1, 1, 1):
        await pacer.take(count)
    assert slept == [0.5, 0.05, 0.05]
    await Pacer(None).take(1000)
    assert len(slept) == 3


def test_default_settings_have_no_secret() -> None:
    """No publisher has a secret that nobody chose."""
    assert Settings().secrets == {}


def test_about_one_record(cli: Cli, receiver: Receiver, catalogue: Catalogue) -> None:
    """All samples are about the record, the company and the tenant that are named; each is an event of its own."""
    options = ("--resource", "customer/55555", "--company", "8", "--tenant", "t1", "--count", "4")
    cli.ok("send", FINANCIAL, "customer_*", *options, "--url", receiver.url)
    found = []
    for item in receiver.items:
        (each,) = identify(catalogue, FINANCIAL, json.dumps(item).encode(), None)
        assert isinstance(each, Identified)
        assert each.normalised is not None
        found.append((each.normalised["resource"], each.normalised["company_id"], each.normalised["tenant_id"]))
        assert each.id
    assert found == [("customer/55555", "8", "t1")] * 4
    assert len({item.get("NotificationId", item.get("notificationId")) for item in receiver.items}) == 4


def test_about_one_record_alone(cli: Cli, receiver: Receiver, catalogue: Catalogue) -> None:
    """A record is one of a company and a tenant: where only it is named, all samples are of the same ones."""
    cli.ok("send", FINANCIAL, "customer_*", "--resource", "55555", "--count", "8", "--url", receiver.url)
    found = set()
    for item in receiver.items:
        (each,) = identify(catalogue, FINANCIAL, json.dumps(item).encode(), None)
        assert isinstance(each, Identified)
        assert each.normalised is not None
        found.add((each.normalised["resource"], each.normalised["company_id"], each.normalised["tenant_id"]))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("event", "options", "words"),
    [
        ("customer_changed", ("--resource", "supplier/1"), "cannot have --resource supplier/1; leave it out"),
        ("customer_changed", ("--file", "-", "--company", "8"), "a FILE is sent as it is"),
    ],
)
def test_about_what_cannot_be(cli: Cli, receiver: Receiver, event: str, options: tuple[str, ...], words: str) -> None:
    """Where events cannot be about what is named, nothing is sent, and it says so."""
    result = cli.run("send", FINANCIAL, event, *options, "--url", receiver.url, stdin="{}")
    assert result.exit_code == 2
    assert words in result.stderr
    assert receiver.requests == []
