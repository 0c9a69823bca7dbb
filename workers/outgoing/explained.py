"""What went wrong on the way to a target, in words that say what to do.

What aiohttp says of an error may hold the query of a URL, and so is not repeated.
"""

import aiohttp

from workers.outgoing.errors import Unreachable

__all__ = ["explained"]

_SHOWN = 200  # characters of what another program says


def explained(shown: str, error: aiohttp.ClientError | OSError) -> Unreachable:
    """Return the error to raise for one of the client library; `shown` is the URL as it may be seen."""
    match error:
        case aiohttp.ClientConnectorError():
            reason = _of_connecting(error)
        case aiohttp.ServerDisconnectedError():
            reason = "it closed the connection without an answer"
        case aiohttp.ClientResponseError():
            reason = f"its answer is not HTTP ({error.message[:_SHOWN]})"
        case OSError():
            reason = f"the connection broke ({_words(error)})"
        case _:
            reason = f"the exchange failed ({type(error).__name__})"
    return Unreachable(f"{shown}: {reason}", connected=not isinstance(error, aiohttp.ClientConnectorError))


def _of_connecting(error: aiohttp.ClientConnectorError) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            words = _words(error.certificate_error)
            return f"its certificate is not trusted ({words}); is its authority one of your own, name it in ca_file"
        case aiohttp.ClientConnectorDNSError():
            return f"its name cannot be resolved ({_words(error.os_error)})"
        case aiohttp.ClientConnectorSSLError():
            return f"no encryption could be agreed on ({_words(error.os_error)})"
        case _:
            return f"no connection could be made ({_words(error.os_error)})"


def _words(error: BaseException) -> str:
    """Return the reason that an error gives, as short as it gives one; its class where it gives none."""
    names = ("verify_message", "reason", "strerror")
    return (
        str(next(filter(None, (getattr(error, name, None) for name in names)), error))[:_SHOWN] or type(error).__name__
    )
