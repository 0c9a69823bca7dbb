"""Every page of the console for what went wrong says what happened, with which value, and what to do."""

import re
import shlex
from collections.abc import AsyncIterator
from html import unescape

import pytest
import typer
from aiohttp import ClientResponse
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError
from support.console import TOKEN, Visitor, visiting
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_group
from support.keyed import KeyedBench
from support.stores import fake_store
from typer.core import TyperGroup

from config.archive import ArchiveSettings
from config.settings import OpsSettings, Settings
from router.cli.app import app
from router.console.turns import Crowded
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.dead_letters.changes import DeadLetterChange
from workers.operations.dead_letters.letters import DeadLetters

LETTER = f"/dead-letter?id=17-1&stream={CUSTOMERS}&subscription=sync"


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """Yield a store; what its kind is makes no difference to a page."""
    async with fake_store() as found:
        yield found


@pytest.fixture
async def visitor(store: Store, catalogue: Catalogue) -> AsyncIterator[Visitor]:
    """Yield somebody who is signed in, where `sync` has a dead letter and no key."""
    await put_group(store, "sync")
    await put_dead(store, "d-1")
    async with visiting(store, catalogue) as found:
        yield found


@pytest.fixture
async def stranger(store: Store, catalogue: Catalogue) -> AsyncIterator[Visitor]:
    """Yield somebody who is not signed in."""
    async with visiting(store, catalogue, signed_in=False) as found:
        yield found


async def send(visitor: Visitor, target: str, fields: dict[str, str] | None, **headers: str) -> ClientResponse:
    """Ask for a page, or send a form where there is one."""
    if fields is None:
        return await visitor.client.get(target, headers=headers, allow_redirects=False)
    return await visitor.post(target, fields, **headers)


def words(page: str) -> str:
    """Return what somebody reads on a page."""
    main = re.findall(r"<main.*?</main>", page, re.DOTALL)[0]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", main)))


def commands(page: str) -> list[str]:
    """Return the commands of ours that a page shows."""
    marked = [*re.findall(r"<code>(event-router .*?)</code>", page), *re.findall(r"`(event-router .*?)`", page)]
    return [unescape(line) for line in marked]


def take(line: str) -> None:
    """Have the command line take a command without running it; raises for one that it refuses."""
    found, rest, name = typer.main.get_command(app), shlex.split(line)[1:], "event-router"
    context = None
    while isinstance(found, TyperGroup):
        context = found.context_class(found, parent=context, info_name=name)
        name, found, rest = found.resolve_command(context, rest)
    found.make_context(name, rest, parent=context)


