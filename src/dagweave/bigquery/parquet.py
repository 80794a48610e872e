"""Rows as a file that BigQuery loads. Knows nothing of Dagster."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from dagweave._kernel.errors import DagweaveError, SchemaMismatch, WorkFailed
from dagweave.bigquery.connections import bigquery_module
from dagweave.warehouse.arrow import pyarrow

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from dagweave.warehouse.arrow import Stream
    from dagweave.warehouse.columns import Column


@contextmanager
def parquet_of(stream: Stream, columns: Sequence[Column]) -> Generator[IO[bytes]]:
    """A file of the rows, at its start; gone when the context ends.

    The rows are on the disk before the first is sent: a stream that breaks off sends none, and a
    connection that does, can go on where it was.

    Args:
        stream: The rows.
        columns: The columns of the table, in their order; one that the stream lacks is null.

    Raises:
        SchemaMismatch: A value cannot be what the table holds.
    """
    import pyarrow.parquet as pq

    pa = pyarrow()
    schema = pa.schema([(column.name, column.arrow) for column in columns])
    with tempfile.TemporaryFile(prefix="dagweave-") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in _unbroken(stream):
                writer.write_batch(_as(batch, schema))
        file.seek(0)
        yield file


def list_inference() -> Any:
    """How a list in a file becomes an array, and no struct of a struct."""
    options = bigquery_module("A load job").ParquetOptions()
    options.enable_list_inference = True
    return options


def _unbroken(stream: Stream) -> Iterator[Any]:
    try:
        yield from stream
    except DagweaveError:
        raise
    except Exception as error:
        raise WorkFailed(
            "The rows broke off before they were all there.",
            seen=f"{type(error).__name__}: {error}",
            remedy="Nothing was sent. Mend what gives the rows.",
        ) from error


def _as(batch: Any, schema: Any) -> Any:
    pa = pyarrow()
    given = dict(zip(batch.schema.names, batch.columns, strict=True))
    arrays: list[Any] = []
    for field in schema:
        values = given.get(field.name)
        if values is None:
            arrays.append(pa.nulls(batch.num_rows, field.type))
            continue
        try:
            values = values.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaMismatch(
                f"Column {field.name!r} of the frame has a value that BigQuery cannot hold.",
                seen=f"It would be {field.type}, the frame has {values.type}. {error}",
                remedy="Nothing was changed. Convert or round the values before you return the frame.",
            ) from error
        _require_no_null_in_lists(values, field.name)
        arrays.append(values)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _require_no_null_in_lists(values: Any, column: str) -> None:
    types = pyarrow().types
    if types.is_list(values.type):
        inside = values.flatten()
        if inside.null_count:
            raise SchemaMismatch(
                f"Column {column!r} of the frame has a list with a null in it.",
                seen=NULLS_IN_LISTS,
                remedy="Nothing was changed. Leave the nulls out of the lists, or make each value a "
                "struct.",
            )
        _require_no_null_in_lists(inside, column)
    elif types.is_struct(values.type):
        for part in values.flatten():
            _require_no_null_in_lists(part, column)


NULLS_IN_LISTS = "BigQuery's arrays hold no null, and an array that is null is an empty one."
