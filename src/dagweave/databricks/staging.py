"""Put rows as Parquet into a volume, where SQL can read them; and take them away again.

https://docs.databricks.com/aws/en/volumes/
"""

from __future__ import annotations

import contextlib
import io
import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import DagweaveError, WorkFailed
from dagweave._kernel.extras import require
from dagweave.databricks.dialect import DATABRICKS
from dagweave.databricks.failures import translated
from dagweave.databricks.types import quoted
from dagweave.warehouse.arrow import converted
from dagweave.warehouse.sql import Sql

if TYPE_CHECKING:
    from collections.abc import Generator

    from dagweave.databricks.statement import SqlWarehouse
    from dagweave.warehouse.arrow import Schema, Stream
    from dagweave.weaving.table_ref import TableRef

VOLUME: Final = "dagweave_staging"
"""The volume that is made in a table's schema, where no other is named."""

_PART_BYTES: Final = 64 * 1024 * 1024
_MADE: Final[set[tuple[str, str]]] = set()
_LOCK: Final = threading.Lock()


@contextmanager
def staged_rows(
    warehouse: SqlWarehouse, stream: Stream, schema: Schema, table: TableRef, volume: str | None
) -> Generator[str]:
    """Where the rows of a stream are, as what SQL selects from; gone when the context ends.

    At most one part of them is in memory, of about 64 MB of Parquet.

    Args:
        schema: The types of the table's columns.
        volume: `catalog.schema.volume`; if it is not given, the one in the table's schema.
    """
    catalog, place, name = _volume(warehouse, table, volume)
    folder = f"/Volumes/{catalog}/{place}/{name}/{uuid.uuid4().hex}"
    what = f"The rows for {table} were not put into the volume {catalog}.{place}.{name}."
    files = warehouse.workspace.files
    uploaded: list[str] = []
    try:
        for part in _parts(converted(stream, schema, what=str(table)), what):
            path = f"{folder}/part-{len(uploaded):05}.parquet"
            uploaded.append(path)
            with translated(what, warehouse.secrets):
                files.upload(path, part, overwrite=True)
        yield f"parquet.{quoted(folder)}"
    finally:
        # What stays after all lies in a folder of its own, and is never read.
        for path in uploaded:
            with contextlib.suppress(Exception):
                files.delete(path)
        with contextlib.suppress(Exception):
            files.delete_directory(folder)


def _volume(warehouse: SqlWarehouse, table: TableRef, volume: str | None) -> tuple[str, str, str]:
    if volume is not None:
        catalog, schema, name = volume.split(".")
        return catalog, schema, name
    catalog, schema = table.database or "", table.schema or ""
    full_name = ".".join(DATABRICKS.quote(each) for each in (catalog, schema, VOLUME))
    known = (str(warehouse.workspace.config.host), full_name)
    with _LOCK:
        if known not in _MADE:
            made = Sql.of("CREATE VOLUME IF NOT EXISTS ", full_name)
            warehouse.rows(made, f"The volume {full_name} was not made.")
            _MADE.add(known)
    return catalog, schema, VOLUME


def _parts(stream: Stream, what: str) -> Generator[io.BytesIO]:
    """The rows as Parquet files; at least one, which has the columns.

    Raises:
        WorkFailed: The stream failed; says with what.
    """
    parquet = require("pyarrow.parquet", extra="databricks", what="Writing a table")

    batches = _batches(stream, what)
    batch = next(batches, None)
    first = True
    while first or batch is not None:
        first = False
        buffer = io.BytesIO()
        with parquet.ParquetWriter(buffer, stream.schema) as writer:
            while batch is not None and buffer.tell() < _PART_BYTES:
                writer.write_batch(batch)
                batch = next(batches, None)
        buffer.seek(0)
        yield buffer


def _batches(stream: Stream, what: str) -> Generator[Any]:
    try:
        yield from stream
    except DagweaveError:
        raise
    except Exception as error:  # the user's own generator raises what it likes
        raise WorkFailed(what, seen=f"The stream of rows broke off: {error}") from error
