"""What is connected to, seen at the socket: nothing that was not judged, and nothing that must not be reached."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from support.receiver import receiving

from config.errors import ConfigError
from workers.outgoing import AddressRefused, Outgoing, Target, Unreachable
from workers.outgoing.resolver import Guard, SystemLookup

_connected: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """Take note of each address that any socket of this process connects to."""
    if event == "socket.connect" and _connected is not None:
        _connected.append(str(arguments[1][0]))


sys.addaudithook(_note)


@contextmanager
def connects() -> Iterator[list[str]]:
    """Yield the addresses that are connected to meanwhile."""
    global _connected  # noqa: PLW0603 - an audit hook cannot be taken away
    _connected = found = []
    try:
        yield found
    finally:
        _connected = None


class Names:
    """Answers for a name with one answer after the other, the last one again and again; counts the questions."""

    def __init__(self, *answers: Iterable[str]) -> None:
        self.answers = [list(answer) for answer in answers]
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the next answer."""
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def to(host: str, names: Names, *allowed: str, port: int = 9, scheme: str = "https") -> AsyncIterator[Outgoing]:
    """Yield what sends to a host whose name is answered for here."""
    target = Target(f"{scheme}://{host}:{port}/hook", allow_private=tuple(map(ip_network, allowed)), timeout=5)
    async with Outgoing(target, lookup=names) as outgoing:
        yield outgoing


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["0.0.0.0"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["100.100.100.200"],
        ["::1"],
        ["::"],
        ["::ffff:127.0.0.1"],
        ["::ffff:7f00:1"],
        ["::127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["fd00:ec2::254"],
        ["fe80::1"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["2606:4700::1111", "8.8.8.8", "::1"],
    ],
)
async def test_a_name_that_leads_where_nothing_may_go_is_not_connected_to(answer: list[str]) -> None:
    """One address that must not be reached refuses the whole answer: no socket connects to any of it."""
    async with to("crm.example", Names(answer)) as outgoing:
        with connects() as found, pytest.raises(AddressRefused, match=r"nothing was sent: crm\.example leads to"):
            await outgoing.post(b"{}", {})
    assert found == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "127.0.0.1.",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1%25lo]",
        "user@127.0.0.1",
        "crm.example@127.0.0.1",
        "①27.0.0.1",
        "127.0.0.1%00.crm.example",
        "169.254.169.254",
        "[fd00:ec2::254]",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_url_of_such_an_address_is_refused_when_it_is_read(host: str, scheme: str) -> None:
    """An address in any spelling is refused with the settings, before there is anything to send."""
    with connects() as found, pytest.raises(ConfigError):
        Outgoing(Target(f"{scheme}://{host}/hook"))
    assert found == []


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200"])
def test_metadata_is_out_of_reach_whatever_is_allowed(host: str) -> None:
    """Even an operator who allows every network does not hand out the credentials of the machine."""
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    with pytest.raises(ConfigError, match="credentials"):
        Outgoing(Target(f"http://{host}/hook", allow_private=everything))


