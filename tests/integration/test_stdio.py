"""Every command with standard input, output and error closed, full, broken or not read."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archiving import put_archived
from support.erp import erp_in_a_thread, erp_variables
from support.filling import (
    CUSTOMERS,
    put_breaker,
    put_dead,
    put_events,
    put_group,
    put_incident,
    put_limit,
    put_quarantined,
    put_schema,
    raw_of,
)
from support.forwarding import SECRET
from support.keyed import KeyedBench
from support.processes import System

import router
from router.cli.app import _COMMANDS, load
from router.store.client import Store
from workers.erp.fake import FakeErp

pytestmark = pytest.mark.real

EACH = """
import contextlib, json, os, sys
import redis.asyncio, rich.console, typer.rich_utils  # what takes long, once for all
from router.cli.app import _COMMANDS, load
for name in _COMMANDS:
    load(name)
from router.cli.main import main

def spoil(way):
    reader, writer = os.pipe()
    os.close(reader)
    for descriptor, how in way.items():
        if how == "closed":
            os.close(int(descriptor))
        else:
            target = writer if how == "broken" else os.open("/dev/full", os.O_RDWR)
            os.dup2(target, int(descriptor))
    os.close(writer)

def run(arguments, way):
    spoil(way)
    sys.argv = ["event-router", *arguments]
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    else:
        code = 0
    with contextlib.suppress(BaseException):
        sys.stderr.flush()
    sys.stdout.flush()  # as at the end of the interpreter; raises where that would say `Exception ignored`
    os._exit(code)

for line in sys.stdin:
    case = json.loads(line)
    said, saying = os.pipe()
    kept = os.dup(1)
    if not (child := os.fork()):
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        os.dup2(os.open("/dev/null", os.O_RDWR), 1)
        os.dup2(saying, 2)
        os.closerange(3, 256)
        try:
            run(case["arguments"], case["way"])
        except BaseException:
            import traceback
            os.write(2, traceback.format_exc().encode())
        os._exit(70)
    os.close(saying)
    with os.fdopen(said) as words:
        error = words.read()
    _, status = os.waitpid(child, 0)
    print(json.dumps({"code": os.waitstatus_to_exitcode(status), "error": error}), flush=True)
