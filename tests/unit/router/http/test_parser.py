"""Which versions of aiohttp ingress runs on, and what it says to the others: `router/http/parser.py`."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.http import HttpRequestParser

from router.http.parser import OLDEST, ParserUnusable, check, request_parser

ROOT = Path(__file__).parents[4]


class Otherwise:
    """A parser as another version of aiohttp could have it: one method is another, of the same name."""

    def __init__(self, parser: HttpRequestParser, feed: Callable[[HttpRequestParser, bytes], Any]) -> None:
        self._parser = parser
        self._feed = feed

    def feed_data(self, data: bytes) -> Any:
        """Feed it in that other way."""
        return self._feed(self._parser, data)


def made_with(**options: Any) -> Any:
    """Return what makes parsers with these options in place of ours."""
    return lambda protocol, loop: HttpRequestParser(
        protocol, loop, 1 << 16, **{"auto_decompress": False, "max_msg_queue_size": 1, **options}
    )


def fed(feed: Callable[[HttpRequestParser, bytes], Any]) -> Any:
    """Return what makes parsers that are fed in another way."""
    return lambda protocol, loop: Otherwise(request_parser(protocol, loop), feed)


def late(parser: HttpRequestParser, data: bytes) -> Any:
    """Report a bad request by what it returns."""
    try:
        return parser.feed_data(data)
    except Exception:  # noqa: BLE001
        return (), False, b""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (made_with(max_msg_queue_size=0), "ValueError"),  # both requests come at once
        (made_with(auto_decompress=True), "ContentEncodingError"),
        (made_with(gone=1), "unexpected keyword argument 'gone'"),
        (fed(lambda parser, data: parser.feed_data(data)[:2]), "ValueError"),
        (fed(lambda parser, data: parser.feed_data(data.upper())), "no longer stops behind each request"),
        (fed(lambda parser, data: parser.feed_data(data.replace(b"X-A: 5", b"X-A: 6"))), "no longer stops"),
        (fed(late), "no longer names what is no http"),
        (lambda protocol, loop: object(), "no attribute 'feed_data'"),
    ],
)
def test_a_parser_that_does_otherwise_is_found_out(make: Any, words: str) -> None:
    """Not only names count: a parser that takes or returns something else, or does something else, is refused."""
    with pytest.raises(ParserUnusable) as refused:
        check(make)
    assert words in str(refused.value)


def test_the_parser_that_is_installed_will_do() -> None:
    """The check takes what works."""
    check()


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ("3.13.5", f"pip install 'aiohttp>={OLDEST}'"),
        ("3.14.0", f"pip install 'aiohttp>={OLDEST}'"),
        ("3.99.0", f"pip install 'aiohttp>={OLDEST},<3.99.0'"),
        ("4.0.0a1", f"pip install 'aiohttp>={OLDEST},<4.0.0a1'"),
    ],
)
def test_the_message_says_what_is_there_and_what_to_install(version: str, advice: str) -> None:
    """One sentence names the version found and what to install: newer than what is too old, older than what is new."""
    message = str(ParserUnusable("it has changed", version))
    assert message.startswith(f"aiohttp {version} is installed")
    assert message.endswith(advice)


def test_the_oldest_version_is_the_one_of_the_package() -> None:
    """The bound that pip sees is the bound that the message names."""
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"aiohttp>={OLDEST}" in needed


OTHER = """
import sys
import aiohttp, aiohttp.http
{change}
sys.argv = ["event-router", "ingress"]
from router.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("del aiohttp.http.HttpRequestParser", "cannot import name 'HttpRequestParser'"),
        ("aiohttp.http.HttpRequestParser = lambda protocol, loop, limit: None", "unexpected keyword argument"),
    ],
)
def test_ingress_ends_with_one_line(tmp_path: Path, change: str, reason: str) -> None:
    """An aiohttp that will not do is one line on standard error and the exit code of a wrong setting, no traceback."""
    program = [sys.executable, "-c", OTHER.format(change=change)]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    version = importlib.metadata.version("aiohttp")
    assert re.match(rf"event-router: aiohttp {re.escape(version)} is installed, .*{re.escape(reason)}", line)
    assert done.stdout == ""


PUBLIC = r"(?! import AbstractResolver, ResolveResult)"
PRIVATE = re.compile(rf"aiohttp\.(http|http_\w+|base_protocol|streams|helpers|web_\w+|abc{PUBLIC})\b")


def test_one_module_uses_what_aiohttp_does_not_promise() -> None:
    """Whatever of aiohttp is no public interface is imported in one place, where it is checked."""
    paths = [path for folder in ("config", "router", "workers") for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 100
    assert [path.name for path in paths if PRIVATE.search(path.read_text())] == ["parser.py"]