SAID = (
    # A page, a letter, an event, a body, a change: not there
    ("/nothing", None, 404, "/nothing", "spelt"),
    (LETTER, None, 404, "no dead letter 17-1 of sync on", "event-router audit --verb 'dlq *'"),
    ("/dead-letter?id=1-1", None, 404, "names no dead letter", "event-router dlq list"),
    ("/event?id=e-404", None, 404, "no event e-404", "event-router quarantine list"),
    ("/event", None, 404, "names no event", "event-router events list"),
    (f"/quarantined?publisher={FINANCIAL}&id=9-9", None, 404, f"9-9 of {FINANCIAL}", "event-router audit --verb"),
    ("/quarantined", None, 404, "no id of no publisher", "event-router audit --verb"),
    ("/job?id=j-1", None, 404, "No change j-1", "event-router audit --since 1d"),
    # Methods
    ("/dead-letters/preview", None, 405, "/dead-letters/preview takes only", "press its button"),
    ("/theme", None, 405, "/theme takes only", "press its button"),
    ("/audit", {"x": "y"}, 405, "/audit is a page to look at", "Go back"),
    ("/nothing", {"x": "y"}, 404, "/nothing", "spelt"),
    # Values of filters
    ("/dead-letters?since=soon", None, 400, "'soon' is no time", "write 15m"),
    ("/events?event=nowhere", None, 400, "no stream matches 'nowhere'", "event-router catalogue"),
    ("/events?until=2030-13-01", None, 400, "'2030-13-01' is no time", "write 15m"),
    ("/quarantine?publisher=visma", None, 400, "no publisher 'visma'", FINANCIAL),
    ("/audit?since=yesterday", None, 400, "'yesterday' is no time", "write 15m"),
    ("/keys?subscription=nobody", None, 400, "no subscription 'nobody'", "event-router subscriptions list"),
    ("/keys?subscription=sync", None, 400, "sync has no key", "event-router subscriptions list"),
    # Forms
    ("/subscriptions/pause", {"name": "nobody", "lasting": ""}, 400, "'nobody'", "event-router subscriptions list"),
    ("/subscriptions/pause", {"name": "sync", "lasting": "7"}, 400, "'7' is none of the times", "15 minutes"),
    ("/subscriptions/pause", {"name": "sync", "lasting": "", "company": "5"}, 400, "company 5", "give it key="),
    ("/subscriptions/resume", {"name": "sync"}, 400, "sync is not paused", "event-router audit --verb"),
    ("/subscriptions/resume", {"name": "sync", "company": "5"}, 400, "Company 5 of sync", "event-router audit --verb"),
    ("/incidents/mute", {"kind": "dead", "subject": "s", "lasting": "7"}, 400, "'7' is none of the times", "1 week"),
    ("/incidents/mute", {"lasting": ""}, 400, "No incident is chosen", "press the button"),
    ("/incidents/unmute", {"kind": "dead", "subject": "s"}, 400, "dead of s is not muted", "event-router audit --verb"),
    ("/dead-letters/change", {"verb": "eat"}, 400, "'eat' is no change of dead letters", "to replay or to purge"),
    ("/dead-letters/preview", {"verb": "purge", "which": "all"}, 400, "Purging takes a filter", "Nothing was changed"),
    ("/dead-letters/change", {"verb": "replay", "which": "all", "event": "zz"}, 400, "'zz'", "event-router catalogue"),
    ("/dead-letters/change", {"verb": "replay", "which": "all", "rate": "fast"}, 400, "'fast'", "such as 10"),
    ("/keys/change", {"verb": "release"}, 400, "No subscription is chosen", "choose one from the list"),
)


@pytest.mark.parametrize(("target", "fields", "status", "value", "do"), SAID, ids=map(str, range(len(SAID))))
async def test_what_went_wrong_and_what_to_do(
    visitor: Visitor, target: str, fields: dict[str, str] | None, status: int, value: str, do: str
) -> None:
    """Each error names its value and what to do; its commands are those of the command line, and links lead on."""
    response = await send(visitor, target, fields)
    page = await response.text()
    assert response.status == status, page
    assert response.content_type == "text/html"
    assert 'role="alert"' in page
    assert value in words(page)
    assert do in words(page)
    for line in commands(page):
        take(line)
    for link in re.findall(r'<a class="button" href="([^"]+)"', page):
        assert (await visitor.client.get(unescape(link))).status == 200


def test_a_command_that_is_none_is_found_out() -> None:
    """The check of commands on pages refuses a command and an option that the command line does not have."""
    take("event-router audit --verb 'dlq *'")
    for line in ("event-router replay 5", "event-router audit --nothing x", "event-router events show"):
        with pytest.raises(Exception, match=r"No such|Missing"):
            take(line)


async def test_an_error_leads_back(visitor: Visitor) -> None:
    """A page for an error has a link to where the browser came from, and never to another host."""
    here = {"Referer": f"{visitor.origin}/dead-letters?error=Key%20Error"}
    page = await (await send(visitor, "/subscriptions/resume", {"name": "sync"}, **here)).text()
    assert 'href="/dead-letters?error=Key%20Error"' in page
    for elsewhere in ("https://evil.example/x", f"{visitor.origin}//evil.example", "//evil.example", "%", "http://["):
        page = await (await send(visitor, "/nothing", None, Referer=elsewhere)).text()
        assert "evil.example" not in page


async def test_colours_chosen_on_the_answer_to_a_form_lead_to_a_page(visitor: Visitor) -> None:
    """The button for the colours goes to where the form was, since the answer to it has no address of its own."""
    here = {"Referer": f"{visitor.origin}/dead-letters"}
    fields = {"verb": "replay", "which": "all", "subscription": "sync"}
    page = await (await send(visitor, "/dead-letters/preview", fields, **here)).text()
    assert 'name="here" value="/dead-letters"' in page


async def test_an_archive_is_named(store: Store, catalogue: Catalogue) -> None:
    """Where older events are archived, the page of an event that is gone says so."""
    settings = Settings(archive=ArchiveSettings(to="file:///srv/archive"))
    async with visiting(store, catalogue, settings=settings) as visitor:
        assert "event-router archive list" in await visitor.get("/event", status=404, id="old")


