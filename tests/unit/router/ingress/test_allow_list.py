"""Which client address a request comes from, and whether it may."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ingress.allow_list import AllowList

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def allow_list(*allowed: str, trusted: bool = True) -> AllowList:
    """Return a list of these networks, behind the proxies."""
    return AllowList(map(ip_network, allowed), PROXIES if trusted else [])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("1.2.3.4", [], "1.2.3.4"),
        ("1.2.3.4", ["5.6.7.8"], "1.2.3.4"),  # a stranger is not believed
        ("10.0.0.1", ["5.6.7.8"], "5.6.7.8"),
        ("10.0.0.1", ["6.6.6.6, 5.6.7.8"], "5.6.7.8"),
        ("10.0.0.1", ["6.6.6.6", "5.6.7.8"], "5.6.7.8"),
        ("10.0.0.1", ["5.6.7.8 , 10.0.0.2,10.0.0.3"], "5.6.7.8"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("fd00::1%eth0", ["[2001:db8::1]"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:5.6.7.8"], "5.6.7.8"),
        ("10.0.0.1", ["5.6.7.8:41234"], "5.6.7.8"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["[::ffff:5.6.7.8]:443, 10.0.0.2:80"], "5.6.7.8"),
        ("::ffff:a00:1", ["5.6.7.8"], "5.6.7.8"),
        ("10.0.0.1", ["\t5.6.7.8 "], "5.6.7.8"),
        ("10.0.0.1", ["5.6.7.8:port"], None),
        ("10.0.0.1", ["5.6.7.8%eth0"], None),
        ("10.0.0.1", ["]5.6.7.8["], None),
        ("10.0.0.1", ["[5.6.7.8"], None),
        ("10.0.0.1", ["[2001:db8::1"], None),
        ("10.0.0.1", ["[2001:db8::1]x"], None),
        ("10.0.0.1", ["05.6.7.8"], None),
        ("10.0.0.1", ["5.6.7"], None),
        ("10.0.0.1", ["84281096"], None),
        ("10.0.0.1", ["0x5060708"], None),
        ("10.0.0.1", ["\uff15.6.7.8"], None),
        ("10.0.0.1", ["5.6.7.8\n"], "5.6.7.8"),
        ("10.0.0.1", ["5.6.7.8;for=x"], None),
        ("10.0.0.1", ["unknown"], None),
        ("10.0.0.1", ["10.0.0.2,,10.0.0.3"], None),
        ("10.0.0.1", ["nonsense"], None),
        ("10.0.0.1", ["5.6.7.8, nonsense"], None),
        ("10.0.0.1", [""], None),
        ("10.0.0.1", ["5.6.7.8, "], None),
        ("", [], None),
        ("unix", ["5.6.7.8"], None),
    ],
)
def test_the_client_is_the_first_that_is_no_trusted_proxy(peer: str, forwarded: list[str], client: str | None) -> None:
    """The forwarded addresses are read from the end, as far as trusted proxies wrote them; unreadable is nobody."""
    assert allow_list("0.0.0.0/0").client(peer, forwarded) == (client and ip_address(client))


@pytest.mark.parametrize(
    ("allowed", "peer", "may"),
    [
        (["5.6.7.8"], "5.6.7.8", True),
        (["5.6.7.0/24"], "5.6.7.8", True),
        (["5.6.7.0/24"], "5.6.8.8", False),
        (["1.1.1.1", "5.6.7.8"], "5.6.7.8", True),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32"], "5.6.7.8", False),
        (["5.6.7.0/24"], "2001:db8::1", False),
        (["5.6.7.8"], "::ffff:5.6.7.8", True),
        (["::ffff:5.6.7.0/120"], "5.6.7.8", True),
        (["::ffff:5.6.7.0/120"], "5.6.8.8", False),
        (["::/0"], "5.6.7.8", False),
        (["0.0.0.0/0", "::/0"], "nonsense", False),
        ([], "nonsense", True),
        ([], "", True),
    ],
)
def test_only_allowed_addresses_may_post(*, allowed: list[str], peer: str, may: bool) -> None:
    """An address outside of every network, or unreadable, may not; an empty list lets everyone."""
    assert allow_list(*allowed, trusted=False).allows(peer) is may


def test_an_empty_list_is_open() -> None:
    """Whoever asks can spare the look-up when everyone may post."""
    assert allow_list().open
    assert not allow_list("1.1.1.1").open


@given(st.lists(st.text(), max_size=5), st.sampled_from(["5.6.7.8", "2001:db8::1", "nonsense"]))
def test_what_a_sender_writes_changes_nothing(forged: list[str], real: str) -> None:
    """Whatever a sender put into the header before a proxy added its address, in as many lines, it is not believed."""
    networks = allow_list("0.0.0.0/0")
    honest = networks.client("10.0.0.1", [f"{real}, 10.0.0.2"])
    assert networks.client("10.0.0.1", [*forged, f"{real}, 10.0.0.2"]) == honest
    assert networks.client("10.0.0.1", [*forged, f"{','.join(forged)},{real}", "10.0.0.2"]) == honest
    assert networks.client("8.8.8.8", forged) == ip_address("8.8.8.8")


@given(st.text(), st.lists(st.text()))
def test_garbage_is_nobody_and_never_raises(peer: str, forwarded: list[str]) -> None:
    """An address that cannot be read is allowed nowhere where anything is refused."""
    assert not allow_list("203.0.113.7").allows(peer, forwarded)
