"""Whatever stands in a request to the console, it is answered, and never by an error of ours."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.console import TOKEN, Visitor, visiting
from support.filling import put_dead, put_events, put_group, put_quarantined
from support.keyed import KeyedBench
from support.stores import fake_store

from router.console.routes import mount
from router.events.catalogue import Catalogue
from router.http.site import Site

HOSTILE = (
    *(b"", b"http://[", b"//[", b"/\\[", b"%", b"%ff%fe", b"%00", b"%0d%0aX: y", b"\xff\xfe", b"%ed%a0%80"),
    *(b"1-1", b"9" * 30 + b"-1", b"-1", b"1e999", b"nan", b"[", b"*", b"[!", b"{{7*7}}", b"<script>", b"a" * 3000),
    *(b"0001-01-01T00:00:00-23:59", b"9999-12-31T23:59:59-23:59", b"99999999999999d", b"%e2%80%ae", b";=;\x01,"),
    *("²".encode(), "\N{ARABIC-INDIC DIGIT ONE}-1".encode(), b"2026-11-30", b"replay", b"purge", b"all"),
)
NAMES = (
    *("id", "stream", "subscription", "event", "error", "text", "resource", "since", "until", "fingerprint", "older"),
    *("skip", "publisher", "company", "verb", "actor", "then", "here", "code", "token", "theme", "name", "lasting"),
    *("reason", "which", "pick", "rate", "csrf", "key", "held"),
)
PLAIN = b"verb=replay&which=all&publisher=visma-net-financial&name=sync&token=x&theme=dark"
"""Fields that make sense, behind one that does not."""
HEADERS = ("Origin", "Host", "Cookie", "Sec-Fetch-Site", "Content-Type", "X-Forwarded-Proto", "Authorization", "Expect")


@pytest.fixture
async def visitor(catalogue: Catalogue) -> AsyncIterator[Visitor]:
    """Yield somebody who is signed in to a console that has something to show."""
    async with fake_store() as store, visiting(store, catalogue) as found:
        await put_group(store, "sync")
        await put_events(store, "one")
        await put_dead(store, "one")
        await put_quarantined(store, b"{")
        keyed = KeyedBench(store)
        await keyed.claim()
        await keyed.bring("two", "three")
        yield found


class Raw:
    """Writes requests byte by byte as they are given, on behalf of a visitor or of nobody."""

    def __init__(self, visitor: Visitor, *, known: bool) -> None:
        self._visitor = visitor
        self._known = known
        self._port = int(visitor.origin.rpartition(":")[2])

    async def fields(self, method: str, path: str, pairs: bytes) -> int:
        """Send fields in a query, and in a form where that is what the path takes; return the status."""
        if method == "GET":
            return await self.send(method, path.encode() + b"?" + pairs, b"")
        csrf = next(iter(self._visitor.console.sessions._open.values())).csrf.encode() if self._known else b""
        return await self.send(method, path.encode() + b"?" + pairs, b"csrf=" + csrf + b"&" + pairs)

    async def send(self, method: str, target: bytes, body: bytes, *replaced: tuple[str, bytes]) -> int:
        """Send one request; return the status of its answer, 0 where there was none."""
        headers = {
            "Host": f"127.0.0.1:{self._port}".encode(),
            "Origin": self._visitor.origin.encode(),
            "Content-Type": b"application/x-www-form-urlencoded",
            "Connection": b"close",
        }
        if self._known:
            headers["Cookie"] = b"; ".join(f"{c.key}={c.value}".encode() for c in self._visitor.client.cookie_jar)
        headers |= dict(replaced)
        lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Content-Length: %d" % len(body)]
        lines += [name.encode() + b": " + value for name, value in headers.items()]
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"\r\n".join([*lines, b"", body]))
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        assert b"Traceback" not in answer
        return int(answer.split(b" ", 2)[1]) if answer else 0


def routes(visitor: Visitor) -> list[tuple[str, str]]:
    """Return all that the console answers, as it is mounted, and what it does not know."""
    site = Site()
    mount(visitor.console, site)
    return [*((method, path) for method, path, _ in site.routes), ("GET", "/nothing")]


@pytest.mark.parametrize("step", [len(HOSTILE), pytest.param(8, marks=pytest.mark.long)], ids=["one each", "more"])
@pytest.mark.parametrize("known", [True, False], ids=["signed in", "stranger"])
async def test_no_field_makes_a_page_fail(
    visitor: Visitor, caplog: pytest.LogCaptureFixture, *, known: bool, step: int
) -> None:
    """Each path answers each value in all of its fields at once, and in each by itself one of them or a few.

    The answer is always something below 500.
    """
    raw = Raw(visitor, known=known)
    for method, path in routes(visitor):
        if path in ("/sign-out", "/job/stop") and known:
            continue  # a visitor that stays signed in asks the others
        for value in HOSTILE:
            visitor.console.faults.right("127.0.0.1")
            visitor.console.guesses.right("127.0.0.1")
            everywhere = b"&".join(name.encode() + b"=" + value for name in NAMES if name != "csrf")
            status = await raw.fields(method, path, everywhere)
            assert 0 <= status < 500, (method, path, value, status)
        for number, name in enumerate(NAMES):
            for value in HOSTILE[number % step :: step]:
                visitor.console.faults.right("127.0.0.1")
                visitor.console.guesses.right("127.0.0.1")
                status = await raw.fields(method, path, name.encode() + b"=" + value + b"&" + PLAIN)
                assert 0 <= status < 500, (method, path, name, value, status)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("known", [True, False], ids=["signed in", "stranger"])
async def test_no_header_or_path_makes_a_page_fail(
    visitor: Visitor, caplog: pytest.LogCaptureFixture, *, known: bool
) -> None:
    """Headers and paths likewise; and no hostile header takes a right token its session."""
    raw = Raw(visitor, known=known)
    for value in HOSTILE:
        visitor.console.faults.right("127.0.0.1")
        for name in HEADERS:
            for method, path in (
                ("GET", b"/dead-letters"),
                ("POST", b"/login"),
                ("POST", b"/theme"),
                ("GET", b"/login"),
            ):
                status = await raw.send(method, path, b"token=x", (name, value))
                assert 0 <= status < 500, (name, value, status)
                visitor.console.guesses.right("127.0.0.1")
        for path in (b"/" + value, b"/static/" + value, b"/fragment/" + value, value):
            assert 0 <= await raw.send("GET", path, b"") < 500, path
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("then", [b"//[", b"http://[", b"/\xff", b"/%0d%0aSet-Cookie: x", b"/a?b=%5b#["])
async def test_a_right_token_signs_in_whatever_stands_beside_it(visitor: Visitor, then: bytes) -> None:
    """Where it is to go on makes no sign-in fail, and writes nothing into the answer that was not meant."""
    raw = Raw(visitor, known=False)
    for name in (b"then", b"here", b"name"):
        body = b"token=" + TOKEN.encode() + b"&" + name + b"=" + then.replace(b"%", b"%25")
        if b"\xff" in then:
            assert await raw.send("POST", b"/login", body) == 400
        else:
            assert await raw.send("POST", b"/login", body) == 303


async def test_strangers_who_make_no_sense_have_to_wait(visitor: Visitor) -> None:
    """Requests of nobody known that make no sense are slowed down as wrong tokens are; sessions are not."""
    raw, known = Raw(visitor, known=False), Raw(visitor, known=True)
    seen = [await raw.send("POST", b"/login", b"token=\xff") for _ in range(7)]
    assert seen == [400] * 5 + [429] * 2
    assert await known.send("GET", b"/audit", b"") == 200


async def test_strangers_whose_requests_break_a_page_have_to_wait(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours that a stranger can bring about writes no more than a few tracebacks."""
    monkeypatch.setattr("router.console.pages.login._form", lambda *_, **__: 1 / 0)
    raw = Raw(visitor, known=False)
    assert [await raw.send("GET", b"/login", b"") for _ in range(7)] == [500] * 5 + [429] * 2