async def test_what_was_judged_is_what_is_connected_to() -> None:
    """A name is asked for once for a connection: an answer that would change in between has no second chance."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with (
        receiving() as one,
        receiving(host="127.0.0.2", port=one.port) as two,
        to("crm.example", names, "127.0.0.1/32", port=one.port, scheme="http") as outgoing,
    ):
        with connects() as found:
            exchange = await outgoing.post(b"{}", {})
            await outgoing.post(b"{}", {})
    assert (exchange.address, found, names.asked) == ("127.0.0.1", ["127.0.0.1"], 1)
    assert (one.connections, two.connections) == (1, 0)
    assert one.requests[0].headers["host"] == f"crm.example:{one.port}"


async def test_an_answer_that_changes_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that led to a good address and later leads to a bad one is refused then."""
    monkeypatch.setattr("workers.outgoing.outgoing._NAMES_KEPT", 0)
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with (
        receiving(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n") as receiver,
        to("crm.example", names, "127.0.0.1/32", port=receiver.port, scheme="http") as outgoing,
    ):
        assert (await outgoing.post(b"{}", {})).status == 200
        with connects() as found, pytest.raises(AddressRefused, match=r"127\.0\.0\.2, a loopback address"):
            await outgoing.post(b"{}", {})
    assert (found, names.asked) == ([], 2)


async def test_an_address_that_does_not_answer_gives_way_to_the_next() -> None:
    """Of several good addresses any that listens will do."""
    async with receiving() as one:
        names = Names(["127.0.0.3", "127.0.0.1"])
        async with to("crm.example", names, "127.0.0.0/8", port=one.port, scheme="http") as outgoing:
            assert (await outgoing.post(b"{}", {})).address == "127.0.0.1"


async def test_ipv6_is_reached_where_its_network_is_named() -> None:
    """An IPv6 address is reached by its name and by itself."""
    async with receiving(host="::1") as receiver:
        for host in ("crm.example", "[::1]"):
            async with to(host, Names(["::1"]), "::1/128", port=receiver.port, scheme="http") as outgoing:
                assert (await outgoing.post(b"{}", {})).address == "::1"


async def test_http_goes_in_clear_only_where_the_operator_says_so() -> None:
    """A public host is never sent to over http://, whatever its name."""
    async with to("crm.example", Names(["8.8.8.8"]), "10.0.0.0/8", scheme="http") as outgoing:
        with connects() as found, pytest.raises(AddressRefused, match="write https://"):
            await outgoing.post(b"{}", {})
    assert found == []


async def test_the_system_is_asked_where_no_lookup_is_passed() -> None:
    """`localhost` is judged by what it leads to."""
    async with receiving() as receiver:
        url = f"http://localhost:{receiver.port}/"
        async with Outgoing(Target(url.replace("http", "https"))) as outgoing:
            with connects() as found, pytest.raises(AddressRefused, match="a loopback address"):
                await outgoing.post(b"{}", {})
        allowed = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
        async with Outgoing(Target(url, allow_private=allowed)) as outgoing:
            assert (await outgoing.post(b"{}", {})).status == 200
    assert found == []


async def test_a_name_without_an_address_is_unreachable() -> None:
    """Neither an empty answer nor an error of the system is anything but a target that cannot be reached now."""

    async def fails(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with to("crm.example", Names([])) as outgoing:
        with pytest.raises(Unreachable, match="cannot be resolved"):
            await outgoing.post(b"{}", {})
    async with Outgoing(Target("https://crm.example/hook"), lookup=fails) as outgoing:
        with pytest.raises(Unreachable, match="Name or service not known"):
            await outgoing.post(b"{}", {})


async def test_the_guard_stands_where_sockets_are_made() -> None:
    """Whatever way an address came, no socket is made for one that must not be reached."""
    guard = Guard((), encrypted=True)
    with pytest.raises(PermissionError, match="a loopback address"):
        guard.socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))


async def test_a_name_server_that_hangs_delays_no_other_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each target asks in a thread of its own, so that other targets go on, and the hanging one runs out of time."""
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = socket.getaddrinfo

    def hangs(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "hangs.example":
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    allowed = (ip_network("127.0.0.0/8"),)
    async with receiving() as receiver:
        slow = Outgoing(Target(f"http://hangs.example:{receiver.port}/", allow_private=allowed))
        fast = Outgoing(Target(f"http://crm.example:{receiver.port}/", allow_private=allowed))
        async with slow, fast:
            waiting = [asyncio.create_task(slow.post(b"{}", {})) for _ in range(50)]
            assert (await fast.post(b"{}", {})).status == 200
            assert not any(task.done() for task in waiting)
            release.set()
            assert {exchange.status for exchange in await asyncio.gather(*waiting)} == {200}


async def test_a_lookup_that_ends_waits_for_no_answer() -> None:
    """Closing does not wait for a question that is open."""
    lookup = SystemLookup()
    assert await lookup("127.0.0.1", 80) == ["127.0.0.1"]
    lookup.close()
