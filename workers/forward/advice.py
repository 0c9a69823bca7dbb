"""What to do about an answer that takes no event: a sentence for each status that has one."""

from typing import Final

__all__ = ["advice"]

_BY_STATUS: Final = {
    400: "the receiver could not read the request: its log says why; `format` chooses between cloudevents and raw",
    404: "the receiver has nothing at this path: compare the path of the URL with its route",
    405: "the receiver takes no POST at this path: compare the path of the URL with its route for POST",
    408: "the receiver gave up reading the request: look whether it, or a proxy before it, is overloaded",
    410: "the receiver wants no more events: a forward is paused by this answer",
    411: "the receiver, or a proxy before it, wants another framing of the body: compare what it accepts",
    413: "the event is larger than the receiver allows: raise its limit of a body, or that of the proxy before it",
    415: "the receiver does not take this content-type: allow application/cloudevents+json, or choose the format raw,"
    " which is application/json",
    421: "the receiver serves another host name: compare the host of the URL with its certificate and its settings",
    422: "the receiver understood the form and refused the content: its log says why",
    429: "the receiver limits calls: set `limit` in the forward, or raise its limit",
    502: "a proxy answered for a receiver that it could not reach: look whether that runs",
    503: "the receiver, or a proxy before it, is not available now: look whether it runs",
    504: "a proxy had no answer of the receiver in time: look whether that runs",
}


def advice(status: int, secret: str) -> str:
    """Return what to do about a status, empty for 2xx; `secret` says where the secret is that signed the request."""
    if status in range(200, 300):
        return ""
    if status in (401, 403):
        return (
            "it refused the signature or a credential: the receiver must verify the bytes as they came with the secret"
            f" in {secret}, which signed this, and its clock must be right; a token of its own goes into `headers`"
        )
    if status in range(300, 400):
        return "redirections are not followed: set the URL to where it leads"
    if status >= 500:  # noqa: PLR2004 - the class of status that says the receiver failed
        return _BY_STATUS.get(status, "the receiver failed: its log says why")
    return _BY_STATUS.get(status, "the receiver's log says why")
