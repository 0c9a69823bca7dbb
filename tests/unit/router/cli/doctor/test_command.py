"""`doctor`: what can be wrong with an installation, and what to do about it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.cli import Cli, Terminal
from support.filling import put_breaker
from support.guarded import guarded_server
from support.ports import reserve
from support.servers import starting
from support.topologies import running_cluster, running_sentinels

import config
from config.settings import OpsSettings, RedisSettings, Settings
from router.cli.doctor.checks import (
    Ingress,
    SpooledFile,
    SpoolFolder,
    judge_conversation,
    judge_publishers,
    judge_spool,
    judge_spooling,
)
from router.cli.doctor.command import _print
from router.cli.doctor.probe import ask_ingresses, ask_workers, look_at_spool
from router.events.catalogue import Catalogue
from router.ingress.metrics import IngressMetrics
from router.intake.entry import Entry
from router.intake.entry import Waiting as Request
from router.intake.spool import Spool
from router.intake.spool_file import SpoolFile
from router.process.ops import OpsServer
from router.process.ops_ports import ops_ports
from router.store.client import connect
from router.store.health.judgement import Check
from router.store.keys import Keys

FINANCIAL = "visma-net-financial"
EVERYTHING = ("--user", "default", "on", "nopass", "~*", "&*", "+@all")
MIB = 1024 * 1024


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cli: Cli) -> Callable[..., dict[str, dict[str, str]]]:
    """Run `doctor` on the store of a URL, with a secret set; return its checks by name."""

    def examine(url: str, code: int = 0, **environment: str) -> dict[str, dict[str, str]]:
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ROUTER_REDIS__URL", url)
        monkeypatch.setenv("ROUTER_SECRETS__VISMA_NET_FINANCIAL", "x" * 16)
        monkeypatch.setenv("ROUTER_OPS__PORT", str(reserve()))  # on the usual one a system of this machine may run
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return {check["name"]: check for check in cli.json("doctor", code=code)["checks"]}

    return examine


def _publishers(catalogue: Catalogue, **values: Any) -> dict[str, tuple[str, str]]:
    settings = Settings(redis=RedisSettings(url="redis://x"), **values)
    checks = judge_publishers(settings, catalogue)
    return {check.name.removeprefix("publisher "): (check.state, check.detail) for check in checks}


def test_publishers(catalogue: Catalogue) -> None:
    """A publisher without a secret is refused everything: a failure only where nobody else may send."""
    assert {state for state, _ in _publishers(catalogue).values()} == {"failed"}
    found = _publishers(catalogue, secrets={FINANCIAL: ("a", "b")})
    assert found[FINANCIAL] == ("ok", "2 secrets")
    assert found["visma-net-journal-transaction"][0] == "warning"


def test_unsigned_is_loud(catalogue: Catalogue) -> None:
    """A publisher that may send unsigned is never ok, even with a secret."""
    state, detail = _publishers(catalogue, secrets={FINANCIAL: ("a",)}, allow_unsigned=(FINANCIAL,))[FINANCIAL]
    assert state == "warning"
    assert "ALLOWS UNSIGNED" in detail


# What talking to a server tells


def _state(*found: Any) -> dict[str, str]:
    return {check.name: check.state for check in judge_conversation(*found)}


def test_a_good_conversation() -> None:
    """A server that is near, keeps the time and says who we are is fine."""
    assert _state("", 0.05, 5.0, "me") == {"round trip": "ok", "clock": "ok", "user": "ok"}


def test_what_may_not_be_asked() -> None:
    """What the user may not ask the server is told as such, with the command to allow, and not left out."""
    checks = {check.name: check for check in judge_conversation("h:1", 0.001)}
    assert list(checks) == ["round trip of h:1", "clock of h:1", "user of h:1"]
    for name, command in (("clock of h:1", "TIME"), ("user of h:1", "ACL WHOAMI")):
        assert (checks[name].state, checks[name].detail) == ("warning", "not allowed to look")
        assert checks[name].advice == f"allow the user of redis.url the command {command}"


def test_a_slow_server() -> None:
    """A round trip of more than 50 ms is warned of."""
    assert _state("", 0.051)["round trip"] == "warning"


@pytest.mark.parametrize(("ahead", "words"), [(5.1, "5 s ahead of"), (-90.0, "90 s behind")])
def test_clocks_that_differ(ahead: float, words: str) -> None:
    """Clocks more than 5 s apart are warned of, with what that affects and what not."""
    clock = {check.name: check for check in judge_conversation("", 0.001, ahead)}["clock"]
    assert clock.state == "warning"
    assert words in clock.detail
    assert "received_at" in clock.detail
    assert "retries" in clock.detail


# The spool


def _spool(most: int = 100 * MIB, **found: Any) -> dict[str, str]:
    folder = SpoolFolder(**{"folder": Path("data/spool"), "writable": True, "free": 200 * MIB, **found})
    return {check.name: check.state for check in judge_spool(folder, most)}


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ({}, "ok"),
        ({"free": 99 * MIB}, "warning"),
        ({"free": 99 * MIB, "taken": 1 * MIB}, "ok"),
        ({"writable": False}, "failed"),
        ({"writable": False, "most": 0}, "ok"),
    ],
)
def test_room_for_the_spool(found: dict[str, Any], state: str) -> None:
    """The folder must be writable, and the disk have room for what the spool may take, unless there is none."""
    assert _spool(**found) == {"spool": state}


def test_what_was_left_over() -> None:
    """Each file that waits for an ingress is told with its size, and how its events get into the store."""
    files = (SpooledFile(Path("data/spool/0.db"), 8192, 3), SpooledFile(Path("data/spool/1.db"), 10, None))
    folder = SpoolFolder(Path("data/spool"), writable=True, free=200 * MIB, waiting=files)
    _, first, second = judge_spool(folder, 1)
    assert (first.name, first.state) == ("spool file 0.db", "warning")
    assert "3 events, 8 KiB" in first.detail
    assert "data_dir = data" in first.advice
    assert (second.name, second.state) == ("spool file 1.db", "warning")
    assert "cannot be read" in second.detail


def test_what_running_ingresses_spool() -> None:
    """An ingress that spools is warned of with how much, and since when; one that does not is fine."""
    held = [SpooledFile(Path("data/spool/0.db"), 8192), SpooledFile(Path("data/spool/1.db"), 4096)]
    found = [Ingress("host-1", events=3, size=2048, age=130.0), Ingress("host-2", events=0), Ingress("host-3")]
    first, second, *files = judge_spooling(held, found)
    assert (first.name, first.state) == ("spool of host-1", "warning")
    assert first.detail.startswith("3 events, 2 KiB, for 2m (since 2")
    assert (second.name, second.state, second.detail) == ("spool of host-2", "ok", "nothing waits")
    assert [(file.name, file.state) for file in files] == [("spool file 0.db", "ok"), ("spool file 1.db", "ok")]
    assert files[0].detail == "in use by a running ingress, 8 KiB on disk"


def test_a_spool_that_nobody_tells_of() -> None:
    """A file in use whose ingress was not found is shown with what is known, and where the rest can be read."""
    (file,) = judge_spooling([SpooledFile(Path("data/spool/0.db"), 8192)], [])
    assert file.state == "ok"
    assert "8 KiB on disk; event_router_spool_entries" in file.detail


@pytest.mark.parametrize(("role", "names"), [("ingress", ["host 1"]), ("worker", [])])
async def test_running_ingresses_are_asked(tmp_path: Path, role: str, names: list[str]) -> None:
    """Who answers as an ingress on one of the ports is asked for its spool; a worker or a stranger there is not."""
    registry = CollectorRegistry()
    spool = Spool.open(tmp_path, max_bytes=MIB)
    IngressMetrics(registry).watch(spool)
    spool.put(Request([_entry("a")], asyncio.get_running_loop().create_future()))
    ops = OpsServer(OpsSettings(port=0), dict, registry, role=role, name="host 1")  # type: ignore[arg-type]
    port = await ops.start()
    try:
        found = await ask_ingresses(Settings(ops=OpsSettings(port=port)))
        assert [(ingress.name, ingress.events, ingress.size > 0) for ingress in found] == [
            (name, 1, True) for name in names
        ]
    finally:
        await ops.stop()
        await spool.close()


@pytest.mark.parametrize(("role", "number"), [("ingress", 0), ("worker", 1)])
async def test_running_workers_are_asked(monkeypatch: pytest.MonkeyPatch, role: str, number: int) -> None:
    """What workers warn of about a subscription `doctor` warns of, once; what they say of the store it does not."""

    async def readiness() -> dict[str, bool | str]:
        return {"sync": True, "store": True}

    text = "4 unfinished on streams that its events leave out (p/t 4): let its events name them again"
    warnings = {"sync": text, "memory": "no limit"}
    ops = OpsServer(
        *(OpsSettings(port=0), readiness, CollectorRegistry()),
        role=role,
        name="host 1",
        warnings=lambda: warnings,  # type: ignore[arg-type]
    )
    monkeypatch.setattr("router.cli.doctor.probe.ops_ports", lambda settings: 2 * [*ops_ports(settings)])
    port = await ops.start()
    try:
        checks = await ask_workers(Settings(ops=OpsSettings(port=port)))
        assert [(check.name, check.state, check.advice) for check in checks] == [
            ("subscription sync", "warning", "let its events name them again")
        ] * number
    finally:
        await ops.stop()


async def test_nobody_to_ask() -> None:
    """Where nothing listens, or the system chose the ports, nobody is asked, and that is no error."""
    for port in (0, reserve(), 65_535):
        assert await ask_ingresses(Settings(ops=OpsSettings(port=port))) == []
        assert await ask_workers(Settings(ops=OpsSettings(port=port))) == []


def _entry(id_: str) -> Entry:
    return Entry("er:{p/t}:events", f"er:{{p/t}}:seen:{id_}", ("id", id_, "raw", b"{}"), 2)


def _fill(file: SpoolFile, *ids: str) -> None:
    file.add([_entry(id_) for id_ in ids])


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A spool that was never used is looked for without making anything."""
    found = look_at_spool(tmp_path / "data" / "spool")
    assert (found.writable, found.taken, found.waiting) == (True, 0, [])
    assert found.free > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    """Where a file has the folder's name, or that of one above it, nothing can be spooled."""
    (tmp_path / "data").write_text("")
    assert not look_at_spool(tmp_path / "data" / "spool").writable


