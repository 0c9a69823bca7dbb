"""Signatures are those of Standard Webhooks: its own library verifies them."""

import base64

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from workers.outgoing import signed

ONE, OTHER = (f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2))
BODY = '{"id":"ä"}'.encode()


def _verifies(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def test_the_library_verifies_what_is_signed(now: int) -> None:
    """A body signed with a secret is verified by a receiver that holds it, and by no other; nor is a changed one."""
    headers = signed([ONE], "e-1", now, BODY)
    assert _verifies(ONE, BODY, headers)
    assert not _verifies(OTHER, BODY, headers)
    assert not _verifies(ONE, BODY + b" ", headers)
    assert not _verifies(ONE, BODY, {**headers, "webhook-id": "e-2"})


def test_each_live_secret_gives_a_signature(now: int) -> None:
    """While secrets are changed, a receiver with the old one and one with the new one both verify."""
    headers = signed([ONE, OTHER], "e-1", now, BODY)
    assert _verifies(ONE, BODY, headers)
    assert _verifies(OTHER, BODY, headers)
    assert [part[:3] for part in headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]


def test_the_signature_is_the_one_of_the_specification() -> None:
    """A known secret, id, time and body give the signature that any implementation gives."""
    headers = signed(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("id_", ["", "a b", "a\r\nx: y", "ä", "a\x00"])
def test_an_id_that_a_header_cannot_carry_is_refused(id_: str) -> None:
    """What would reach the receiver as another id than the signed one is not sent."""
    with pytest.raises(ValueError, match="visible ASCII"):
        signed([ONE], id_, 1, BODY)


def test_nothing_is_sent_unsigned() -> None:
    """Without a secret there is no signature to make."""
    with pytest.raises(ValueError, match="no secret"):
        signed([], "e-1", 1, BODY)
