"""The files of an operator that are no regular ones, or too large: said at once, and never waited for."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import ConfigError
from config.files import LARGEST, read_regular
from config.publishers import load_publishers
from config.settings import Settings
from config.sources import load_settings
from router.ingress.signing_secrets import kept_secret, secrets_of
from router.process.reload import Reload
from router.store.tls import check_certificates

SLUG = "visma-net-financial"


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _directory(path: Path) -> None:
    path.mkdir()


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (_pipe, "a named pipe"),
    "device": (_device, "a device"),
    "directory": (_directory, "(?i)is a directory"),
    "huge": (_huge, "larger than"),
}


def _settings_file(path: Path) -> None:
    load_settings(path, {})


def _secret(path: Path) -> None:
    load_settings(None, {"ROUTER_SECRETS__VISMA_NET_FINANCIAL_FILE": str(path)})


def _token(path: Path) -> None:
    load_settings(None, {"ROUTER_OPS__TOKEN_FILE": str(path)})


def _url(path: Path) -> None:
    load_settings(None, {"ROUTER_REDIS__URL_FILE": str(path)})


def _publisher(path: Path) -> None:
    path.rename(path.with_name("mine.toml"))
    load_publishers(path.parent)


def _generated(path: Path) -> None:
    (path.parent / "secrets").mkdir()
    path.rename(path.parent / "secrets" / SLUG)
    secrets_of(Settings(data_dir=path.parent), SLUG)


READERS = {
    "settings": _settings_file,
    "secret": _secret,
    "token": _token,
    "url": _url,
    "publisher": _publisher,
    "generated secret": _generated,
    "console token": kept_secret,
}


def within(work: Callable[[], Any]) -> BaseException | None:
    """Do something in a thread; return how it ended, and fail where it has not."""
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            ended.append(error)
        else:
            ended.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert ended, "it waits"
    return ended[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path, reader: str, kind: str) -> None:
    """Whatever else there is in place of a file is an error that says what it is, at once."""
    make, words = KINDS[kind]
    path = tmp_path / "file"
    make(path)
    error = within(lambda: READERS[reader](path))  # type: ignore[no-any-return]
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=words):
        raise error


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket in place of a file is an error too."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("file")
        with pytest.raises(ConfigError, match="cannot be read"):
            _settings_file(Path("file"))


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
@pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
def test_files_of_encryption(tmp_path: Path, option: str, kind: str) -> None:
    """OpenSSL would wait for the writer of a pipe: certificates are regular files as well."""
    make, words = KINDS[kind]
    make(tmp_path / "file")
    error = within(lambda: check_certificates({option: str(tmp_path / "file")}))
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=words):
        raise error


def test_what_a_link_leads_to_is_read(tmp_path: Path) -> None:
    """Container platforms mount secrets as links to files."""
    (tmp_path / "real").write_bytes(b"secret\n")
    (tmp_path / "link").symlink_to("real")
    assert read_regular(tmp_path / "link") == b"secret\n"


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """Yield what lets a read that hangs go on."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_reload_that_hangs(hanging: threading.Event) -> None:
    """Files of a network that is away are given up after a while, and later reloads are heard and say why they wait."""
    hangs = True

    def read() -> Settings:
        if hangs:
            hanging.wait(60)
        return Settings()

    applied: list[Settings] = []
    reload = Reload(Settings(), lambda settings, _: applied.append(settings), read=read, patience=0.05)
    with capture_logs() as logged:
        assert not await reload.once()
        assert not await reload.once()
    assert "within 0.05 s" in logged[0]["reason"]
    assert "an earlier reload" in logged[1]["reason"]
    hangs = False
    hanging.set()
    assert reload._looking is not None
    await asyncio.wait([reload._looking], timeout=20)
    reload._patience = 20
    assert await reload.once()
    assert len(applied) == 1