"""
"""Runs a command in a fork of itself for each line: starting the interpreter for each would take minutes."""

ARCHIVED = "publisher=visma-net-financial/type=customer_changed/day=2025-11-30/1764460800000-0_1764460800000-1.jsonl.gz"

RUNS = {
    "send": ("send", "visma-net-financial", "customer_changed", "--url", "http://127.0.0.1:1"),
    "init": ("init", "--yes", "--force"),
    "catalogue": ("catalogue",),
    "streams": ("streams",),
    "top": ("top", "--once", "--interval", "0.1"),
    "doctor": ("doctor",),
    "audit": ("audit",),
    "events list": ("events", "list"),
    "events show": ("events", "show", "e1"),
    "events capture": ("events", "capture", "e1"),
    "events tail": ("events", "tail", "--since", "1h", "--until", "0s"),
    "listen": ("listen", "--to", "{erp}", "--replay-last", "1", "--until", "0s"),
    "events replay": ("events", "replay", CUSTOMERS, "--to", "sync", "--since", "1h", "--yes"),
    "dlq list": ("dlq", "list"),
    "dlq stats": ("dlq", "stats"),
    "dlq show": ("dlq", "show", "e1"),
    "dlq replay": ("dlq", "replay", "e1", "--yes"),
    "dlq purge": ("dlq", "purge", "e2", "--yes"),
    "dlq export": ("dlq", "export", "-"),
    "dlq import": ("dlq", "import", "one.jsonl", "--dry-run"),
    "dlq watch": ("dlq", "watch", "--since", "2020-01-01", "--limit", "1"),
    "quarantine list": ("quarantine", "list"),
    "quarantine show": ("quarantine", "show", "{body}"),
    "quarantine capture": ("quarantine", "capture", "{body}"),
    "quarantine retry": ("quarantine", "retry", "{body}", "--yes"),
    "quarantine purge": ("quarantine", "purge", "{other}", "--yes"),
    "keys list": ("keys", "list", "sync"),
    "keys show": ("keys", "show", "sync", "/7/customer/1"),
    "keys release": ("keys", "release", "sync", "--yes"),
    "keys skip": ("keys", "skip", "sync", "/7/customer/2", "--yes"),
    "limits list": ("limits", "list"),
    "limits show": ("limits", "show", "crm"),
    "breakers list": ("breakers", "list"),
    "breakers show": ("breakers", "show", "crm"),
    "schema list": ("schema", "list"),
    "schema show": ("schema", "show", CUSTOMERS),
    "reconcile list": ("reconcile", "list"),
    "reconcile show": ("reconcile", "show", "customers"),
    "reconcile run": ("reconcile", "run", "customers"),
    "archive list": ("archive", "list"),
    "archive show": ("archive", "show", ARCHIVED),
    "archive verify": ("archive", "verify"),
    "archive off": ("archive", "off", "--yes"),
    "forward list": ("forward", "list"),
    "forward test": ("forward", "test", "crm"),
    "notify list": ("notify", "list"),
    "notify test": ("notify", "test", "ops"),
    "incidents list": ("incidents", "list"),
    "incidents mute": ("incidents", "mute", "silence", "visma-net-financial/7"),
    "incidents unmute": ("incidents", "unmute", "silence", "visma-net-financial/8"),
    "subscriptions list": ("subscriptions", "list"),
    "subscriptions pause": ("subscriptions", "pause", "sync"),
    "subscriptions resume": ("subscriptions", "resume", "sync"),
    "erase": ("erase", "--company", "7"),
    "export": ("export", "--company", "7"),
    "subscriptions remove": ("subscriptions", "remove", "other", "--yes"),
}
"""Each command so that it ends by itself and prints something."""

STAYING = {"up", "ingress", "worker", "console", "demo", "fake-erp"}
UNREACHABLE = {"send", "forward test"}
"""Those that find nobody there, which their code says in any case."""
WRITING = {"dlq export", "export", "events capture", "quarantine capture"}
"""Those that write what a file would hold: where it is not all there, they have failed."""

JSON = ["catalogue", "streams", "top", "doctor", "audit", "events list", "dlq list", "dlq stats", "quarantine list"]
JSON += ["keys list"]
DOCUMENTED = range(6)
LINE = '{"stream": "%s", "subscription": "sync", "entry_id": "7-0", "fields": {"id": "e7", "raw": "x"}}\n'


class Forks:
    """Runs commands in forks of one process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, *arguments: str, **way: str) -> tuple[int, str]:
        """Run a command with `closed`, `full` or `broken` descriptors; return its exit code and what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        names = {"stdin": 0, "stdout": 1, "stderr": 2}
        case = {"arguments": arguments, "way": {names[name]: how for name, how in way.items()}}
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        return found["code"], found["error"]


@pytest.fixture
def erp() -> Iterator[FakeErp]:
    """Yield an ERP that `reconcile run` asks."""
    with erp_in_a_thread() as found:
        yield found


@pytest.fixture
def environment(real_store: Store, server_url: str, tmp_path: Path, erp: FakeErp) -> dict[str, str]:
    """Return the environment in which commands find the store."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")},
        "PYTHONPATH": str(Path(router.__file__).parents[1]),
        "ROUTER_REDIS__URL": server_url,
        "ROUTER_REDIS__PREFIX": real_store.keys.prefix,
        "ROUTER_SECRETS__VISMA_NET_FINANCIAL": "secret",
        "ROUTER_DATA_DIR": str(tmp_path / "data"),
        "ROUTER_OPS__PORT": "0",
        "ROUTER_ARCHIVE__TO": (tmp_path / "archive").as_uri(),
        "ROUTER_RECONCILE__CUSTOMERS__PATH": "v1/customer",
        "ROUTER_RECONCILE__CUSTOMERS__COMPANIES": "t1/7",
        "ROUTER_RECONCILE__CUSTOMERS__WAIT": "0",
        "ROUTER_FORWARD__CRM__EVENTS": "*/customer_*",
        "ROUTER_FORWARD__CRM__URL": "http://127.0.0.1:1/",
        "ROUTER_FORWARD__CRM__SECRET": SECRET,
        "ROUTER_FORWARD__CRM__ALLOW_PRIVATE": "127.0.0.0/8",
        "ROUTER_NOTIFY__OPS__KIND": "slack",
        "ROUTER_NOTIFY__OPS__URL": "http://127.0.0.1:1/",
        "ROUTER_NOTIFY__OPS__ALLOW_PRIVATE": "127.0.0.0/8",
        **erp_variables(erp),
    }


@pytest.fixture
def forks(environment: dict[str, str], tmp_path: Path) -> Iterator[Forks]:
    """Yield what runs commands."""
    (tmp_path / "one.jsonl").write_text(LINE % CUSTOMERS)
    assert put_archived(tmp_path / "archive", "e1", "e2") == ARCHIVED
    command = [sys.executable, "-c", EACH]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Forks(process)
        finally:
            process.kill()


async def _fill(store: Store) -> dict[str, str]:
    await put_group(store, "sync")
    await put_group(store, "other")
    await put_events(store, "e1", "e2")
    await store.client.xreadgroup("sync", "worker", {store.keys.events(CUSTOMERS): ">"})
    for number in range(3):
        await put_dead(store, f"e{number}")
    await put_limit(store)
    await put_incident(store)
    await store.client.hset(store.keys.archived(CUSTOMERS), "position", "1-0")
    await put_schema(store)
    await put_breaker(store)
    keyed = KeyedBench(store)
    await keyed.bring("e3", "e4")
    await keyed.hold()
    await keyed.bring("e5", customer="2")
    return {"body": await put_quarantined(store, raw_of("e9")), "other": await put_quarantined(store, b"{")}


