"""Who gets into the console, and what its answers carry."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError
from support.console import TOKEN, Visitor, visiting
from support.filling import put_group
from support.stores import fake_store

from config.errors import ConfigError
from config.settings import OpsSettings, Settings
from router.console.access.guesses import Guesses
from router.console.access.sessions import SESSION_AGE, Sessions
from router.console.access.token import LINK_AGE, LinkReader, make_code, token_of
from router.console.page import local
from router.console.routes import mount
from router.events.catalogue import Catalogue
from router.http.site import Site
from router.store.client import Store


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """Yield a store; who gets in does not depend on its kind."""
    async with fake_store() as found:
        yield found


@pytest.fixture
async def stranger(store: Store, catalogue: Catalogue) -> AsyncIterator[Visitor]:
    """Yield somebody who is not signed in."""
    async with visiting(store, catalogue, signed_in=False) as found:
        yield found


@pytest.fixture
async def visitor(store: Store, catalogue: Catalogue) -> AsyncIterator[Visitor]:
    """Yield somebody who is signed in."""
    async with visiting(store, catalogue) as found:
        yield found


def _routes(visitor: Visitor) -> list[tuple[str, str]]:
    site = Site()
    mount(visitor.console, site)
    found = [(method, path) for method, path, _ in site.routes]
    assert len(found) > 15
    return [*found, ("GET", "/nothing")]


async def test_everything_needs_a_session(stranger: Visitor) -> None:
    """Every path but those for signing in leads a stranger to the form, and does nothing."""
    for method, path in _routes(stranger):
        if path in ("/login", "/theme") or path.startswith("/static/"):
            continue
        headers = {"Origin": stranger.origin}
        response = await stranger.client.request(method, path, headers=headers, allow_redirects=False)
        if path.startswith("/fragment"):
            assert response.status == 401
        else:
            assert (response.status, response.headers["Location"].partition("?")[0]) == (303, "/login"), path
        assert "Overview" not in await response.text()


async def test_forms_need_their_session(visitor: Visitor) -> None:
    """Every form of a session is refused without the token of just that session."""
    for method, path in _routes(visitor):
        if method != "POST" or path in ("/login", "/theme"):
            continue
        for csrf in ("", "x", "é"):
            assert (await visitor.post(path, csrf=csrf)).status == 403, path
    assert (await visitor.post("/sign-out")).status == 303


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", ""])
async def test_forms_come_from_here(visitor: Visitor, origin: str) -> None:
    """A form that another site sends is refused, the one for signing in too."""
    assert (await visitor.post("/sign-out", Origin=origin)).status == 403
    assert (await visitor.post("/login", {"token": TOKEN}, csrf="", Origin=origin)).status == 403
    crossed = {"Sec-Fetch-Site": "cross-site"}
    assert (await visitor.post("/sign-out", **crossed)).status == 403


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded; charset=punycode", b"token=a-" + b"a" * 100_000),  # seconds of work
        ("application/x-www-form-urlencoded; charset=utf-7", b"csrf=+2AA-"),
        ("application/x-www-form-urlencoded; charset=none", b"token=a"),
        ("application/x-www-form-urlencoded", b"token=\xff"),
        ("multipart/form-data; boundary=x", b"--x\r\nnone"),
        ("multipart/form-data", b"none"),
        ("text/plain", b"token=a"),
    ],
)
async def test_what_no_browser_sends_is_refused(
    visitor: Visitor, caplog: pytest.LogCaptureFixture, content_type: str, body: bytes
) -> None:
    """A form that is no form is refused at once, by strangers' pages and by the others; it is no fault of ours."""
    for path in ("/login", "/theme", "/sign-out"):
        headers = {"Origin": visitor.origin, "Content-Type": content_type}
        response = await visitor.client.post(path, data=body, headers=headers, allow_redirects=False)
        assert response.status == 400, path
        assert "Content-Security-Policy" in response.headers
    assert not caplog.records


