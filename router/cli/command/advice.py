"""What to do about a store that refuses to talk, as far as its words tell."""

_ADVICE = (
    (
        ("Hostname mismatch", "IP address mismatch"),
        "write the name that the certificate is for into redis.url, or add ssl_check_hostname=false to it",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "add the file with the certificate of its authority to redis.url: ?ssl_ca_certs=FILE",
    ),
    (
        ("CERTIFICATE_REQUIRED",),
        "name a certificate of the router's own in redis.url: ?ssl_certfile=FILE&ssl_keyfile=FILE",
    ),
    (("WRONG_VERSION_NUMBER",), "write redis:// for a server without encryption, or name the port that encrypts"),
    (("Timeout connecting",), "check redis.url; a server without encryption gives no answer to rediss:// either"),
    (
        ("Authentication required", "already authenticated"),
        "write user and password into redis.url: redis://USER:PASSWORD@HOST",
    ),
    (("invalid username-password pair",), "correct user and password in redis.url"),
    (
        ("NoPermissionError", "ACL failure", "user executing the script"),
        "give its user what docs/redis.md says under ACL",
    ),
    (
        ("closed by server", "reset by peer"),
        "check redis.url; if the server encrypts, write rediss://, and name ssl_certfile and ssl_keyfile if it asks",
    ),
)


def advice_on(text: str) -> str:
    """Return what to do about an error that says this."""
    return next((advice for words, advice in _ADVICE if any(word in text for word in words)), "check redis.url")