# Who may come in


async def test_a_session_that_is_over(visitor: Visitor) -> None:
    """Who was signed in hears why the form is there, and goes on where they were; a stranger hears nothing of it."""
    visitor.console.sessions._open.clear()
    response = await send(visitor, "/audit?verb=x", None)
    assert response.status == 303
    page = await visitor.get(response.headers["Location"])
    assert "Your session is over: one lasts 12 hours" in page
    assert 'value="/audit?verb=x"' in page
    visitor.client.cookie_jar.clear()
    assert "over" not in (await send(visitor, "/audit", None)).headers["Location"]


async def test_a_form_after_the_session(visitor: Visitor) -> None:
    """A form that is sent when the session is over says that it was not done, and leads back to its page."""
    visitor.console.sessions._open.clear()
    here = {"Referer": f"{visitor.origin}/subscriptions"}
    response = await visitor.post("/subscriptions/pause", {"name": "sync", "lasting": ""}, csrf="x", **here)
    page = await visitor.get(response.headers["Location"])
    assert "what you sent was not done" in page
    assert 'name="then" value="/subscriptions"' in page


@pytest.mark.parametrize("is_set", [True, False], ids=["a token of the settings", "a token of its own"])
async def test_a_wrong_token(store: Store, catalogue: Catalogue, *, is_set: bool) -> None:
    """The form says that the token is wrong, where the right one is, and which command makes a link."""
    settings = Settings(ops=OpsSettings(token=SecretStr(TOKEN))) if is_set else Settings()
    async with visiting(store, catalogue, signed_in=False, settings=settings) as stranger:
        response = await stranger.sign_in("wrong")
        page = await response.text()
        assert response.status == 403
        assert "That is not the token" in page
        assert ("ROUTER_OPS__TOKEN_FILE" if is_set else "console/token") in page
        assert commands(page) == ["event-router console --link"]
        old = await (await stranger.post("/login", {"code": "1.2.3"}, csrf="")).text()
    assert "older than 15 minutes" in old
    assert commands(old) == ["event-router console --link"]


async def test_too_many_wrong_answers(stranger: Visitor) -> None:
    """Who has to wait hears for how long, and for which address."""
    for _ in range(5):
        await stranger.sign_in("wrong")
    response = await stranger.sign_in()
    assert "from 127.0.0.1: wait 2 s" in await response.text()
    for _ in range(6):
        stranger.console.faults.wrong("127.0.0.1")
    response = await send(stranger, "/login", None)
    assert (response.status, "Wait 4 s" in await response.text()) == (429, True)


async def test_forms_from_elsewhere(visitor: Visitor) -> None:
    """A form of another site, or one behind a proxy that renames the host, says which two hosts differ."""
    response = await visitor.post("/sign-out", Origin="https://console.example")
    page = words(await response.text())
    assert response.status == 403
    assert f"sent from https://console.example, and this console is at {visitor.origin[7:]}" in page
    assert "header Host" in page
    assert f"ssh -L {visitor.origin.rpartition(':')[2]}:127.0.0.1:" in page


async def test_a_form_of_an_earlier_session(visitor: Visitor) -> None:
    """A form that is older than the session says that nothing was changed, and to load its page again."""
    response = await visitor.post("/sign-out", csrf="old")
    page = words(await response.text())
    assert (response.status, "Nothing was changed" in page, "load the page again" in page) == (403, True, True)


# What cannot be read or done


async def test_a_form_that_is_too_large(visitor: Visitor) -> None:
    """A form over the limit is answered by a page with the limit and a way to send less, with all its headers."""
    response = await visitor.post("/dead-letters/preview", {"text": "x" * 300_000})
    page = words(await response.text())
    assert (response.status, response.content_type) == (413, "text/html")
    assert "over 262144 bytes" in page
    assert "tick fewer rows" in page
    assert "Content-Security-Policy" in response.headers


async def test_other_paths_of_the_port_stay_as_they_are(visitor: Visitor) -> None:
    """What orchestrators and scrapers ask for on the same port answers a wrong method as a program reads it."""
    response = await visitor.client.post("/healthz")
    assert (response.status, response.content_type) == (405, "application/problem+json")