def test_files_of_the_spool(tmp_path: Path) -> None:
    """What waits is counted; a file in use, an empty one and a new one are no left-overs; nothing is changed by it."""
    held, left, empty = (SpoolFile.claim(tmp_path) for _ in range(3))
    _fill(held, "a")
    _fill(left, "b", "c")
    left.close()
    empty.close()
    (tmp_path / "8.db").touch()
    (tmp_path / "9.db").write_bytes(b"no database" * 1000)
    for _ in range(2):
        found = look_at_spool(tmp_path)
        assert [(w.file.name, w.events) for w in found.waiting] == [("1.db", 2), ("9.db", None)]
        assert [file.file.name for file in found.held] == ["0.db"]
        assert found.held[0].size >= 4096
        assert found.waiting[0].size >= 4096
        assert found.taken >= found.waiting[0].size + found.waiting[1].size
    held.close()
    again = SpoolFile(tmp_path / "1.db")
    assert len(again.oldest(10)) == 2
    again.close()


# The command


def test_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is well: exit code 0; every check is told, as a table or as an object."""
    monkeypatch.setenv("ROUTER_SECRETS__VISMA_NET_FINANCIAL", "x")
    report = cli.json("doctor")
    assert report["ok"] is True
    assert [check["name"] for check in report["checks"]][:2] == ["settings", "catalogue"]
    assert {"name", "state", "detail", "advice"} == set(report["checks"][0])
    assert "OK" in cli.ok("doctor")


@pytest.mark.real
def test_a_real_server(real: Any) -> None:
    """On a server that is set up well nothing fails, and everything about it was looked at."""
    with starting("--maxmemory", "100mb") as server:
        checks = real(server.url)
        assert list(checks)[5:] == [
            *("operations port", "spool", "store", "server version", "server role", "eviction policy"),
            *("append-only file", "memory", "durability", "round trip", "clock", "user"),
            *("script", "group", "blocking read"),
        ]
        assert checks["user"]["detail"] == "default"
        assert checks["clock"]["state"] == "ok"
        assert {checks[name]["state"] for name in list(checks)[6:]} <= {"ok", "warning"}


@pytest.mark.real
def test_an_unsafe_server(real: Any) -> None:
    """Every fault of a server is found at once, with what to do; the exit code says that there are some."""
    with starting("--appendonly", "no", "--maxmemory-policy", "allkeys-lru") as server:
        checks = real(server.url, 1, ROUTER_INGRESS__DURABILITY="fsynced")
        bad = {name for name, check in checks.items() if check["state"] == "failed"}
        assert bad == {"eviction policy", "append-only file", "durability"}
        assert checks["memory"]["state"] == "warning"
        allowed = real(server.url, 1, ROUTER_REDIS__ALLOW_EVICTION="true", ROUTER_INGRESS__DURABILITY="replicated:2")
        assert allowed["eviction policy"]["state"] == "warning"
        assert "0 connected" in allowed["durability"]["detail"]


@pytest.mark.real
def test_a_user_with_few_rights(real: Any) -> None:
    """A user that may do little gets what it may see: who it is, that INFO is missing, and that it can do no work."""
    with starting() as server:
        server.ask("ACL", "SETUSER", "few", "on", ">pw", "+ping", "+acl|whoami")
        checks = real(server.url.replace("://", "://few:pw@"), 1)
        assert checks["user"]["detail"] == "few"
        assert checks["server settings"]["state"] == "warning"
        assert checks["clock"]["detail"] == "not allowed to look"
        assert checks["commands"]["state"] == "failed"
        assert "EVALSHA" in checks["commands"]["detail"]


@pytest.mark.real
@pytest.mark.parametrize(
    ("options", "failing"),
    [
        ((*EVERYTHING, "-evalsha"), "script"),
        (("--rename-command", "EVAL", ""), "script"),
        ((*EVERYTHING, "-xgroup"), "group"),
        ((*EVERYTHING, "-xreadgroup"), "blocking read"),
        (("--rename-command", "XREADGROUP", ""), "blocking read"),
    ],
)
def test_what_cannot_be_done_fails(real: Any, options: tuple[str, ...], failing: str) -> None:
    """A script, a group and a blocking read are tried for real: the first that is refused fails, with what to allow."""
    with starting(*options) as server:
        checks = real(server.url, 1)
        assert (checks[failing]["state"], "ACL" in checks[failing]["advice"]) == ("failed", True)
        assert server.ask("DBSIZE") == 0


@pytest.mark.real
@pytest.mark.parametrize("user", ["er-ingress", "er-worker"])
async def test_a_user_made_for_one_role(real: Any, tmp_path: Path, user: str) -> None:
    """Who may not remove what a trial leaves is only asked what he may do, and leaves nothing."""
    async with guarded_server(tmp_path) as server:
        checks = await asyncio.to_thread(real, server.url(user))
        assert checks["commands"]["detail"].endswith(f"it may run {user.removeprefix('er-')}")
        assert server.ask("DBSIZE") == 0


@pytest.mark.parametrize(
    "url", [pytest.param("server_url", marks=pytest.mark.real), pytest.param("cluster_url", marks=pytest.mark.cluster)]
)
def test_what_is_tried_is_removed(real: Any, request: pytest.FixtureRequest, url: str) -> None:
    """What takes place is said, on one server and on a Cluster, and no key is left of it."""
    checks = real(request.getfixturevalue(url))
    for name in ("script", "group", "blocking read"):
        assert checks[name]["state"] == "ok"

    async def left() -> list[bytes]:
        store = connect(request.getfixturevalue(url), Keys("er"))
        try:
            return [key async for key in store.client.scan_iter(match="er:{doctor:*")]
        finally:
            await store.aclose()

    assert asyncio.run(left()) == []


@pytest.mark.cluster
def test_cluster(real: Any, cluster_url: str) -> None:
    """Every master of a Cluster is judged, each check with the name of the server it is about."""
    checks = real(cluster_url)
    servers = {name.removeprefix("append-only file of ") for name in checks if name.startswith("append-only file")}
    assert len(servers) == 3
    assert f"127.0.0.1:{cluster_url.rpartition(':')[2]}" in servers
    for server in servers:
        assert checks[f"append-only file of {server}"]["state"] == "ok"
        assert {f"round trip of {server}", f"clock of {server}", f"user of {server}"} <= set(checks)


@pytest.mark.cluster
def test_a_cluster_that_lacks_a_server(real: Any) -> None:
    """A server that does not answer is named; the others are judged all the same."""
    with running_cluster(replicas=0, node_timeout=30) as cluster:
        *_, gone = cluster.servers
        gone.kill()
        checks = real(cluster.url, 1)
        assert checks[f"server 127.0.0.1:{gone.port}"]["state"] == "failed"
        assert sum(name.startswith("append-only file of") for name in checks) == 2


@pytest.mark.real
def test_sentinel(real: Any) -> None:
    """Behind Sentinel it is the present master that is judged, with the replicas it has."""
    with running_sentinels("--maxmemory", "100mb") as sentinels:
        checks = real(sentinels.url, ROUTER_INGRESS__DURABILITY="replicated:2")
        assert checks["server role"]["detail"] == "master"
        assert checks["durability"]["state"] == "ok"
        assert real(sentinels.url, 1, ROUTER_INGRESS__DURABILITY="replicated:3")["durability"]["state"] == "failed"


def test_no_data(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without data is a failed check that names it in full; it is not made."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    checks = {check["name"]: check for check in cli.json("doctor", code=1)["checks"]}
    assert checks["settings"]["detail"].endswith(f"data in {tmp_path}/data")
    assert (checks["store"]["state"], checks["store"]["detail"]) == ("failed", f"no data in {tmp_path}/data")
    assert "event-router up" in checks["store"]["advice"]
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal what was found and what to do about it are read as one text, in the terminal's width."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    _print([Check("a", "ok", "fine"), Check("memory", "warning", "is " + "very " * 12 + "full", "buy some")])
    lines = terminal.getvalue().splitlines()
    assert lines[2] == "OK       a: fine"
    assert lines[3].startswith("WARNING  memory: is very")
    assert lines[-1].endswith("full \N{RIGHTWARDS ARROW} buy some")
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("ROUTER_LOG__LEVEL", "loud", "settings"),
        ("ROUTER_PUBLISHERS_DIR", "nowhere", "catalogue"),
        ("ROUTER_REDIS__URL", "redis://:hidden@127.0.0.1:1", "store"),
    ],
)
def test_what_is_wrong(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, name: str
) -> None:
    """A fault ends with exit code 1; it is said where, and what to do, and no secret is shown."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    result = cli.run("doctor", "--json")
    assert result.exit_code == 1
    assert f'"name": "{name}"' in result.stdout
    assert "hidden" not in result.output


