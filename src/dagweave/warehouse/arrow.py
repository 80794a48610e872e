"""The one door to pyarrow, which is imported when the first frame passes through.

pyarrow has no types of its own; the protocols here are what the family needs of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from dagweave._kernel.extras import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


class DataType(Protocol):
    """An Arrow type; `str()` gives its usual name: `int64`, `timestamp[us, tz=UTC]`."""


class Field(Protocol):
    """A named Arrow type."""

    name: str
    type: DataType


class Schema(Protocol):
    """The columns of an Arrow stream, in order."""

    names: list[str]

    def __iter__(self) -> Iterator[Field]:
        """The columns, in order."""
        ...

    def empty_table(self) -> Any:
        """A `pyarrow.Table` of these columns, without rows."""
        ...


class Stream(Protocol):
    """A `pyarrow.RecordBatchReader`: Arrow data that can be read once, batch by batch."""

    schema: Schema

    def read_all(self) -> Any:
        """All that is left, as a `pyarrow.Table`."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """The batches that are left."""
        ...


def pyarrow() -> ModuleType:
    """Import pyarrow.

    Raises:
        MissingExtra: It is not installed.
    """
    # Every warehouse extra brings pyarrow; DuckDB's is the one that needs no account.
    return require("pyarrow", extra="duckdb", what="Reading or writing a table")


def converted(stream: Stream, schema: Schema) -> Stream:
    """The same columns as other types, converted batch by batch."""
    if schema == stream.schema:
        return stream
    pa = pyarrow()

    def batches() -> Iterator[Any]:
        for batch in stream:
            columns = (
                column if column.type == field.type else column.cast(field.type)
                for column, field in zip(batch.columns, schema, strict=True)
            )
            yield pa.RecordBatch.from_arrays(list(columns), schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def zone_of(type_: DataType) -> str | None:
    """The time zone of a timestamp type; `None` if it has none, or is no timestamp."""
    return getattr(type_, "tz", None)
