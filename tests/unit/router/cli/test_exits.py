"""The exit codes of the commands on dead letters, the quarantine, keys and the audit: what a script can rely on."""

from pathlib import Path
from typing import Any

import pytest
from support.archiving import put_archived
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_group, put_incident, put_quarantined, raw_of
from support.keyed import KeyedBench

from router.store.client import Store

LINE = '{{"stream": "{}", "subscription": "{}", "entry_id": "7-0", "fields": {{"id": "e7", "raw": "x"}}}}'
HELD = "/7/customer/1"
GOOD, NOWHERE = LINE.format(CUSTOMERS, "sync"), LINE.format(CUSTOMERS, "nobody")

CASES: list[tuple[int, tuple[str, ...], str | None]] = [
    # 0: done
    (0, ("dlq", "list"), None),
    (0, ("dlq", "list", "nothing"), None),
    (0, ("dlq", "stats"), None),
    (0, ("dlq", "stats", "--fail-over", "2"), None),
    (0, ("dlq", "show", "e1"), None),
    (0, ("dlq", "show", "e1", "--reveal"), None),
    (0, ("dlq", "replay", "e1"), None),
    (0, ("dlq", "replay", "--yes"), None),
    (0, ("dlq", "replay", "--dry-run"), None),
    (0, ("dlq", "purge", "e1"), None),
    (0, ("dlq", "export", "all.jsonl"), None),
    (0, ("dlq", "import"), GOOD),
    (0, ("dlq", "import", "--dry-run"), GOOD),
    (0, ("dlq", "watch", "--since", "2020-01-01", "--limit", "1"), None),
    (0, ("quarantine", "list"), None),
    (0, ("quarantine", "show", "{readable}"), None),
    (0, ("quarantine", "retry", "{readable}"), None),
    (0, ("quarantine", "retry", "--dry-run"), None),
    (0, ("quarantine", "capture", "{readable}"), None),
    (0, ("quarantine", "purge", FINANCIAL, "--yes"), None),
    (0, ("audit",), None),
    (0, ("keys", "list", "sync"), None),
    (0, ("keys", "list", "sync", "--held"), None),
    (0, ("keys", "show", "sync", HELD), None),
    (0, ("keys", "release", "sync", HELD), None),
    (0, ("keys", "skip", "sync", "--company", "7"), None),
    (0, ("incidents", "list"), None),
    (0, ("incidents", "list", "--past", "5"), None),
    (0, ("incidents", "list", "--muted"), None),
    (0, ("incidents", "mute", "silence", "p/7", "--for", "1h"), None),
    (0, ("incidents", "unmute", "silence", f"{FINANCIAL}/8"), None),
    (0, ("erase", "--company", "7"), None),
    (0, ("erase", "--company", "7", "--json"), None),
    (0, ("export", "--company", "7", "--output", "all.jsonl"), None),
    (0, ("export", "--company", "7", "--publisher", FINANCIAL), None),
    (0, ("archive", "list"), None),
    (0, ("archive", "show", "{archived}"), None),
    (0, ("archive", "verify", "customer_changed"), None),
    (0, ("archive", "off", "--yes"), None),
    (0, ("events", "replay", "--to", "sync", "--since", "2020-01-01", "--from-archive", "--yes"), None),
    # 1: partly failed
    (1, ("erase", "--company", "7", "--yes"), None),  # the fake server cannot write a stream again
    (1, ("export", "--company", "7", "--output", "/dev/full"), None),
    (1, ("archive", "verify"), None),
    (1, ("dlq", "import", "--yes"), f"{GOOD}\n{NOWHERE}"),
    (1, ("dlq", "import", "--dry-run"), f"{GOOD}\n{{"),
    (1, ("dlq", "import"), "{"),
    (1, ("dlq", "export", "/dev/full"), None),
    (1, ("quarantine", "retry", "--yes"), None),
    (1, ("keys", "skip", "sync", "/8/customer/1", "--reason", "why"), None),
    # 2: usage
    (2, ("dlq", "list", "--since", "soon"), None),
    (2, ("dlq", "stats", "--fail-over", "many"), None),
    (2, ("dlq", "show"), None),
    (2, ("dlq", "replay"), None),
    (2, ("dlq", "replay", "--rate", "0"), None),
    (2, ("dlq", "purge", "--yes"), None),
    (2, ("dlq", "export", "all.jsonl", "--fingerprint", "x"), None),
    (2, ("dlq", "export", "missing/all.jsonl"), None),
    (2, ("dlq", "import", "missing.jsonl"), None),
    (2, ("dlq", "import"), f"{GOOD}\n{GOOD}"),
    (2, ("dlq", "watch", "--limit", "0"), None),
    (2, ("quarantine", "list", "nobody"), None),
    (2, ("quarantine", "show", "x", "--publisher", "nobody"), None),
    (2, ("quarantine", "capture"), None),
    (2, ("quarantine", "retry"), None),
    (2, ("quarantine", "purge", "--yes"), None),
    (2, ("audit", "--since", "soon"), None),
    (2, ("keys", "list"), None),
    (2, ("keys", "show", "sync"), None),
    (2, ("keys", "release"), None),
    (2, ("keys", "skip", "sync"), None),
    (2, ("incidents", "list", "--past", "x"), None),
    (2, ("incidents", "mute", "silence"), None),
    (2, ("incidents", "mute", "no kind", "p/7"), None),
    (2, ("incidents", "mute", "silense", "p/7"), None),
    (2, ("incidents", "mute", "silence", "p/7", "--for", "soon"), None),
    (2, ("archive", "list", "nobody/*"), None),
    (2, ("archive", "show"), None),
    (2, ("archive", "off"), None),
    # 3: nothing matched
    (3, ("incidents", "unmute", "silence", "p/9"), None),
    (2, ("erase", "--yes"), None),
    (2, ("erase", "--company", "", "--yes"), None),
    (2, ("erase", "--company", "7", "--publisher", "nobody"), None),
    (2, ("export",), None),
    (2, ("export", "--company", "7", "--output", "missing/all.jsonl"), None),
    # 3: nothing matched
    (3, ("erase", "--company", "nobody"), None),
    (3, ("export", "--tenant", "nobody"), None),
    (3, ("archive", "show", "nothing"), None),
    (3, ("archive", "verify", "--until", "2020-01-01"), None),
    (3, ("events", "replay", "--to", "sync", "--since", "0s", "--from-archive", "--yes"), None),
    (3, ("keys", "show", "sync", "nothing"), None),
    (3, ("keys", "show", "nobody", "nothing"), None),
    (3, ("keys", "release", "sync", "/8/customer/1"), None),
    (3, ("keys", "skip", "nobody", "--held"), None),
    (3, ("dlq", "show", "nothing"), None),
    (3, ("dlq", "replay", "--fingerprint", "00000000"), None),
    (3, ("dlq", "purge", "nothing"), None),
    (3, ("dlq", "export", "all.jsonl", "nothing"), None),
    (3, ("dlq", "import"), ""),
    (3, ("quarantine", "show", "nothing"), None),
    (3, ("quarantine", "capture", "nothing"), None),
    (3, ("quarantine", "retry", "--text", "nothing"), None),
    (3, ("quarantine", "purge", "--text", "nothing"), None),
    # 5: over the threshold
    (5, ("dlq", "stats", "--fail-over", "1"), None),
]

