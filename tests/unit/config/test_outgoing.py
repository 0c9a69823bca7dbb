"""What the URL of a target and a signing secret must be."""

import base64
from contextlib import suppress
from random import Random
from urllib.parse import urlsplit

import pytest
from yarl import URL

from config.outgoing import address_in, check_target_url, signing_key

GOOD = (
    "https://crm.example/hooks/visma",
    "http://127.0.0.1:3000/hook?x=%2F&sig=a%2Bb",
    "https://[2001:db8::1]:8443/",
    "https://[::1]",
    "https://xn--bcher-kva.example/",
    "https://under_score.internal.example",
    "https://3com.example/",
    "https://localhost",
)
BAD = {
    "": "such as",
    "crm.example/hooks": "such as",
    "ftp://crm.example/": "such as",
    "https:///hooks": "such as",
    "https://crm.example:0/": "such as",
    "https://crm.example:99999/": "such as",
    "https://crm.example:x/": "such as",
    "https://user:hush@crm.example/": "no user",
    "https://127.0.0.1@crm.example/": "no user",
    "https://@crm.example/": "no user",
    "https://crm.example/#x": "neither #",
    "https://crm.example\\@evil.example/": "neither #|no user",
    "https://crm.example/a b": "no blanks",
    "https://crm.example/\r\nx": "no blanks",
    "https://crm.exam\tple/": "no blanks",
    "https://bücher.example/": "xn--",
    "https://127。0。0。1/": "xn--",
    "https://①②⑦.0.0.1/": "xn--",
    "http://2130706433/": "four decimal",
    "http://0x7f000001/": "four decimal",
    "http://0x7f.0.0.1/": "four decimal",
    "http://0x/": "four decimal",
    "http://017700000001/": "four decimal",
    "http://0177.0.0.1/": "four decimal",
    "http://127.1/": "four decimal",
    "http://127.0.1/": "four decimal",
    "http://127.0.0.1./": "four decimal",
    "http://127.0.0.256/": "four decimal",
    "http://1.2.3.4.5/": "four decimal",
    "http://a.0x7f/": "four decimal",
    "http://a.1/": "four decimal",
    "http://0/": "four decimal",
    "https://crm.example./": "dot at its end",
    "https://crm..example/": "name or the address",
    "https://-crm.example/": "name or the address",
    "https://crm%2eexample/": "name or the address",
    "https://%31%32%37.0.0.1/": "four decimal|name or the address",
    "https://crm.example,evil.example/": "name or the address",
    f"https://{'a' * 64}.example/": "name or the address",
    f"https://{'a.' * 130}example/": "name or the address",
    "https://[fe80::1%25eth0]/": "without a zone|such as",
    "https://[fe80::1%eth0]/": "without a zone|such as",
    "https://[127.0.0.1]/": "IPv6|such as",
    "https://[v1.x]/": "IPv6|such as",
    "https://[::1]x/": "IPv6",
    "https://0].[::%.1/[@": "IPv6|such as",
    "https://[::1]]/": "IPv6|such as",
    "https://[::1].example/": "IPv6|such as",
    "https://[::1/": "such as",
    "https://crm.example/" + "a" * 8000: "at most",
}


@pytest.mark.parametrize("url", GOOD)
def test_a_url_of_a_host_is_taken(url: str) -> None:
    """Names, four decimal numbers and IPv6 in brackets are hosts; a port, a path and a query may follow."""
    assert check_target_url(url) == url


@pytest.mark.parametrize(("url", "why"), BAD.items())
def test_a_url_that_can_be_read_in_two_ways_is_refused(url: str, why: str) -> None:
    """Hosts that one program takes for a name and another for an address, users, zones and blanks are refused."""
    with pytest.raises(ValueError, match=why) as raised:
        check_target_url(url)
    assert "hush" not in str(raised.value)


def test_what_is_taken_is_read_alike_by_everybody() -> None:
    """The library that sends finds the same host and port in every URL that is taken here."""
    random, taken = Random(1), list[str]()
    for _ in range(30_000):
        url = "https://" + "".join(random.choices("a1.:[]x0@-_%/?f", k=random.randint(1, 12)))
        with suppress(ValueError):
            check_target_url(url)
            taken.append(url)
    for url in taken:
        parts, sent = urlsplit(url), URL(url)
        ours, theirs = (address_in(host or "") or host for host in (parts.hostname, sent.host))
        assert (theirs, sent.explicit_port) == (ours, parts.port), url
    assert len(taken) > 1000


@pytest.mark.parametrize("size", [24, 32, 64])
@pytest.mark.parametrize("prefix", ["", "whsec_", " whsec_"])
def test_a_secret_is_base64_of_its_key(size: int, prefix: str) -> None:
    """The key is what the base64 stands for, as in every library of Standard Webhooks; whsec_ is no part of it."""
    key = bytes(range(size))
    assert signing_key(prefix + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + base64.b64encode(bytes(32)).decode().rstrip("="),
        "whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        "whsk_" + base64.b64encode(bytes(32)).decode(),
        "correct horse battery staple and more",
        "whsec_ä",
    ],
)
def test_a_secret_that_is_none_is_refused_with_what_to_do(secret: str) -> None:
    """What no library could read, or could be guessed, is refused; the message holds nothing of it."""
    with pytest.raises(ValueError, match="openssl rand -base64 32") as raised:
        signing_key(secret)
    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(raised.value)
