"""What the ERP's users read: one bounded line, without secrets and without what an error says further down."""

import pytest

from workers.feedback.note import is_notification, line_of, reason_of


def failed(text: str) -> str:
    """Return what is said of an event whose last attempt failed so."""
    return reason_of("failed 8 of 8 attempts", ValueError(text))


def test_reason_and_first_line_of_the_error() -> None:
    """What is said is why the event was given up and the first line of what its last attempt failed with."""
    assert failed("no such currency: XYZ\n{'name': 'Ada'}") == (
        "failed 8 of 8 attempts: ValueError: no such currency: XYZ"
    )
    assert reason_of("no company", None) == "no company"
    assert reason_of("no company\nbody: {}", ValueError("no company")) == "no company"
    assert failed("") == "failed 8 of 8 attempts"


@pytest.mark.parametrize(
    "text",
    [
        "401 for Authorization: Bearer hush-hush",
        "redis://user:hush-hush@host/0 refused",
        "https://crm.example/a?sig=hush-hush&x=1 refused",
        "client_secret=hush-hush is wrong",
        '{"access_token": "hush-hush"}',
        "{'password': 'hush-hush'}",
        "x-api-key: hush-hush",
        "basic hush-hush",
    ],
)
def test_no_secret_is_said(text: str) -> None:
    """Whatever form a secret has in an error's text, it is not posted."""
    assert "hush" not in failed(text)
    assert "failed 8 of 8 attempts" in failed(text)


def test_a_line_is_bounded_and_prints() -> None:
    """However long and odd a text is, what is said has 250 characters at most, which all print and can be encoded."""
    line = line_of("x" * 100_000)
    assert len(line) == 250
    odd = line_of("a\x1b[31m\ud800\u202eb")
    assert odd.isprintable()
    odd.encode()


def test_a_digest_is_no_notification() -> None:
    """An event whose sender gave it no id is none that the ERP knows."""
    assert is_notification("0e4f")
    assert not is_notification("sha256:0e4f")
    assert not is_notification("reconcile-0e4f")
    assert not is_notification("")
