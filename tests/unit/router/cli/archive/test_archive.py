"""`archive`: what is in it, whether it is whole, and its end; and replays from it."""

from pathlib import Path

import pytest
from support.archiving import put_archived
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_group, raw_of

from router.store.client import Store
from workers.operations import audit

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an archive of two objects, of two days and streams."""
    put_archived(tmp_path, "e1", "e2")
    put_archived(tmp_path, "s1", stream=SUPPLIERS, at=1_764_547_200_000)
    monkeypatch.setenv("ROUTER_ARCHIVE__TO", tmp_path.as_uri())
    return tmp_path


def test_list(cli: Cli, folder: Path) -> None:
    """The objects come newest first, selected by type and time; each says which entries it has."""
    first, second = cli.json("archive", "list")
    assert (first["publisher"], first["type"], first["day"]) == (FINANCIAL, "supplier_changed", "2025-12-01")
    assert (second["first"], second["last"]) == ("1764460800000-0", "1764460800000-1")
    assert second["bytes"] == (folder / second["name"]).stat().st_size
    assert cli.json("archive", "list", "customer_*") == [second]
    assert cli.json("archive", "list", "--since", "2025-12-01") == [first]
    table = cli.ok("archive", "list")
    assert "2025-12-01" in table
    assert "supplier_changed" in table


def test_show(cli: Cli, folder: Path) -> None:
    """The events of one object, oldest first; their bodies are shown where the audit says that they were seen."""

    async def audited(store: Store) -> list[str]:
        return [line.subject async for line in audit.lines(store)]

    name = cli.json("archive", "list", "customer_*")[0]["name"]
    shown = cli.json("archive", "show", name)
    assert [event["id"] for event in shown] == ["e1", "e2"]
    assert cli.fill(audited) == []
    assert raw_of("e1").decode() == cli.json("archive", "show", name, "--reveal")[0]["raw"]
    assert cli.fill(audited) == ["archive show"]
    assert "is no object" in cli.fails(3, "archive", "show", "../secrets")


def test_verify(cli: Cli, folder: Path) -> None:
    """All is read; what is damaged or foreign is named, and the exit code says that something is damaged."""
    assert cli.json("archive", "verify") == {"objects": 2, "events": 3, "damaged": [], "foreign": []}
    name = cli.json("archive", "list", "supplier_*")[0]["name"]
    (folder / name).write_bytes((folder / name).read_bytes()[:-4])
    (folder / name).with_name("notes.txt").write_text("mine")
    said = cli.fails(1, "archive", "verify")
    assert f"{name} is damaged: it is no whole gzip file" in said
    assert "notes.txt is no object of the archive" in said
    found = cli.json("archive", "verify", code=1)
    assert (found["objects"], found["events"], [each["name"] for each in found["damaged"]]) == (1, 2, [name])


def test_off(cli: Cli) -> None:
    """The positions go, so that retention trims without the archive; the audit keeps who did it."""

    async def begin(store: Store) -> None:
        await store.client.hset(store.keys.archived(CUSTOMERS), "position", "1-0")

    async def is_archived(store: Store) -> bool:
        return bool(await store.client.exists(store.keys.archived(CUSTOMERS)))

    cli.fill(begin)
    assert "add --yes to end the archive" in cli.fails(2, "archive", "off")
    assert cli.fill(is_archived)
    assert cli.ok("archive", "off", "--yes") == "1 stream is trimmed without the archive\n"
    assert not cli.fill(is_archived)
    assert "no stream is archived" in cli.fails(3, "archive", "off", "--yes")


def test_without_an_archive(cli: Cli) -> None:
    """Where none is set that is said, with what to do."""
    for command in (["list"], ["verify"]):
        assert "there is no archive: set archive.to" in cli.fails(2, "archive", *command)


def test_an_archive_that_is_away(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is not mounted is one line and the exit code for what cannot be reached."""
    monkeypatch.setenv("ROUTER_ARCHIVE__TO", (folder / "gone").as_uri())
    assert "there is no such folder" in cli.fails(4, "archive", "list")


def test_replay_from_the_archive(cli: Cli, folder: Path) -> None:
    """What is in the archive is shown first, given with a yes, and given once; a damaged object makes it a 1."""
    cli.fill(lambda store: put_group(store, "sync", CUSTOMERS, SUPPLIERS))
    given = ("events", "replay", "--to", "sync", "--from-archive")
    assert "say from when on" in cli.fails(2, *given, "--yes")
    given += ("--since", "2025-01-01")
    assert "replay 3 events to sync" in cli.fails(2, *given)
    done = cli.json(*given, "--yes", "--max", "1")
    assert (done["matched"], done["replayed"], done["skipped"]) == (1, 1, [])
    damaged = folder / cli.json("archive", "list", "supplier_*")[0]["name"]
    damaged.write_bytes(b"no archive")
    result = cli.run(*given, "--yes")
    assert result.exit_code == 1
    assert result.stdout == "replayed 1 of 2 to sync, 1 already handed over (see --again)\n"
    assert result.stderr.count(f"{damaged.relative_to(folder)} is left out: it is no whole gzip file") == 1
    assert "the archive holds nothing" in cli.fails(3, *given, "supplier_*", "--until", "2025-01-02", "--yes")
