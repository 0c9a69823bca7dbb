"""The archive in a bucket of S3, or of a server that speaks the same: with the extra `s3`.

The keys are those of the settings, or else those that the environment has for AWS: its variables, the role of the
machine or of the pod.
"""

import io
import tempfile
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Final, TypeVar, cast

from config.archive import ArchiveSettings
from config.errors import ExtraMissing
from workers.archive.errors import ArchiveUnreachable, Damaged, Swept
from workers.archive.place import PENDING, Still, Stored, is_pending, is_swept, pending_name

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

__all__ = ["Bucket", "check_installed"]

T = TypeVar("T")

_RETRIES: Final = 5
_IN_MEMORY: Final = 1024 * 1024  # bytes of an object that is read; what is larger goes into a file without a name
_SHOWN: Final = 300


def check_installed() -> None:
    """Raise ExtraMissing where obstore is."""
    try:
        import obstore  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise ExtraMissing("an archive in a bucket needs obstore", "s3") from None


class Bucket:
    """Keeps objects in a bucket, which has to be there."""

    def __init__(self, settings: ArchiveSettings) -> None:
        self._to = settings.to
        self._store = _store(settings)

    async def put(self, name: str, content: bytes, still: Still) -> None:
        """Put an object in one request and copy it in another: S3 shows each when it is whole and durable."""
        pending = pending_name(name)
        try:
            await self._do(self._store.put_async(pending, io.BytesIO(content), use_multipart=False))
            await still()
            await self._copy(pending, name)
        except Exception:  # who is cancelled does not wait for a bucket: the next sweep removes it
            await self.remove(pending)
            raise
        await self.remove(pending)

    async def sweep(self) -> None:
        """Remove what is being put: an object that is gone cannot be copied."""
        async for found in self._all(PENDING):
            if is_swept(found.name):
                await self.remove(found.name)

    async def open(self, name: str) -> IO[bytes]:
        """Fetch an object into a file."""
        from obstore.exceptions import NotFoundError  # noqa: PLC0415 - an extra

        file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
        try:
            found = await self._do(self._store.get_async(name))
            async for part in found.stream():
                file.write(part)
        except BaseException as error:
            file.close()
            if isinstance(error.__cause__, NotFoundError | FileNotFoundError):
                raise Damaged("it is not there any more") from None
            if isinstance(error, ArchiveUnreachable):
                raise
            raise self._unreachable(error) if isinstance(error, Exception) else error from error
        file.seek(0)
        return file

    async def list(self, folder: str = "") -> AsyncIterator[Stored]:
        """Yield what is there, page by page, without what is being put."""
        async for found in self._all(folder):
            if not is_pending(found.name):
                yield found

    async def remove(self, name: str) -> None:
        """Remove an object."""
        await self._do(self._store.delete_async(name))

    async def _all(self, folder: str) -> AsyncIterator[Stored]:
        pages = aiter(self._store.list(folder or None))
        while (page := await self._do(anext(pages, None))) is not None:
            for found in page:
                yield Stored(found["path"], found["size"])

    async def _copy(self, pending: str, name: str) -> None:
        try:
            await self._do(self._store.copy_async(pending, name))
        except ArchiveUnreachable as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise Swept(f"{pending} was removed before it became {name}") from None
            raise

    async def _do(self, what: Awaitable[T]) -> T:
        try:
            return await what
        except Exception as error:  # what it raises is Rust's: its own classes, and those of Python for some
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ArchiveUnreachable:
        return ArchiveUnreachable(f"{self._to}: {' '.join(str(error).split())[:_SHOWN]}")


def _store(settings: ArchiveSettings) -> "S3Store":
    from obstore.store import S3Store  # noqa: PLC0415 - an extra

    bucket, folder = settings.bucket
    secret = settings.secret_key.get_secret_value() if settings.secret_key else ""
    given = {
        "endpoint": settings.endpoint,
        "region": settings.region,
        "access_key_id": settings.access_key,
        "secret_access_key": secret,
        "server_side_encryption": settings.encryption,
        "sse_kms_key_id": settings.kms_key,
    }
    return S3Store(
        bucket,
        prefix=folder or None,
        config=cast("S3Config", {name: value for name, value in given.items() if value}),
        client_options={
            "allow_http": settings.endpoint.startswith("http:"),
            "timeout": timedelta(seconds=settings.timeout),
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=settings.timeout)},
    )
