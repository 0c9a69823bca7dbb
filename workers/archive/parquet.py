"""Objects as Parquet, for those who query the archive: with the extra `parquet`.

The columns are those of a line: `event` and `hints` are JSON, `raw` is binary, and `fields` is the line of an entry
that was edited manually. What is often asked for stands beside them: company, tenant, resource and action.
"""

import io
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from config.errors import ExtraMissing
from router.store.record import AT, EVENT, GENERATION, HINTS, ID, RAW, TRACE
from workers.archive.errors import Damaged
from workers.archive.line import Archived, read_line, write_line

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SUFFIX", "Parquet", "check_installed", "read"]

SUFFIX: Final = "parquet"

_BATCH: Final = 1000
_LAST_MS: Final = 253_402_300_799_000  # the last second a datetime can hold
_SHOWN: Final = ("company_id", "tenant_id", "resource", "action")
_TEXTS: Final = ((EVENT, "event"), (HINTS, "hints"), (TRACE, "trace"), (GENERATION, "generation"))


def check_installed() -> None:
    """Raise ExtraMissing where pyarrow is."""
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 - an extra, and slow to import
    except ImportError:
        raise ExtraMissing("an archive in Parquet needs pyarrow", "parquet") from None


class Parquet:
    """Writes one object, in memory."""

    suffix = SUFFIX

    def __init__(self) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above

        self._buffer = io.BytesIO()
        self._schema = _schema()
        self._writer = pq.ParquetWriter(self._buffer, self._schema, compression="zstd", write_page_checksum=True)

    def add(self, entries: Sequence[Archived]) -> int:
        """Add entries; return how many bytes they are before compression."""
        import pyarrow as pa  # noqa: PLC0415 - as above

        batch = pa.RecordBatch.from_pylist([_row(entry) for entry in entries], schema=self._schema)
        self._writer.write_batch(batch)
        return int(batch.nbytes)

    def finish(self) -> bytes:
        """Return the object."""
        self._writer.close()
        return self._buffer.getvalue()


def read(file: IO[bytes]) -> Iterator[Archived]:
    """Yield the entries of an object; raises Damaged where it holds something else."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as table:
            for batch in table.iter_batches(batch_size=_BATCH, columns=[field.name for field in _schema()]):
                yield from map(_entry, batch.to_pylist())
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(f"it is no whole Parquet file of the archive ({str(error)[:200]})") from None


def _schema() -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415 - as above

    texts = ("entry", "stream", "id", *_SHOWN, *(name for _, name in _TEXTS), "fields")
    columns = [(name, pa.string()) for name in texts]
    return pa.schema([*columns, ("at", pa.timestamp("ms", tz="UTC")), ("raw", pa.binary())])


def _row(entry: Archived) -> dict[str, Any]:
    """Return the row of an entry; one that its line cannot have as it is goes into `fields` whole."""
    row: dict[str, Any] = {"entry": entry.entry_id, "stream": entry.stream}
    line = write_line(entry)
    document = msgspec.json.decode(line)
    if "fields" in document or document.get("at", 0) > _LAST_MS:
        return {**row, "fields": line.decode()}
    fields = entry.fields
    event = document.get("event")
    shown = {name: event.get(name) for name in _SHOWN} if isinstance(event, dict) else {}
    row |= {name: value for name, value in shown.items() if isinstance(value, str)}
    row |= {name: fields[field].decode() for field, name in _TEXTS if field in fields}
    return row | {"id": document["id"], "at": document.get("at"), "raw": fields[RAW]}


def _entry(row: dict[str, Any]) -> Archived:
    if row["fields"] is not None:
        return read_line(row["fields"].encode())
    fields = {ID: row["id"].encode(), RAW: row["raw"]}
    if row["at"] is not None:
        fields[AT] = b"%d" % round(row["at"].timestamp() * 1000)
    fields |= {field: row[name].encode() for field, name in _TEXTS if row[name] is not None}
    return Archived(row["stream"], row["entry"], fields)
