"""What any client of ours has in common: nothing goes with a request that its caller did not write."""

from typing import Any

import aiohttp

from workers.outgoing.request import Request, over_a_good_connection

__all__ = ["open_session"]


def open_session(connector: aiohttp.BaseConnector, timeout: float | None, **options: Any) -> aiohttp.ClientSession:
    """Return a session over connections of its own; timeout: seconds for a whole exchange, None for no bound here.

    It keeps no cookies, since one of one tenant must not go with a request for another, and reads neither proxies nor
    passwords out of the environment: a proxy would resolve names by itself, and reach what nobody judged. Answers are
    those to its requests.
    """
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=None),
        trust_env=False,
        request_class=Request,
        middlewares=(over_a_good_connection,),
        **options,
    )
