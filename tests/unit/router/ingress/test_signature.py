"""Rules of signatures: only a body signed with a known secret is let in, and nothing a stranger sends raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.publishers import SignatureScheme
from router.ingress.signature import MAX_SIGNATURES, sign, verify

SCHEME = SignatureScheme(scheme="hmac-sha256", encoding="base64", header="x-vwd-signature-v1")
SECRET = b"dGVzdC1zZWNyZXQ="
BODY = (
    b'{"tableIdentifier":"Product","customerNo":0,"companyNo":0,"primaryKeys":[{"ProductNo":"1001"}],'
    b'"event":"UPDATE","timestamp":"2024-05-27T18:12:55.7720784Z"}'
)
RIGHT = "/b4StW6+P42TCxPELOnSAjURZDVLyVkKSCierl8SnAM="
DECODED = "9oIeXlSWqLrimElj0cwn5uyhxLTZ+GXQFJj75XdtCa0="


def test_vector() -> None:
    """The secret is the key as it is written, though it looks like base64."""
    assert sign(SCHEME, SECRET, BODY) == RIGHT
    assert verify(SCHEME, [SECRET], BODY, [RIGHT])
    assert not verify(SCHEME, [SECRET], BODY, [DECODED])


@pytest.mark.parametrize(
    ("secrets", "values", "right"),
    [
        ([b"old", SECRET], [RIGHT], True),
        ([SECRET, b"new"], [RIGHT], True),
        ([SECRET], [DECODED, RIGHT], True),
        ([SECRET], [f"{DECODED} , {RIGHT}"], True),
        ([SECRET], [f" {RIGHT} "], True),
        ([SECRET], ["x," * (MAX_SIGNATURES - 1) + RIGHT], True),
        ([SECRET], ["x," * MAX_SIGNATURES + RIGHT], False),
        ([SECRET], ["x"] * MAX_SIGNATURES + [RIGHT], False),
        ([SECRET], [" ", "", RIGHT, ""], True),
        ([SECRET], [", ," * MAX_SIGNATURES + RIGHT], True),
        ([], [RIGHT], False),
        ([SECRET], [], False),
        ([SECRET], [""], False),
        ([SECRET], ["é\udcff\ud800"], False),
        ([SECRET], [RIGHT[:-1]], False),
        ([SECRET], [RIGHT.lower()], False),
        ([SECRET], [RIGHT + "é"], False),
        ([b"other"], [RIGHT], False),
    ],
)
def test_secrets_and_values(secrets: list[bytes], values: list[str], right: object) -> None:
    """Any of the secrets may have signed, any of the first eight values may be right, empty ones do not count."""
    assert verify(SCHEME, secrets, BODY, values) is right


def test_empty_secret_signs_nothing() -> None:
    """An empty secret is none: anybody could sign with it."""
    assert not verify(SCHEME, [b""], BODY, [sign(SCHEME, b"", BODY)])


@given(body=st.binary(min_size=1), secret=st.binary(min_size=1), data=st.data())
def test_flipped_bit(body: bytes, secret: bytes, data: st.DataObject) -> None:
    """A body or a signature with one bit flipped is refused; as signed, it is let in."""
    signature = sign(SCHEME, secret, body)
    assert verify(SCHEME, [secret], body, [signature])
    assert not verify(SCHEME, [secret], _flip(body, data), [signature])
    assert not verify(SCHEME, [secret], body, [_flip(signature.encode(), data).decode("latin-1")])


@given(secrets=st.lists(st.binary()), body=st.binary(), values=st.lists(st.text(st.characters())))
def test_nothing_raises(secrets: list[bytes], body: bytes, values: list[str]) -> None:
    """Whatever comes in the header, the answer is no."""
    assert verify(SCHEME, secrets, body, values) is False


def _flip(data: bytes, draw: st.DataObject) -> bytes:
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
