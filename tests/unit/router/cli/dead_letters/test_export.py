"""`dlq export` and `dlq import`: out of the store and back, to the byte, each once."""

import asyncio
import errno
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, history, put_dead, put_group
from support.waiting import eventually

from router.cli.dead_letters import file as dlq_file
from router.store.client import Store
from workers.operations.dead_letters.letters import DeadLetters
from workers.operations.dead_letters.restore import Import

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
ODD = {"raw": b"\xff\x00{", "reason": "größer".encode(), "crashes": 2, "traceparent": "00-1-2", b"\xfe": b"\xfd"}


@pytest.fixture
def dlq(cli: Cli) -> Cli:
    """Return a command line with three dead letters, one of them with bytes that are no UTF-8."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
        await put_group(store, "audit", CUSTOMERS)
        await put_dead(store, "e1", entry_id="1750000000000-0", fields=ODD)
        await put_dead(store, "e2", entry_id="1750000001000-7", stream=SUPPLIERS)
        await put_dead(store, "e3", entry_id="1750000002000-0", subscription="audit", fields={"history": history("x")})

    cli.fill(fill)
    return cli


def _entries(cli: Cli) -> list[dict[bytes, bytes]]:
    async def read(store: Store) -> Any:
        places = [(CUSTOMERS, "sync"), (SUPPLIERS, "sync"), (CUSTOMERS, "audit")]
        return [fields for place in places for _, fields in await store.client.xrange(store.keys.dead(*place))]

    found: list[dict[bytes, bytes]] = cli.fill(read)
    return found


def _without_origin(entries: list[dict[bytes, bytes]]) -> list[dict[bytes, bytes]]:
    return [{name: value for name, value in entry.items() if name != b"origin"} for entry in entries]


def _audit(cli: Cli) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = cli.json("audit")
    return rows


def test_round_trip(dlq: Cli) -> None:
    """What is exported, purged and imported is the same to the byte, listed the same, and exported the same again."""
    before, rows = _entries(dlq), dlq.json("dlq", "list")
    assert "exported 3 dead letters to all.jsonl" in dlq.run("dlq", "export", "all.jsonl").stderr
    dlq.ok("dlq", "purge", "*", "--yes")
    assert dlq.json("dlq", "import", "all.jsonl", "--yes") == {
        "matched": 3,
        "imported": 3,
        "there": 0,
        "before": 0,
        "failed": 0,
        "bad_lines": [],
    }
    assert _without_origin(_entries(dlq)) == before
    assert _told(dlq.json("dlq", "list")) == _told(rows)
    dlq.ok("dlq", "export", "again.jsonl")
    assert Path("again.jsonl").read_bytes() == Path("all.jsonl").read_bytes()


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a list tells, but for the entries, which are new."""
    return sorted(({**row, "entry_id": ""} for row in rows), key=lambda row: str(row["id"]))


def test_imported_letters_are_found_by_the_time_of_their_death(dlq: Cli) -> None:
    """`--since` and `--until` mean when an event died, not when it was imported."""
    dlq.ok("dlq", "export", "all.jsonl")
    dlq.ok("dlq", "purge", "*", "--yes")
    dlq.ok("dlq", "import", "all.jsonl", "--yes")
    assert [row["id"] for row in dlq.json("dlq", "list", "--until", "2025-06-15T15:06:40Z")] == ["e1"]
    assert [row["id"] for row in dlq.json("dlq", "list", "--since", "2025-06-15T15:06:42Z")] == ["e3"]
    assert dlq.json("dlq", "replay", "--until", "2025-06-15T15:06:40Z")["replayed"] == 1