GROUPS = ("dlq", "quarantine", "keys", "incidents", "archive")
ALONE = ("audit", "erase", "export")

AWAY = [
    ("dlq", "list"),
    ("dlq", "stats", "--fail-over", "0"),
    ("dlq", "show", "x"),
    ("dlq", "replay", "x"),
    ("dlq", "purge", "x"),
    ("dlq", "export", "all.jsonl"),
    ("dlq", "import"),
    ("dlq", "watch"),
    ("quarantine", "list"),
    ("quarantine", "show", "x"),
    ("quarantine", "capture", "x"),
    ("quarantine", "retry", "--yes"),
    ("quarantine", "purge", "--text", "x"),
    ("audit",),
    ("erase", "--company", "7"),
    ("erase", "--company", "7", "--yes"),
    ("export", "--company", "7"),
    ("archive", "off", "--yes"),
    ("events", "replay", "--to", "sync", "--since", "1h", "--from-archive", "--yes"),
    ("keys", "list", "sync"),
    ("keys", "show", "sync", "x"),
    ("keys", "release", "sync"),
    ("keys", "skip", "sync", "--held"),
    ("incidents", "list"),
    ("incidents", "mute", "silence", "p/7"),
    ("incidents", "unmute", "silence", "p/7"),
]


WITHOUT = {("archive", "list"), ("archive", "show"), ("archive", "verify")}
"""What needs no store."""