async def test_what_no_browser_sends(visitor: Visitor) -> None:
    """A form in another encoding says so, and what to do."""
    headers = {"Origin": visitor.origin, "Content-Type": "text/plain"}
    response = await visitor.client.post("/theme", data=b"x", headers=headers)
    page = words(await response.text())
    assert (response.status, "no form as browsers send" in page, "browser of today" in page) == (400, True, True)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the store refuse what lists and changes dead letters."""

    async def refuse(*_: object, **__: object) -> None:
        raise RedisConnectionError("connection refused: 10.0.0.5:6379")

    monkeypatch.setattr("router.console.pages.dead_letters.list_page", lambda *_, **__: _raise())
    monkeypatch.setattr("router.console.jobs.Jobs.settle", refuse)


def _raise() -> None:
    raise RedisConnectionError("connection refused: 10.0.0.5:6379")


@pytest.mark.usefixtures("away")
async def test_the_store_is_away(visitor: Visitor) -> None:
    """A page tries again by itself and names the reason; after a form it does not, but says how to see what was done.

    A form must not be sent again unasked, and its path is no page.
    """
    page = await visitor.get("/dead-letters", status=503)
    assert "connection refused: 10.0.0.5:6379" in page
    assert 'http-equiv="refresh"' in page
    assert commands(page) == ["event-router doctor"]
    fields = {"verb": "replay", "which": "all", "subscription": "sync"}
    response = await visitor.post("/dead-letters/change", fields, Referer=f"{visitor.origin}/dead-letters")
    page = await response.text()
    assert response.status == 503
    assert 'http-equiv="refresh"' not in page
    assert "may have been done or not" in page
    assert commands(page) == ["event-router doctor", "event-router audit --since 15m"]
    assert 'href="/dead-letters"' in page


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_fault_of_ours(
    visitor: Visitor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A page that breaks has a word that finds it in the log, and never what broke; after a form it names the audit."""
    monkeypatch.setattr("router.console.pages.subscriptions.line_in", lambda *_: 1 / 0)
    monkeypatch.setattr("router.console.pages.limits._SHOWN", None)
    monkeypatch.setattr("router.console.pages.limits.sorted", lambda *_, **__: 1 / 0, raising=False)
    target, fields = ("/limits", None) if method == "GET" else ("/subscriptions/resume", {"name": "sync"})
    response = await send(visitor, target, fields)
    page = await response.text()
    fault = re.findall(r"fault=([0-9a-f]{8})\.", page)[0]
    assert response.status == 500
    assert target in words(page)
    assert "ZeroDivision" not in page
    assert fault in capsys.readouterr().out
    assert commands(page) == ["event-router doctor" if method == "GET" else "event-router audit --since 15m"]


async def test_too_many_searches(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others search already, the page says when to come again, and what makes a search quicker."""

    def full() -> None:
        raise Crowded("Too many searches are under way.")

    monkeypatch.setattr(visitor.console.turns, "one", full)
    page = words(await visitor.get("/dead-letters", status=503))
    assert "again in 5 s" in page
    assert "quicker" in page


async def test_a_change_that_breaks_halfway(visitor: Visitor, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that broke says after how many and why, that the rest is where it was, and how to go on."""
    replay = DeadLetters.replay
    suppliers = f"{FINANCIAL}/supplier_changed"
    await put_group(store, "sync", suppliers)
    await put_dead(store, "d-2", stream=suppliers)
    calls: list[int] = []

    async def once(*given: object) -> object:
        calls.append(1)
        if len(calls) > 1:
            raise OSError("connection reset")
        return await replay(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(DeadLetters, "replay", once)
    monkeypatch.setattr(DeadLetterChange, "batch", 1)
    fields = {"verb": "replay", "which": "all", "subscription": "sync"}
    page = await visitor.follow(await visitor.post("/dead-letters/change", fields))
    assert "connection reset" in words(page)
    assert "It broke after 1 replayed; what is left is where it was" in words(page)
    assert commands(page) == ["event-router doctor", "event-router audit --since 1d"]
    assert 'href="/dead-letters?subscription=sync"' in page


async def test_keys_of_a_subscription_that_is_none(visitor: Visitor, store: Store) -> None:
    """Where some subscriptions have keys, the page names those."""
    await put_group(store, "keyed")
    bench = KeyedBench(store, "keyed")
    await bench.bring("one")
    await bench.claim()
    visitor.console.watch.forget()
    assert "those with one are keyed" in words(await visitor.get("/keys", status=400, subscription="nobody"))