def test_export_to_stdout(dlq: Cli) -> None:
    """Without a file, or with -, the lines go to stdout and nothing else does; the file is nobody else's to read."""
    lines = [json.loads(line) for line in dlq.ok("dlq", "export").splitlines()]
    assert {line["fields"]["id"] for line in lines} == {"e1", "e2", "e3"}
    assert dlq.ok("dlq", "export", "-", "--subscription", "audit").count("\n") == 1
    assert dlq.ok("dlq", "export", "-", "supplier_changed").count("\n") == 1
    assert dlq.ok("dlq", "export", "-", "-", stdin="e1 e3").count("\n") == 2
    dlq.ok("dlq", "export", "one.jsonl", "e1", "--max", "1")
    assert Path("one.jsonl").stat().st_mode & 0o777 == 0o600


def test_export_leaves_a_mark(dlq: Cli) -> None:
    """The audit says that bodies left: how many, by which selector, where to and why."""
    dlq.ok("dlq", "export", "all.jsonl", "--subscription", "sync", "--reason", "for the vendor")
    (line,) = _audit(dlq)
    assert (line["verb"], line["subject"], line["matched"]) == ("dlq export", "all.jsonl", 2)
    assert (line["selector"], line["reason"]) == ({"subscription": "sync"}, "for the vendor")


def test_export_of_nothing(dlq: Cli) -> None:
    """Where nothing matches no file is made; one that is there is never written over."""
    dlq.fails(3, "dlq", "export", "none.jsonl", "--resource", "x/*")
    assert not Path("none.jsonl").exists()
    Path("kept.jsonl").write_text("mine")
    assert "exists already" in dlq.fails(2, "dlq", "export", "kept.jsonl")
    assert "cannot be opened" in dlq.fails(2, "dlq", "export", "no/such/folder.jsonl")
    assert "name the file" in dlq.fails(2, "dlq", "export", "customer_changed")
    assert Path("kept.jsonl").read_text() == "mine"