@pytest.fixture
def filled(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Cli, dict[str, Any]]:
    """Return a command line with two dead letters, two quarantined bodies, one of them readable, and two keys."""
    archived = put_archived(tmp_path / "archive", "e7", "e8")
    damaged = tmp_path / "archive" / put_archived(tmp_path / "archive", "e9", stream=f"{FINANCIAL}/supplier_changed")
    damaged.write_bytes(damaged.read_bytes()[:20])
    monkeypatch.setenv("ROUTER_ARCHIVE__TO", (tmp_path / "archive").as_uri())

    async def fill(store: Store) -> dict[str, Any]:
        await put_group(store, "sync")
        await put_dead(store, "e1", entry_id="1750000000000-0")
        await put_dead(store, "e2", entry_id="1750000001000-0")
        await put_quarantined(store, b"{")
        await put_incident(store)
        keyed = KeyedBench(store)
        await keyed.bring("e4", company="8")
        await keyed.claim()  # and never finishes it
        await keyed.bring("e5", "e6")
        await keyed.hold()
        await store.client.hset(store.keys.archived(CUSTOMERS), "position", "1-0")
        return {"archived": archived, "readable": await put_quarantined(store, raw_of("e3"))}

    return cli, cli.fill(fill)


@pytest.mark.parametrize(("code", "arguments", "stdin"), CASES, ids=lambda case: str(case)[:60])
def test_exit_code(
    filled: tuple[Cli, dict[str, Any]], code: int, arguments: tuple[str, ...], stdin: str | None
) -> None:
    """Every command ends with the code that says how it went; an error is one line, and none is a traceback."""
    cli, names = filled
    given = [argument.format(**names) if argument.startswith("{") else argument for argument in arguments]
    result = cli.run(*given, stdin=stdin)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("arguments", AWAY, ids=" ".join)
def test_unreachable(cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    """4: the store cannot be reached, whatever was to be done with it."""
    monkeypatch.undo()
    monkeypatch.setenv("ROUTER_REDIS__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("ROUTER_ARCHIVE__TO", "file:///nowhere")
    said = cli.fails(4, *arguments, stdin=GOOD)
    assert "cannot be used: ConnectionError" in said
    assert said.count("\n") == 1


def test_every_command_is_here() -> None:
    """There is no command of these groups without its codes."""
    from router.cli.app import load  # noqa: PLC0415

    groups = {name: getattr(load(name), "commands", None) or [""] for name in (*GROUPS, *ALONE)}
    known = {(name, verb) for name, verbs in groups.items() for verb in verbs} | {("events", "replay")}
    assert {(case[0], "" if case[0] in ALONE else case[1]) for _, case, _ in CASES} == known
    assert {(case[0], "" if case[0] in ALONE else case[1]) for case in AWAY} == known - WITHOUT