def test_breakers(real: Callable[..., dict[str, dict[str, str]]]) -> None:
    """A target of handlers that is down is warned of, with why and since when; one that is up is fine."""
    with starting() as server:

        async def fill() -> None:
            store = connect(server.url, Keys())
            try:
                await put_breaker(store, "crm")
                await put_breaker(store, "erp")
                await store.client.hset(store.keys.breaker("erp"), "opened", "0")
            finally:
                await store.aclose()

        asyncio.run(fill())
        checks = real(server.url)
    assert checks["breaker crm"]["state"] == "warning"
    assert "status 503" in checks["breaker crm"]["detail"]
    assert checks["breaker erp"]["state"] == "ok"


def test_which_settings_are_read(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that was read is named, and one beside it that is passed over and sets something, or cannot be read."""
    packaged = Path(config.__file__).with_name("router.toml").read_text()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "router.toml").touch()

    def judged() -> dict[str, str]:
        output = cli.run("doctor", "--json").output
        checks: list[dict[str, str]] = json.loads(output[output.index("{") :])["checks"]
        return next(check for check in checks if check["name"] == "settings")

    one = judged()
    assert (one["state"], one["detail"].partition(",")[0]) == ("ok", "read from config/router.toml")
    (tmp_path / "router.toml").touch()
    assert judged()["state"] == "ok"
    (tmp_path / "config" / "router.toml").write_text(packaged)
    assert judged()["state"] == "ok"
    (tmp_path / "config" / "router.toml").write_text("[redis]\nprefix =")
    assert judged()["state"] == "warning"
    (tmp_path / "config" / "router.toml").write_text("[redis]\nprefix = 'er'")
    both = judged()
    assert (both["state"], both["detail"].partition(",")[0]) == ("warning", "read from router.toml")
    assert "config/router.toml is there, too, and is not read" in both["detail"]