def test_export_that_is_cut_short(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store is lost on the way, the file is told to be partial, keeps another name, and the code is 1."""
    real = DeadLetters.oldest

    async def lost(self: DeadLetters, *arguments: Any) -> Any:
        number = 0
        async for letter in real(self, *arguments):
            yield letter
            number += 1
            if number == 2:
                raise ConnectionError("reset")

    monkeypatch.setattr(DeadLetters, "oldest", lost)
    said = dlq.fails(1, "dlq", "export", "all.jsonl")
    assert "all.jsonl.partial is incomplete, it ends after 2 dead letters: ConnectionError: reset" in said
    assert Path("all.jsonl.partial").read_bytes().count(b"\n") == 2
    assert not Path("all.jsonl").exists()
    (line,) = _audit(dlq)
    assert (line["matched"], "reset" in line["error"]) == (2, True)


def test_two_exports_to_one_name(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two exports to one name at once the first to end has it; the other is refused and says where its lines are."""
    real, partial = DeadLetters.oldest, Path("all.jsonl.partial")

    async def overtaken(self: DeadLetters, *arguments: Any) -> Any:
        async for letter in real(self, *arguments):
            yield letter
            if partial.exists() and not Path("all.jsonl").exists():
                with dlq_file.writing("all.jsonl") as sink:
                    sink.write(b"of the other\n")
                    sink.finish()

    monkeypatch.setattr(DeadLetters, "oldest", overtaken)
    said = dlq.fails(2, "dlq", "export", "all.jsonl")
    assert "all.jsonl exists by now: nothing of it was changed, and what was exported is all.jsonl.partial" in said
    assert Path("all.jsonl").read_bytes() == b"of the other\n"
    assert partial.read_bytes().count(b"\n") == 3
    assert sorted(path.name for path in Path().iterdir()) == ["all.jsonl", "all.jsonl.partial"]
    (line,) = _audit(dlq)
    assert (line["matched"], "exists by now" in line["error"]) == (3, True)


def test_export_where_links_are_not_possible(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without links a file gets its name all the same, and takes nobody's."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("router.cli.dead_letters.file.os.link", refuse)
    dlq.ok("dlq", "export", "all.jsonl")
    assert Path("all.jsonl").read_bytes().count(b"\n") == 3
    assert [path.name for path in Path().iterdir()] == ["all.jsonl"]
    assert Path("all.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_partial_file_of_somebody_else_is_left_alone(dlq: Cli) -> None:
    """What an earlier export has left is not written over, whatever its name."""
    Path("all.jsonl.partial").write_text("mine")
    dlq.ok("dlq", "export", "all.jsonl")
    assert Path("all.jsonl.partial").read_text() == "mine"
    assert sorted(path.name for path in Path().iterdir()) == ["all.jsonl", "all.jsonl.partial"]


def test_a_name_that_cannot_be_is_the_users(dlq: Cli) -> None:
    """A name that is too long is said to be that; nothing is blamed on the store."""
    said = dlq.fails(2, "dlq", "export", "x" * 300)
    assert "File name too long" in said
    assert "redis.url" not in said


def test_a_link_is_not_followed(dlq: Cli) -> None:
    """A link of the name that leads nowhere is somebody's too: nothing is written through it."""
    Path("all.jsonl").symlink_to("elsewhere")
    assert "exists already" in dlq.fails(2, "dlq", "export", "all.jsonl")
    assert not Path("elsewhere").exists()


def test_export_to_a_folder_that_may_not_be_written(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused in one line before anything is read, and the audit has nothing of it."""

    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("router.cli.dead_letters.file._created", refuse)
        said = dlq.fails(2, "dlq", "export", "all.jsonl")
    assert said == "event-router: all.jsonl cannot be opened: Permission denied\n"
    assert _audit(dlq) == []


def test_export_to_a_disk_that_is_full(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full only when all is written out is told, the file has no name, and the audit says why."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("router.cli.dead_letters.file.os.fsync", full)
    assert "all.jsonl.partial is incomplete: No space left on device" in dlq.fails(1, "dlq", "export", "all.jsonl")
    assert not Path("all.jsonl").exists()
    assert "No space left" in _audit(dlq)[0]["error"]


def test_export_that_is_interrupted(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed terminal in the middle of an export: the audit says how many bodies left the store."""
    real = DeadLetters.oldest

    async def interrupted(self: DeadLetters, *arguments: Any) -> Any:
        number = 0
        async for letter in real(self, *arguments):
            yield letter
            number += 1
            if number == 2:
                os.kill(os.getpid(), signal.SIGHUP)
                await asyncio.Event().wait()

    monkeypatch.setattr(DeadLetters, "oldest", interrupted)
    said = dlq.fails(130, "dlq", "export", "all.jsonl")
    assert "all.jsonl.partial is incomplete, it ends after 2 dead letters: interrupted" in said
    (line,) = _audit(dlq)
    assert (line["matched"], line["error"]) == (2, "interrupted")


def test_an_import_that_is_interrupted(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch under way is finished and counted, and the audit says how far it came."""
    dlq.ok("dlq", "export", "all.jsonl")
    dlq.ok("dlq", "purge", "*", "--yes")
    restore = Import.restore

    async def interrupted(self: Import, *given: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        await eventually(lambda: any(task.cancelling() for task in asyncio.all_tasks()))
        return await restore(self, *given, **options)

    monkeypatch.setattr(Import, "restore", interrupted)
    said = dlq.fails(130, "dlq", "import", "all.jsonl", "--yes")
    assert "interrupted when 3 of 3 were imported; repeating is safe" in said
    assert (_audit(dlq)[0]["changed"], _audit(dlq)[0]["error"]) == (3, "interrupted")
    assert len(_entries(dlq)) == 3


def test_export_that_cannot_be_written(dlq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told with the file that is partial, and ends with 1."""
    if not Path("/dev/full").exists():  # pragma: no cover
        monkeypatch.setattr("router.cli.dead_letters.file.os.fdopen", lambda *_: io.BytesIO())
    said = dlq.fails(1, "dlq", "export", "/dev/full")
    assert "what was written to /dev/full is incomplete: No space left" in said


def test_import_is_safe_to_repeat(dlq: Cli) -> None:
    """What is there already is not imported, nor what was imported before, unless that is asked for."""
    dlq.ok("dlq", "export", "all.jsonl")
    counts = {"matched": 3, "imported": 0, "there": 3, "before": 0, "failed": 0, "bad_lines": []}
    assert dlq.json("dlq", "import", "all.jsonl", "--yes") == counts
    dlq.ok("dlq", "replay", "--yes")
    assert dlq.json("dlq", "import", "all.jsonl", "--yes")["imported"] == 3
    assert dlq.json("dlq", "import", "all.jsonl", "--yes") == counts
    dlq.ok("dlq", "replay", "e1")
    assert "imported 0 of 3, 2 there already, 1 imported before and gone since" in dlq.ok(
        "dlq", "import", "all.jsonl", "--yes"
    )
    assert dlq.json("dlq", "import", "all.jsonl", "--yes", "--again")["imported"] == 1
    assert len(_entries(dlq)) == 3


def test_imported_letters_can_be_replayed(dlq: Cli) -> None:
    """An imported dead letter is replayed like any other, and leaves no trace of the import in the inbox."""
    dlq.ok("dlq", "export", "one.jsonl", "e1")
    dlq.ok("dlq", "purge", "e1")
    dlq.ok("dlq", "import", "one.jsonl")
    dlq.ok("dlq", "replay", "e1")

    async def inbox(store: Store) -> Any:
        return await store.client.xrange(store.keys.inbox(CUSTOMERS, "sync"))

    ((_, fields),) = dlq.fill(inbox)
    assert fields[b"raw"] == b"\xff\x00{"
    assert not {b"origin", b"reason", b"attempts", b"crashes"} & set(fields)


def test_import_of_bad_lines(dlq: Cli) -> None:
    """Bad lines are told by their numbers and left out; all others are imported, and the code is 1."""
    dlq.ok("dlq", "export", "all.jsonl")
    dlq.ok("dlq", "purge", "*", "--yes")
    lines = Path("all.jsonl").read_text().splitlines()
    first, third, second = sorted(lines, key=lambda line: SUPPLIERS in line)
    nobody = second.replace('"sync"', '"nobody"')
    nowhere = second.replace(SUPPLIERS, "acme/order_created")
    Path("bad.jsonl").write_text("\n".join([first, "", "{", nobody, nowhere, second[:50], third]))
    result = dlq.run("dlq", "import", "bad.jsonl", "--yes", "--json")
    assert result.exit_code == 1
    counts = json.loads(result.stdout)
    assert (counts["matched"], counts["imported"], counts["failed"]) == (2, 2, 4)
    assert [line["line"] for line in counts["bad_lines"]] == [3, 4, 5, 6]
    assert "line 4: no subscription 'nobody' exists on" in result.stderr
    assert "line 5: no stream 'acme/order_created' is configured" in result.stderr
    assert len(_entries(dlq)) == 2
    assert _audit(dlq)[0]["failed"] == 4


def test_import_asks(dlq: Cli) -> None:
    """More than one is counted and shown first, a dry run changes nothing, and stdin is as good as a file."""
    lines = dlq.ok("dlq", "export")
    dlq.ok("dlq", "purge", "*", "--yes")
    said = dlq.fails(2, "dlq", "import", stdin=lines)
    assert "import 3 dead letters:" in said
    assert "add --yes to import these 3" in said
    dry = dlq.json("dlq", "import", "--dry-run", stdin=lines)
    assert (dry["would_import"], dry["imported"]) == (3, 0)
    assert _entries(dlq) == []
    assert "imported 1 of 1" in dlq.ok("dlq", "import", stdin=lines.splitlines()[0])
    assert "would import 2 of 3, 1 there already" in dlq.ok("dlq", "import", "-", "--dry-run", stdin=lines)
    assert [line["verb"] for line in _audit(dlq)] == ["dlq import", "dlq purge", "dlq export"]


def test_import_of_nothing(dlq: Cli) -> None:
    """An empty file is nothing matched, one of bad lines alone a failure, one that is not there a mistake."""
    assert "stdin is empty" in dlq.fails(3, "dlq", "import", stdin="\n\n")
    assert "line 2: " in dlq.fails(1, "dlq", "import", stdin="\n{")
    assert "cannot be opened: No such file" in dlq.fails(2, "dlq", "import", "none.jsonl")


def test_import_refused(dlq: Cli) -> None:
    """What the server refuses is counted with its words, the others are imported."""
    dlq.ok("dlq", "export", "all.jsonl")
    dlq.ok("dlq", "purge", "*", "--yes")

    async def block(store: Store) -> None:
        await store.client.delete(store.keys.dead(SUPPLIERS, "sync"))
        await store.client.set(store.keys.dead(SUPPLIERS, "sync"), "no stream")

    dlq.fill(block)
    for option, done in (("--dry-run", "would import"), ("--yes", "imported")):
        result = dlq.run("dlq", "import", "all.jsonl", option)
        assert result.exit_code == 1
        assert f"{done} 2 of 3" in result.stdout
        assert "1 could not be imported: " in result.stderr
        assert "WRONGTYPE" in result.stderr


def test_many_bad_lines_are_not_all_told(dlq: Cli) -> None:
    """A file of another kind does not fill the screen."""
    said = dlq.fails(1, "dlq", "import", stdin="x\n" * 150)
    assert len(said.splitlines()) == 101
    assert "50 more lines are wrong" in said


def test_long_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is too long, or long and no dead letter, is a bad one, and takes no more memory than it may."""
    monkeypatch.setattr(dlq_file, "LONGEST", 30)
    monkeypatch.setattr(dlq_file, "_AT_ONCE", 10)
    lines = [b"short\n", b"x" * 25 + b"\n", b' {"fits": 123456789012345678}\n', b"{" + b"x" * 30 + b"\n", b"{" * 30]
    file = io.BytesIO(b"".join([*lines[:3], b"next\n", *lines[3:]]))
    read = [(1, lines[0]), (2, None), (3, lines[2]), (4, b"next\n"), (5, None), (6, lines[4])]
    assert list(dlq_file.numbered(file)) == read


def test_a_dead_letter_of_any_size_comes_back(dlq: Cli, tmp_path: Path) -> None:
    """What an export has written is put back, however large the bodies are that ingress was set to take."""
    body = '{"note":"' + '\\"' * (17 * 1024 * 1024) + '"}'  # each quote is four bytes in the line
    dlq.fill(lambda store: put_dead(store, "large", entry_id="1750000003000-0", fields={"raw": body}))
    file = tmp_path / "dead.jsonl"
    dlq.ok("dlq", "export", str(file))
    assert file.stat().st_size > 64 * 1024 * 1024
    dlq.ok("dlq", "purge", "large", "--yes")
    dlq.ok("dlq", "import", str(file), "--yes")
    (letter,) = [entry for entry in _entries(dlq) if entry[b"id"] == b"large"]
    assert letter[b"raw"] == body.encode()


def test_a_pipe_as_a_file(dlq: Cli, tmp_path: Path) -> None:
    """What can be read only once is copied, so that it can be looked at before it is imported."""
    lines = dlq.ok("dlq", "export").encode()
    dlq.ok("dlq", "purge", "*", "--yes")
    reading, feeding = os.pipe()
    os.write(feeding, lines)
    os.close(feeding)
    try:
        assert "imported 3 of 3" in dlq.ok("dlq", "import", f"/dev/fd/{reading}", "--yes")
    finally:
        os.close(reading)