def _leaves() -> Iterator[str]:
    for name in _COMMANDS:
        commands = getattr(load(name), "commands", None)
        yield from (f"{name} {own}" for own in commands) if commands else (name,)


def test_every_command_is_here() -> None:
    """A command that is new is tried with every kind of broken output too."""
    assert set(_leaves()) == RUNS.keys() | STAYING


WAYS = [
    {"stdout": "full"},
    {"stdout": "closed"},
    {"stdout": "broken"},
    {"stdin": "closed"},
    {"stderr": "full"},
    {"stdout": "full", "stderr": "full"},
    {"stdin": "closed", "stdout": "closed"},
    {"stdin": "closed", "stderr": "closed"},
    {"stdout": "closed", "stderr": "closed"},
    {"stdin": "closed", "stdout": "closed", "stderr": "closed"},
]


QUICK_WAYS = ({"stdin": "closed", "stdout": "closed", "stderr": "closed"},)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            way,
            id="-".join(f"{name}-{how}" for name, how in way.items()),
            marks=[] if way in QUICK_WAYS else [pytest.mark.long],
        )
        for way in WAYS
    ],
)
async def test_every_command(real_store: Store, forks: Forks, erp: FakeErp, way: dict[str, str]) -> None:
    """No command ends with a traceback or a signal, blames the store or ends well where its output was not written."""
    names = {**await _fill(real_store), "erp": erp.base_url}
    for name, arguments in RUNS.items():
        code, said = forks.run(*(argument.format(**names) for argument in arguments), **way)
        seen = f"{name}: {code} {said}"
        assert code in DOCUMENTED, seen
        assert "Traceback" not in said, seen
        assert "Exception ignored" not in said, seen
        assert "the store" not in said, seen
        if way.get("stdout") in {"full", "closed"} and name not in UNREACHABLE:
            assert code == 1, seen
            own = [line for line in said.splitlines() if line.startswith("event-router: ")]  # the others are logged
            assert "stderr" in way or sum("standard output cannot be written" in line for line in own) == 1, seen
        elif way.get("stdout") == "broken" and name not in {*UNREACHABLE, "doctor", *WRITING}:
            assert code == 0, seen
            assert "standard output" not in said, seen


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("full", marks=pytest.mark.campaign),
        pytest.param("closed", marks=pytest.mark.campaign),
        pytest.param("broken", marks=pytest.mark.long),
    ],
)
def test_help(forks: Forks, how: str) -> None:
    """The help, which another library prints, ends as all other output does."""
    for name in ("", *_leaves()):
        code, said = forks.run(*name.split(), "--help", stdout=how)
        if how == "broken":
            assert (code, said) == (0, ""), name
        else:
            assert code == 1, name
            assert said.count("\n") == 1, said
            assert "standard output cannot be written" in said


async def test_json(real_store: Store, forks: Forks) -> None:
    """A list as JSON whose reader goes after its first line, as `head` does, has done what it should."""
    await _fill(real_store)
    for name in JSON:
        code, said = forks.run(*RUNS[name], "--json", stdout="broken")
        assert (code, said) == (0, "") or name == "doctor", name


def test_closed_input(forks: Forks) -> None:
    """A command that reads its standard input says that there is none, and how to give it one."""
    for line in ("dlq replay -", "dlq import -", "quarantine purge -", "send visma-net-financial --file -"):
        code, said = forks.run(*line.split(), stdin="closed")
        assert code == 2, line
        assert said.count("\n") == 1, said
        assert "standard input cannot be read" in said


def test_question_without_input(forks: Forks) -> None:
    """Where nobody can be asked, a command says what to do instead."""
    code, said = forks.run("subscriptions", "remove", "nobody", stdin="closed", stdout="closed")
    assert code in {2, 3}
    assert "Traceback" not in said


INTERPRETED = ["--help | head -1", "catalogue --json | head -1", "events list --json | head -1"]


@pytest.mark.long
@pytest.mark.parametrize("line", INTERPRETED)
def test_interpreter(environment: dict[str, str], tmp_path: Path, line: str) -> None:
    """Also the end of the interpreter, which writes what is left, is quiet."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m router.cli.main {line}"],
        cwd=tmp_path,
        env={**environment, "PYTHONUNBUFFERED": ""},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.long
@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
async def test_everything_runs_with_closed_descriptors(tmp_path: Path, closed: str) -> None:
    """`up` and all its processes start, work and end well whichever of the three descriptors are closed."""
    system = System(tmp_path, {"ROUTER_REDIS__URL": "embedded"})
    log = (tmp_path / "log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f'exec "$0" -m router.cli.main up {closed}', sys.executable),
        cwd=tmp_path,
        env=system.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    log.close()
    try:
        for port in (system.ops, system.ops + 1):
            await system.ready(port)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert "child_exited" not in (tmp_path / "log").read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()
