"""Rules of hints: which headers are kept with an event, how much of them, and that they never decide anything."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigError
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.hints import MAX_BYTES, MAX_HINTS, HintList, read_hints, share
from router.events.normalise import normalise

SIGNATURE = "x-vwd-signature-v1"
FINANCIAL = "visma-net-financial"


def kept(headers: dict[str, str] | list[tuple[bytes, bytes]], *names: str) -> dict[str, str]:
    """Return what is kept of headers by a list of these names."""
    pairs = [(n.encode(), v.encode()) for n, v in headers.items()] if isinstance(headers, dict) else headers
    return dict(read_hints(HintList(names, SIGNATURE).of(pairs)))


def test_only_what_is_listed_is_kept() -> None:
    """Names match in any case and by `*`; all others are dropped, and where nothing is left nothing is stored."""
    headers = {"X-VWD-Tenant-Id": "t", "OrderRef": "17", "Host": "h", "orderref2": "18"}
    assert kept(headers, "x-vwd-*", "orderref") == {"x-vwd-tenant-id": "t", "orderref": "17"}
    assert kept(headers, "order*") == {"orderref": "17", "orderref2": "18"}
    assert kept(headers) == {}
    assert HintList(["x-*"], SIGNATURE).of([(b"Host", b"h")]) == b""


@pytest.mark.parametrize(
    "name",
    [
        *("X-Vwd-Signature-V1", "x-hub-signature-256", "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie2"),
        *("X-Auth", "x-auth-key", "x_auth", "X-Api-Key", "apikey", "X-CSRF-Token", "Client_Secret", "x-password"),
        *("X-Passwd", "WWW-Authentication", "x-credentials", "X-Authorisation"),
    ],
)
def test_what_lets_somebody_in_is_never_kept(name: str) -> None:
    """No list keeps a signature, an authorization, a cookie or the like, not even one that names it."""
    assert kept({name: "s3cret"}, "*", name.lower()) == {}


def test_the_publishers_own_signature_header_is_never_kept() -> None:
    """A publisher may call the header of its signature anything."""
    assert HintList(["x-sig", "*"], "x-sig").of([(b"X-Sig", b"s3cret")]) == b""


def test_a_list_is_bounded() -> None:
    """A header that is too long is left out whole, and so are those beyond the number and the bytes of a request."""
    assert kept({"a": "x" * 1024, "b": "x" * 1025}, "*") == {"a": "x" * 1024}
    assert len(kept({f"h{n}": "x" for n in range(100)}, "*")) == MAX_HINTS
    many = kept({f"h{n}": "x" * 1000 for n in range(10)}, "*")
    assert list(many) == ["h0", "h1", "h2", "h3"]
    assert kept({"a" * 2000: "x" * 1000, "b" * 2500: "x", "c": "1"}, "*") == {"a" * 2000: "x" * 1000, "c": "1"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"caf\xc3\xa9", "caf\u00e9"), (b"caf\xe9", "caf\u00e9"), (b"a\tb", "a\tb"), (b"", None), (b"0", "0")],
)
def test_a_value_is_text(value: bytes, text: str | None) -> None:
    """A value is UTF-8, or else Latin-1; a header without a value says nothing."""
    assert kept([(b"a", value)], "a").get("a") == text


def test_repeated_headers_are_one() -> None:
    """Headers of one name are joined as HTTP joins them."""
    assert kept([(b"a", b"1"), (b"A", b"2"), (b"a", b"1")], "a") == {"a": "1, 2, 1"}


HEADERS = st.lists(
    st.tuples(st.binary(min_size=1, max_size=40) | st.sampled_from([b"x-vwd-a", b"Cookie"]), st.binary())
)


@given(HEADERS, st.sampled_from([("*",), ("x-vwd-*",), ()]))
def test_any_headers(headers: list[tuple[bytes, bytes]], names: tuple[str, ...]) -> None:
    """Whatever the headers, what is kept is bounded, reads back, and is the same again with what is remembered."""
    listed = HintList(names, SIGNATURE)
    stored = listed.of(headers)
    assert listed.of(headers) == stored
    hints = read_hints(stored)
    assert len(hints) <= MAX_HINTS
    assert sum(len(name) + len(value) for name, value in hints.items()) <= 2 * MAX_BYTES
    assert "cookie" not in hints


def test_names_of_a_flood_are_not_remembered() -> None:
    """A sender that makes up names without end takes no memory."""
    listed = HintList(["*"], SIGNATURE)
    for number in range(2000):
        listed.of([(b"h%d" % number, b"1")])
    assert len(listed._judged) <= 256


def test_a_large_body_has_none() -> None:
    """Hints go with each item of a body, unless all of them together would take more than a body may be."""
    assert share(b"x" * 1000, 1) == b"x" * 1000
    assert share(b"x" * 1000, 1048) == b"x" * 1000
    assert share(b"x" * 1000, 1049) == b""


@pytest.mark.parametrize("stored", [None, b"", b"{", b"[]", b"7", b'{"a": 1}', b'{"a": null}', b"\xff", b"[" * 100_000])
def test_what_somebody_else_wrote_is_no_hint(stored: bytes | None) -> None:
    """An entry without hints has none, and one that holds something else there neither."""
    assert read_hints(stored) == {}


def test_hints_decide_nothing(catalogue: Catalogue) -> None:
    """An event is the same with hints and without but for the hints themselves, whatever they claim."""
    raw = json.dumps({"event": "customer_changed", "resourceId": "5"}).encode()
    claims = {
        "x-vwd-tenant-id": "other",
        "x-vwd-notification-id": "n",
        "event": "x",
        "resourceid": "6",
        "contextid": "7",
    }
    stream, now = f"{FINANCIAL}/customer_changed", datetime.now(UTC)
    without = normalise(catalogue, stream, "id", raw, now)
    assert normalise(catalogue, stream, "id", raw, now, claims) == without.model_copy(update={"hints": claims})


def test_settings_add_to_the_list(catalogue: Catalogue) -> None:
    """The settings name further headers for a publisher, in lower case, by either spelling of its slug."""
    assert catalogue.publishers[FINANCIAL].hints == ("x-vwd-*",)
    settings = Settings(hints={FINANCIAL: "OrderRef, x-*"})
    assert settings.hints_for(FINANCIAL) == settings.hints_for("visma_net_financial") == ("orderref", "x-*")
    assert settings.hints_for("other") == ()


@pytest.mark.parametrize("hints", [{FINANCIAL: "a b"}, {FINANCIAL: ["a:"]}, {FINANCIAL: 5}, {FINANCIAL: ["x" * 129]}])
def test_settings_with_a_name_that_no_header_has(hints: Any) -> None:
    """A name that no header can have is refused at the start."""
    with pytest.raises(ValueError, match="hints"):
        Settings(hints=hints)


def test_hints_of_an_unknown_publisher() -> None:
    """A list for a publisher that is not there is a typo, and named."""
    with pytest.raises(ConfigError, match="hints: 'visma' is no publisher"):
        Catalogue.for_settings(Settings(hints={"visma": ["a"]}))
