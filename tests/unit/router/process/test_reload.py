"""What a reload takes over, what it keeps, and what it says."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from support.forwarding import SECRET
from support.waiting import eventually

from config.errors import ConfigError
from config.forward import ForwardSettings
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.ingress.reload import IngressReload
from router.ingress.signing_secrets import make_secrets, secrets_of
from router.process.reload import Reload
from router.process.signals import expect_reload, install_reload
from router.process.supervisor import ChildSpec
from router.tasks.ending import end
from router.up import UpReload

SLUG = "visma-net-financial"


class Applied:
    """Takes over what is handed to it, and keeps it for the test."""

    def __init__(self) -> None:
        self.seen: list[tuple[Settings, Catalogue]] = []
        self.error: Exception | None = None

    def __call__(self, settings: Settings, catalogue: Catalogue) -> None:
        """Take it over."""
        if self.error is not None:
            raise self.error
        self.seen.append((settings, catalogue))

    @property
    def last(self) -> Settings:
        """The settings taken over last."""
        return self.seen[-1][0]


def settings(**values: Any) -> Settings:
    """Return settings of a server that is not the embedded one."""
    return Settings(**{"redis": {"url": "redis://x"}, **values})


async def test_only_what_may_change_is_taken_over() -> None:
    """Secrets, networks and rates are; ports and the store stay what the process runs with, and are named."""
    applied = Applied()
    found = settings(
        redis={"url": "redis://other"},
        secrets={SLUG: "new"},
        ingress={"allow": "10.0.0.0/8", "rate_limit": 5, "port": 1234, "max_body": 10},
        data_dir="elsewhere",
    )
    with capture_logs() as logged:
        assert await Reload(settings(secrets={SLUG: "old"}), applied, read=lambda: found).once()
    assert applied.last.secrets_for(SLUG) == (b"new",)
    assert (applied.last.ingress.rate_limit, str(applied.last.ingress.allow[0])) == (5, "10.0.0.0/8")
    assert (applied.last.redis.url, applied.last.ingress.port) == ("redis://x", 8080)
    (line,) = logged
    assert line["event"] == "reloaded"
    assert line["not_until_restart"] == ["redis.url", "ingress.port", "ingress.max_body", "data_dir"]
    assert "new" not in str(line)


@pytest.mark.parametrize("error", [ConfigError("the file is gone"), PermissionError("no"), RuntimeError("what")])
async def test_whatever_is_wrong_keeps_what_was(error: Exception) -> None:
    """No error of reading or taking over ends the process or takes over a part; the next reload may go well."""
    applied = Applied()
    reads: Iterator[Settings | Exception] = iter([error, settings(secrets={SLUG: "new"})])

    def read() -> Settings:
        found = next(reads)
        if isinstance(found, Exception):
            raise found
        return found

    reload = Reload(settings(), applied, read=read)
    with capture_logs() as logged:
        assert not await reload.once()
    assert applied.seen == []
    assert [line["log_level"] for line in logged] == ["error"]
    assert "kept" in logged[0]
    applied.error = error
    reads = iter([settings(), settings()])
    assert not await reload.once()
    applied.error = None
    assert await reload.once()


async def test_an_unknown_publisher_is_refused() -> None:
    """A slip of the pen in a new secret's name changes nothing, as it would have at the start."""
    applied = Applied()
    assert not await Reload(settings(), applied, read=lambda: settings(secrets={"visma-net": "x"})).once()
    assert applied.seen == []


async def test_wishes_during_a_reload_are_one_more(catalogue: Catalogue) -> None:
    """A signal that comes while settings are read is not lost: they are read again, once."""
    wanted, applied, outcomes = asyncio.Event(), Applied(), list[bool]()
    loop = asyncio.get_running_loop()

    def read() -> Settings:
        if not outcomes:
            loop.call_soon_threadsafe(wanted.set)
            loop.call_soon_threadsafe(wanted.set)
        return settings()

    running = asyncio.create_task(Reload(settings(), applied, read=read, done=outcomes.append).run(wanted))
    wanted.set()
    await eventually(lambda: len(outcomes) == 2)
    await end([running])
    assert outcomes == [True, True]


class Taking:
    """Stands for an ingress."""

    def __init__(self) -> None:
        self.reloads = 0

    def reload(self, _settings: Settings, _catalogue: Catalogue) -> None:
        """Count."""
        self.reloads += 1


def figures(registry: CollectorRegistry, name: str) -> Mapping[str, float]:
    """Return a gauge by publisher."""
    return {
        sample.labels.get("publisher", ""): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == name
    }


def test_metrics_tell_how_many_secrets_there_are(catalogue: Catalogue) -> None:
    """Each publisher has a figure, 0 where everything is refused; one that left the catalogue has none."""
    registry, ingress = CollectorRegistry(), Taking()
    before = settings(secrets={SLUG: "a,b"})
    ingress_reload = IngressReload(ingress, before, catalogue, registry)  # type: ignore[arg-type]
    assert figures(registry, "event_router_secrets")[SLUG] == 2
    only = Catalogue.of([catalogue.publishers[SLUG]])
    with capture_logs() as logged:
        ingress_reload.apply(settings(), only)
    assert figures(registry, "event_router_secrets") == {SLUG: 0}
    assert [line["event"] for line in logged] == ["no_secret"]
    assert ingress.reloads == 1
    assert figures(registry, "event_router_settings_read_timestamp_seconds")[""] > 1e9