async def test_signing_in_and_out(stranger: Visitor) -> None:
    """The token opens a session that goes on where somebody was, and ends when they say so."""
    response = await stranger.sign_in("wrong", then="/audit")
    assert (response.status, "not the token" in await response.text()) == (403, True)
    response = await stranger.sign_in(f" {TOKEN} ", then="/audit?verb=x", name="k<b>@x\n")
    assert (response.status, response.headers["Location"]) == (303, "/audit?verb=x")
    cookie = response.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={SESSION_AGE}"))
    (session,) = stranger.console.sessions._open.values()
    assert session.actor == "k<b>x@127.0.0.1"
    assert TOKEN not in cookie
    assert session.csrf not in cookie
    await stranger.get("/audit")
    assert (await stranger.client.get("/login", allow_redirects=False)).status == 303
    assert (await stranger.post("/sign-out")).status == 303
    await stranger.get("/audit", status=303)
    assert stranger.console.sessions._open == {}


async def test_cookies_behind_tls(stranger: Visitor) -> None:
    """Where a proxy says that the browser came by TLS, the cookie never goes another way."""
    response = await stranger.post("/login", {"token": TOKEN}, csrf="", **{"X-Forwarded-Proto": "https"})
    assert "Secure" in response.headers["Set-Cookie"]


@pytest.mark.parametrize("then", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "/a\nb"])
def test_nobody_is_led_elsewhere(then: str) -> None:
    """What follows signing in is a page of this console."""
    assert local(then) == "/"


async def test_a_link_signs_in_once(stranger: Visitor) -> None:
    """A link is good for one session; used or made up it is refused, and a page says what to do."""
    code = make_code(TOKEN)
    page = await stranger.get("/login", code=code)
    assert code in page
    assert (await stranger.post("/login", {"code": code}, csrf="")).status == 303
    stranger.client.cookie_jar.clear()
    for wrong in (code, make_code("another token"), "x", "1.2.3", f"{code}0", "é.é"):
        assert (await stranger.post("/login", {"code": wrong}, csrf="")).status in (403, 429)
    assert len(stranger.console.sessions._open) == 1


async def test_links_of_other_times(store: Store) -> None:
    """A link is good for a quarter of an hour, and once, whichever console of the store it is brought to."""
    reader, other = LinkReader(store, TOKEN), LinkReader(store, TOKEN)
    assert not await reader.take(make_code(TOKEN, now=1001), now=1002 + LINK_AGE)
    assert not await reader.take(make_code(TOKEN, now=2000), now=1500)
    code = make_code(TOKEN, now=1001)
    assert await reader.take(code, now=1001 + LINK_AGE - 1)
    assert not await reader.take(code, now=1001 + LINK_AGE - 1)
    assert not await other.take(code, now=1001 + LINK_AGE - 1)
    (kept,) = [key async for key in store.client.scan_iter("*:link:*")]
    assert LINK_AGE < await store.client.ttl(kept) <= 3 * LINK_AGE


async def test_of_many_who_bring_a_link_at_once_one_is_let_in(store: Store) -> None:
    """The claim of a link is atomic."""
    code = make_code(TOKEN)
    taken = await asyncio.gather(*(LinkReader(store, TOKEN).take(code) for _ in range(10)))
    assert sum(taken) == 1


async def test_a_link_without_a_store(stranger: Visitor, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody can tell whether a link was used nobody is let in, the page says why, and the link stays good."""
    code = make_code(TOKEN)

    async def away(*_: object, **__: object) -> None:
        raise RedisConnectionError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(store, "command", away)
        response = await stranger.post("/login", {"code": code}, csrf="")
        assert (response.status, "The store does not answer" in await response.text()) == (503, True)
        assert "Set-Cookie" not in response.headers
    assert (await stranger.post("/login", {"code": code}, csrf="")).status == 303


async def test_guessing_is_slow(stranger: Visitor) -> None:
    """After a few wrong answers the right one has to wait, too."""
    for _ in range(5):
        assert (await stranger.sign_in("wrong")).status == 403
    response = await stranger.sign_in(TOKEN)
    assert (response.status, response.headers["Retry-After"]) == (429, "2")


def test_waits_grow_and_end() -> None:
    """The wait doubles up to a limit, is each address's own, and is forgotten with the right answer."""
    now = 0.0
    guesses = Guesses(lambda: now)
    waits = []
    for _ in range(20):
        guesses.wrong("a")
        waits.append(guesses.wait("a"))
        now += waits[-1]
        assert guesses.wait("a") == 0
    assert waits[:7] == [0, 0, 0, 0, 2, 4, 8]
    assert waits[-1] == 300
    assert guesses.wait("b") == 0
    guesses.right("a")
    guesses.wrong("a")
    assert guesses.wait("a") == 0
    for number in range(2000):
        guesses.wrong(str(number))
    assert len(guesses._wrong) == 1000


def test_sessions_end() -> None:
    """A session lasts so long and no longer, and of too many the oldest goes."""
    now = 0.0
    sessions = Sessions(lambda: now)
    first, session = sessions.begin("a")
    assert sessions.find(first) is session
    assert "csrf" not in repr(session)
    now = SESSION_AGE
    assert sessions.find(first) is None
    ids = [sessions.begin("b")[0] for _ in range(101)]
    assert sessions.find(ids[0]) is None
    assert sessions.find(ids[1]) is not None


async def test_headers(visitor: Visitor, stranger: Visitor) -> None:
    """Every answer forbids what a page of ours never does, and is kept by nobody."""
    for someone, path in ((visitor, "/"), (visitor, "/nothing"), (stranger, "/login"), (stranger, "/audit")):
        response = await someone.client.get(path, allow_redirects=False)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "same-origin"


async def test_nothing_is_inline(visitor: Visitor, store: Store) -> None:
    """No page has a script, a style or a handler in it: the policy would forbid them; and none comes from elsewhere."""
    await put_group(store, "sync")
    for path in ("/", "/subscriptions", "/keys", "/dead-letters", "/quarantine", "/events", "/audit", "/nothing"):
        page = await (await visitor.client.get(path)).text()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
        assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)


