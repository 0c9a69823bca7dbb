"""No path leads anywhere but below the configured base, which is seen at the socket."""

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.erp import Clock, customer_event, erp_settings

from workers import Event, Record, Subscription
from workers.erp import ErpError, ErpRefused, UnsafePath, erp_for, open_clients
from workers.erp.address import address
from workers.erp.fake import FakeErp
from workers.testing import Dead, deliver

BASE = "https://erp.example/base/"
HOSTILE = [
    "//evil.example/v1/customer/1",
    "///evil.example/v1/customer/1",
    "/v1/customer/1",
    "https://evil.example/v1/customer/1",
    "HTTPS:evil.example",
    "https:/evil.example/v1/customer/1",
    "\\\\evil.example\\v1",
    "v1\\..\\..\\evil",
    "..",
    "../v1/customer/1",
    "v1/customer/../../../evil",
    "v1/customer/..",
    "v1/./customer/1",
    "v1/customer/..%2f..%2fevil",
    "v1/customer/%2e%2e/evil",
    "v1/customer/%252e%252e%252fevil",
    "..%2f..%2fevil",
    "v1/customer/..;x/1",
    "v1/customer/%5c..%5cevil",
    "v1//customer/1",
    "user:secret@evil.example/v1/customer/1",
    "@evil.example/v1",
    "user@evil.example",
    "[::1]/v1/customer/1",
    "//[::1]:80/v1/customer/1",
    "v1/customer/1?x=1",
    "v1/customer/1#x",
    "v1/customer/1\r\nHost: evil.example",
    "v1/customer/1\n",
    "v1/customer/1\x00",
    "v1/customer/%00",
    "v1/customer/%0d%0aX: y",
    "v1/customer/1 ",
    "v1/customer/\u2025/1",
    "v1/customer/\uff0e\uff0e/evil",
    "v1/customer/%zz",
    "%2f%2fevil.example/v1/customer/1",
    "%68ttps%3a/evil.example",
    "v1/customer/%c0%af%c0%afevil",
    "v1/customer/%c0%ae%c0%ae/evil",
    "v1/customer/%u002e%u002e/evil",
    "v1/\uff0f\uff0fevil.example",
    "v1/customer/" + "1" * 1000,
    "",
    "/",
    "?",
]
GOOD = [
    "v1/customer/55555",
    "v1/inventory/b64(QSMx)",
    "v3/SalesOrders/SO/000223",
    "v1/customer/A%2F1",
    "v1/customer/50%25",
    "v1/background/0b1c/content",
    "v1/customer/1:2@3",
]


class Contacts:
    """The addresses that this process connected to or looked up."""

    def __init__(self) -> None:
        self.on = False
        self.seen: set[Any] = set()

    def __call__(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Take note of an event of the interpreter."""
        if self.on and name in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
            self.seen.add(
                arguments[1][:2] if name == "socket.connect" and isinstance(arguments[1], tuple) else arguments
            )


_contacts = Contacts()
sys.addaudithook(_contacts)  # for good: none can be taken away


@pytest.fixture
def contacts() -> Iterator[set[Any]]:
    """Yield what is contacted meanwhile."""
    _contacts.seen = set()
    _contacts.on = True
    yield _contacts.seen
    _contacts.on = False


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_path_is_refused(path: str) -> None:
    """A path that could leave the base, name a host or be read in two ways is refused."""
    with pytest.raises(UnsafePath, match="nothing was asked"):
        address(BASE, path)


@pytest.mark.parametrize("path", GOOD)
def test_a_good_path_is_written_as_it_is(path: str) -> None:
    """A path stands behind the base unchanged: it is neither decoded nor encoded again."""
    assert str(address(BASE, path)) == f"{BASE}{path}"


def test_parameters_are_encoded() -> None:
    """What is asked for besides the path cannot change it."""
    url = address(BASE, "v1/customer", {"a&b": "x#y/../z", "n": 1})
    assert str(url) == f"{BASE}v1/customer?a%26b=x%23y/../z&n=1"


@given(st.text(st.sampled_from("v1/.%2fe5c\\@:?#[]; \n\u2025ab"), max_size=30))
def test_any_path_stays_below_the_base(path: str) -> None:
    """Whatever a path is, it is refused or lies below the base, on its host, for every way to read it."""
    try:
        url = address(BASE, path)
    except UnsafePath:
        return
    assert (url.host, url.scheme, url.explicit_port, url.user) == ("erp.example", "https", None, None)
    assert url.raw_path.startswith("/base/")
    assert ".." not in url.path.split("/")
    assert not url.query_string
    assert not url.raw_fragment


@pytest.mark.parametrize("path", HOSTILE)
async def test_nothing_is_contacted_for_a_hostile_event(erp: FakeErp, contacts: set[Any], path: str) -> None:
    """An event with a hostile path ends dead at once: no host is looked up, no socket is connected."""
    subscription = Subscription("sync", events=["*"], hydrate=True)

    @subscription.handler
    async def sync(event: Event, record: Record) -> None:
        raise AssertionError(record)

    async with open_clients(erp_settings(erp)):
        (outcome,) = await deliver(subscription, customer_event(resource_path=path))
    assert isinstance(outcome, Dead)
    assert contacts == set()


async def test_only_the_base_and_the_token_server_are_contacted(erp: FakeErp, contacts: set[Any]) -> None:
    """What an event says of hosts elsewhere changes nothing: one host is contacted, the configured one."""
    erp.books("t1").put("v1/customer/1", {})
    event = customer_event(extra={"resourceUri": "https://evil.example/v1/customer/1", "stateLocation": "//evil"})
    async with open_clients(erp_settings(erp)), erp_for(event) as found:
        assert (await found.get("v1/customer/1")).status == 200
    port = int(erp.url.rpartition(":")[2])
    assert contacts == {("127.0.0.1", port)}


@pytest.mark.parametrize("place", ["record", "token"])
async def test_a_redirect_is_not_followed(erp: FakeErp, clock: Clock, place: str) -> None:
    """An answer that leads elsewhere is an error, of the ERP as of the token server; nobody goes there."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        link = f"http://127.0.0.1:{trap.getsockname()[1]}/v1/customer/1"
        erp.redirects = {"v1/customer/1": link, "leads": link}
        options = {"token_url": f"{erp.base_url}leads"} if place == "token" else {}
        async with open_clients(erp_settings(erp, **options)), erp_for(customer_event()) as found:
            with pytest.raises(ErpError) as raised:
                await found.get("v1/customer/1")
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert place == "token" or isinstance(raised.value, ErpRefused)
