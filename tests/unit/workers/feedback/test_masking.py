"""What looks like a secret in an error's text is shown to nobody: in whatever form clients and drivers write it."""

import time

import pytest

from workers.feedback.masking import masked

SECRETS = [
    "Authorization: Token hush-hush",
    "{'Authorization': 'ApiKey hush-hush', 'a': 1}",
    "Authorization: AWS4-HMAC-SHA256 Credential=hush/x, Signature=hush",
    "Proxy-Authorization: Basic hush",
    "Cookie: a=b; session=hush",
    "auth=('user', 'hush')",
    "postgresql://u:p@hush@host/db",
    "amqp://u:hush/hush@host",
    "https://host/path?sig=hush&x=1",
    "Server=db;Uid=sa;Pwd=hush;",
    "AccountKey=hush==;EndpointSuffix=x",
    "SharedAccessSignature=sr=hush&sig=hush",
    "x-functions-key: hush",
    '{"password": "a\\"hush"}',
    "b'password': b'a hush'",
    "password='hu hush, never closed",
    "passphrase: hush",
    "session_id=hush",
    "client_secret%3Dhush",
    "--password hush",
    "otp: hush",
    "no good: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodXNoIn0.hush",
    "-----BEGIN PRIVATE KEY-----hush",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_masked(text: str) -> None:
    """No part of it is left, also where it holds a blank, a quote or the sign that ends it elsewhere."""
    assert "hush" not in masked(text)
    assert "…" in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "no such currency: XYZ",
        "the token has expired",
        "duplicate key value violates unique constraint 'customers_pkey'",
        "customer/55555: 409 from https://crm.example/v1/customer/55555",
        "ada@example.com is not in the list",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """What helps the reader is shown as it is."""
    assert masked(text) == text


def test_no_text_takes_long() -> None:
    """A text of nothing but beginnings of secrets holds up no worker: what is masked is a hundredth of that long."""
    began = time.process_time()
    for text in ("secret-" * 1000, "://" * 1000, "token='" * 1000, 'a"' * 1000, "bearer " * 1000):
        masked(text)
    assert time.process_time() - began < 5