async def test_assets(stranger: Visitor) -> None:
    """Styles, script and icon are there for everybody, under names that change with what is in them."""
    page = await stranger.get("/login")
    names = re.findall(r'"(/static/[^"]+)"', page)
    assert len(names) == 3
    for name in names:
        response = await stranger.client.get(name)
        assert response.status == 200
        assert "immutable" in response.headers["Cache-Control"]
        assert response.content_type in ("text/css", "text/javascript", "application/javascript", "image/svg+xml")


async def test_colours_are_chosen(stranger: Visitor) -> None:
    """The button for the colours goes through automatic, light and dark, without a script."""
    for expected in ("light", "dark", "auto"):
        page = await stranger.get("/login")
        (chosen,) = re.findall(r'name="theme" value="(\w+)"', page)
        assert chosen == expected
        response = await stranger.post("/theme", {"theme": chosen, "here": "/login"}, csrf="")
        assert response.headers["Location"] == "/login"
        assert f'data-theme="{expected}"' in await stranger.get("/login")


async def test_store_away(visitor: Visitor, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away every page says so with 503; once it is back they are as before."""

    async def away(commands: Sequence[object]) -> list[object]:
        return [RedisConnectionError("connection refused") for _ in commands]

    with monkeypatch.context() as patch:
        patch.setattr(store, "commands", away)
        patch.setattr(store, "run", away)
        for path in ("/", "/subscriptions", "/dead-letters", "/quarantine", "/events", "/event?id=x", "/audit"):
            assert "The store does not answer" in await visitor.get(path, status=503)
    for path in ("/", "/dead-letters", "/audit"):
        await visitor.get(path)


async def test_what_nobody_foresaw(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that breaks says no more than that, and the console lives on."""
    with monkeypatch.context() as patch:
        patch.setattr("workers.operations.operations.audit.lines", lambda *_, **__: 1 / 0)
        page = await visitor.get("/audit", status=500)
        assert "ZeroDivisionError" not in page
    await visitor.get("/audit")


def test_the_token(tmp_path: Path) -> None:
    """The token is that of the settings, or one that is made, kept for the owner alone, and found again."""
    assert token_of(Settings(ops=OpsSettings(token=SecretStr("0123456789abcdef")))) == "0123456789abcdef"
    settings = Settings(data_dir=tmp_path)
    made = token_of(settings)
    assert len(made) > 40
    assert token_of(settings) == made
    assert (tmp_path / "console" / "token").stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="ROUTER_DATA_DIR"):
        token_of(Settings(data_dir=tmp_path / "file"))
    (tmp_path / "odd" / "console" / "token").mkdir(parents=True)
    with pytest.raises(ConfigError, match="delete it"):
        token_of(Settings(data_dir=tmp_path / "odd"))


async def test_looks_are_shared(visitor: Visitor) -> None:
    """Several who look at once, and soon after, look at one sample: the store is asked once."""
    first, *others = await asyncio.gather(*(visitor.console.watch.look() for _ in range(5)))
    assert all(other is first for other in others)