def test_a_generated_secret_that_is_gone_is_kept(catalogue: Catalogue, tmp_path: Path) -> None:
    """Where the embedded server's secret was deleted, a reload keeps it; a configured one may be removed."""
    embedded = Settings(data_dir=tmp_path)
    files = make_secrets(embedded, [SLUG])
    ingress = Taking()
    ingress_reload = IngressReload(ingress, embedded, catalogue, CollectorRegistry())  # type: ignore[arg-type]
    content = files[0].read_text()
    for gone in (files[0].unlink, lambda: files[0].write_text("")):
        gone()
        with pytest.raises(ConfigError, match=f"secret of {SLUG} is gone"):
            ingress_reload.apply(embedded, catalogue)
    files[0].write_text(content)
    ingress_reload.apply(embedded, catalogue)
    assert ingress.reloads == 1
    configured = Settings(data_dir=tmp_path / "other", secrets={SLUG: "x"})
    ingress_reload.apply(configured, catalogue)
    ingress_reload.apply(configured.model_copy(update={"secrets": {}}), catalogue)
    assert ingress.reloads == 3


def test_who_may_send_by_the_settings(catalogue: Catalogue, tmp_path: Path) -> None:
    """Publishers whose secret somebody has set, or that may send unsigned; a generated secret does not count."""
    first, second, *_ = catalogue.publishers
    embedded = Settings(data_dir=tmp_path)
    make_secrets(embedded, catalogue.publishers)
    ingress_reload = IngressReload(Taking(), embedded, catalogue, CollectorRegistry())  # type: ignore[arg-type]
    assert ingress_reload.ready() == []
    ingress_reload.apply(Settings(data_dir=tmp_path, secrets={first: "x"}, allow_unsigned=[second]), catalogue)
    assert ingress_reload.ready() == [first, second]


class Children:
    """Stands for a supervisor of two ingresses, a worker, a console and the forwards."""

    NAMES = ("ingress-1", "ingress-2", "worker", "console", "forward")

    def __init__(self) -> None:
        self.sent: list[tuple[signal.Signals, list[str]]] = []
        self.added: list[str] = []

    def add(self, child: ChildSpec) -> None:
        """Note who would be started."""
        self.added.append(child.name)

    def send(self, number: signal.Signals, wanted: Callable[[str], bool]) -> None:
        """Note who would get which signal."""
        self.sent.append((number, [name for name in self.NAMES if wanted(name)]))


def test_a_parent_hands_on(catalogue: Catalogue, tmp_path: Path) -> None:
    """All but the console read again; those that read publishers at start begin again only where these changed."""
    children = Children()
    up_reload = UpReload(children, catalogue)  # type: ignore[arg-type]
    embedded = Settings(data_dir=tmp_path)
    up_reload(embedded, catalogue)
    assert children.sent == [(signal.SIGHUP, ["ingress-1", "ingress-2", "worker", "forward"])]
    fewer = Catalogue.of(list(catalogue.publishers.values())[:1])
    up_reload(embedded, fewer)
    assert children.sent[1:] == [
        (signal.SIGHUP, ["ingress-1", "ingress-2"]),
        (signal.SIGTERM, ["worker", "console", "forward"]),
    ]
    up_reload(embedded, catalogue)
    new = set(catalogue.publishers) - set(fewer.publishers)
    assert {slug for slug in catalogue.publishers if secrets_of(embedded, slug)} == new


@pytest.mark.parametrize(("forwards", "added"), [(True, ["forward"]), (False, [])])
def test_the_first_forward_starts_their_process(
    catalogue: Catalogue, tmp_path: Path, *, forwards: bool, added: list[str]
) -> None:
    """`up` starts the process of the forwards once the settings have one; `ingress --processes` never does."""
    children = Children()
    up_reload = UpReload(children, catalogue, forwards=forwards)  # type: ignore[arg-type]
    up_reload(Settings(data_dir=tmp_path), catalogue)
    assert children.added == []
    one = ForwardSettings(name="crm", events=("*",), url="https://crm.example/", secrets=(SECRET,))
    up_reload(Settings(data_dir=tmp_path, forward=(one,)), catalogue)
    assert children.added == added


async def test_the_signal_reloads(signals_put_back: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGHUP calls what was installed, as often as it comes; one that came while files were read is not lost."""
    monkeypatch.setattr(os, "isatty", lambda _descriptor: True)
    expect_reload()
    os.kill(os.getpid(), signal.SIGHUP)
    calls, stop = list[int](), asyncio.Event()
    install_reload(lambda: calls.append(1), stop)
    await eventually(lambda: len(calls) == 1)
    for number in (2, 3):
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda wanted=number: len(calls) == wanted)
    assert not stop.is_set()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)


async def test_a_terminal_that_is_gone_stops(signals_put_back: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes the terminal that a process runs on wants it to end, not to reload."""
    there = [True]
    monkeypatch.setattr(os, "isatty", lambda _descriptor: there[0])
    calls, stop = list[int](), asyncio.Event()
    install_reload(lambda: calls.append(1), stop)
    there[0] = False
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.wait_for(stop.wait(), 30)
    assert calls == []
    asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
