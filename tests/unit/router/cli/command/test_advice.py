"""What is said to do about a store that refuses to talk."""

import pytest

from router.cli.command.advice import advice_on


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] … Hostname mismatch, certificate is not valid for 'h'", "check_hostname"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] … unable to get local issuer certificate", "ssl_ca_certs=FILE"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", "ssl_certfile=FILE"),
        ("AuthenticationError: invalid username-password pair or user is disabled.", "correct user and password"),
        ("AuthenticationError: Authentication required.", "USER:PASSWORD"),
        ("NoPermissionError: User x has no permissions to run the 'xlen' command", "docs/redis.md"),
        ("ResponseError: ACL failure in script: User x has no permissions to run the 'xadd' command", "docs/redis.md"),
        ("ResponseError: The user executing the script can't run this command or subcommand", "docs/redis.md"),
        (
            "ConnectionError: … [SSL: WRONG_VERSION_NUMBER] wrong version number",
            "redis:// for a server without encryption",
        ),
        ("ConnectionError: Error 111 connecting to h:1. Connection refused.", "check redis.url"),
    ],
)
def test_advice(text: str, advice: str) -> None:
    """Every error that has a cure of its own is told its cure; the others are about the URL."""
    assert advice in advice_on(text)
