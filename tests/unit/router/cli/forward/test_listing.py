"""`forward list`: where each forward goes, and whether that works."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.cli import Cli
from support.filling import put_breaker, put_group

from router.store.client import Store
from workers.operations.pauses import pause
from workers.state.forwards import ACTOR, Deferral, LastExchange, note_exchanges

AT = datetime(2026, 3, 1, tzinfo=UTC)


async def fill(store: Store) -> None:
    """Put forwards: one that nothing runs, one whose receiver is gone, and one that was paused by somebody."""
    for name in ("idle", "lost", "held"):
        await put_group(store, name)
    last = [LastExchange("idle", "a.example", "raw"), LastExchange("lost", "b.example", "cloudevents", AT, "410", 0.1)]
    await note_exchanges(store, last)
    await note_exchanges(store, [LastExchange("held", "c.example", "raw", AT, "timeout", 30.0)])
    await pause(store, "lost", None, by=ACTOR, reason="b.example answered 410 Gone")
    await pause(store, "held", None, by="me")
    await put_breaker(store, "forward.idle")
    await note_exchanges(store, [LastExchange("removed", "r.example", "raw", AT, "200", 0.1)])


def test_a_list(cli: Cli) -> None:
    """Each forward has its host, its state and its last exchange; of what the settings name, also before it ran.

    One that the settings do not name, and whose subscription was removed, is not listed.
    """
    cli.fill(fill)
    Path("config").mkdir()
    Path("config/router.toml").write_text(
        '[[forward]]\nname = "new"\nevents = ["*"]\nurl = "https://n.example/"\n'
        'secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="\n'
    )
    found = {each["name"]: each for each in json.loads(cli.ok("forward", "list", "--json"))}
    assert {name: each["state"] for name, each in found.items()} == {
        "held": "paused",
        "idle": "stopped",
        "lost": "gone",
        "new": "stopped",
    }
    assert (found["lost"]["host"], found["lost"]["last"]) == ("b.example", "410")
    assert found["lost"]["last_at"] == "2026-03-01T00:00:00.000Z"
    assert found["lost"]["pause"]["reason"] == "b.example answered 410 Gone"
    assert (found["idle"]["last"], found["idle"]["breaker"]["name"]) == (None, "forward.idle")
    assert found["new"]["host"] == "n.example"
    text = cli.ok("forward", "list")
    assert "timeout" in text
    assert "gone" in text
    assert "DEFERRED" not in text


async def fill_with_deferrals(store: Store) -> None:
    """Put forwards that run: one whose receiver puts events off now, and one whose receiver did."""
    now = datetime.now(UTC)
    ends = {"later": now + timedelta(hours=2), "over": now - timedelta(seconds=1)}
    for name, until in ends.items():
        await put_group(store, name)
        await store.client.zadd(store.keys.consumers(name), {"c1": time.time() * 1000})
        deferral = Deferral(AT, until, "the receiver answered 503 Service Unavailable and named a time")
        await note_exchanges(store, [LastExchange(name, "h.example", "raw", AT, "503", 0.1, deferral)])


def test_what_is_put_off(cli: Cli) -> None:
    """A receiver that puts events off by Retry-After is not taken for one that takes them: since and until are shown.

    When that time is over the forward runs.
    """
    cli.fill(fill_with_deferrals)
    found = {each["name"]: each for each in json.loads(cli.ok("forward", "list", "--json"))}
    assert (found["later"]["state"], found["over"]["state"]) == ("deferred", "running")
    assert found["over"]["deferred"] is None
    assert found["later"]["deferred"]["since"] == "2026-03-01T00:00:00.000Z"
    assert found["later"]["deferred"]["until"] > datetime.now(UTC).isoformat()
    assert found["later"]["deferred"]["reason"].startswith("the receiver answered 503")
    text = cli.ok("forward", "list")
    assert f"since 2026-03-01 00:00:00 until {found['later']['deferred']['until'][:10]}" in text


def test_no_forward(cli: Cli) -> None:
    """Where there is none it says so."""
    assert json.loads(cli.ok("forward", "list", "--json")) == []
    assert "there is no forward" in cli.run("forward", "list").output
