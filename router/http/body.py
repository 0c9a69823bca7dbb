"""Reading the body of a request as it comes, up to a limit."""

from aiohttp import StreamReader

from router.http.parser import RawRequestMessage


class BadBody(Exception):
    """The body could not be read; `status` and the message are for the sender."""

    status = 400

    def __init__(self, message: str = "the body ended early or is not well-formed") -> None:
        super().__init__(message)


class BodyTooLarge(BadBody):
    """The body is over the limit."""

    status = 413


class BodyTooSlow(BadBody):
    """The body did not arrive in time."""

    status = 408


class Body:
    """The body of one request, of at most `limit` bytes, whether or not the sender announced a length."""

    __slots__ = ("_chunks", "_limit", "_payload", "_size")

    def __init__(self, message: RawRequestMessage, payload: StreamReader, limit: int) -> None:
        self._payload = payload
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        if not payload.is_eof() and int(message.headers.get("Content-Length", "0").lstrip("0") or "0") > limit:
            raise BodyTooLarge(f"the body is over {limit} bytes")

    def read(self) -> bytes | None:
        """Take in what has come; return the whole body once it is complete, None before. Raises BadBody."""
        payload = self._payload
        if payload.exception() is not None:
            raise BadBody
        complete = payload.is_eof()
        chunk = payload.read_nowait()
        self._size += len(chunk)
        if self._size > self._limit:
            raise BodyTooLarge(f"the body is over {self._limit} bytes")
        if complete and not self._chunks:
            return chunk
        self._chunks.append(chunk)
        return b"".join(self._chunks) if complete else None
