"""The one door to pyarrow, which is imported when the first frame passes through.

pyarrow has no types of its own; the protocols here are what the family needs of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from dagweave._kernel.errors import SchemaMismatch
from dagweave._kernel.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType


class DataType(Protocol):
    """An Arrow type; `str()` gives its usual name: `int64`, `timestamp[us, tz=UTC]`."""


class Field(Protocol):
    """A named Arrow type."""

    name: str
    type: DataType

    def with_type(self, new_type: DataType) -> Field:
        """The same name with another type."""
        ...

    def with_name(self, name: str) -> Field:
        """The same type under another name."""
        ...


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


def converted(stream: Stream, schema: Schema, *, what: str = "The frame") -> Stream:
    """The same columns as other types, converted batch by batch.

    The stream raises `SchemaMismatch` at a value that the other type cannot hold.

    Args:
        what: What would then not be written, for the error.
    """
    if schema == stream.schema:
        return stream
    pa = pyarrow()

    def batches() -> Iterator[Any]:
        for batch in stream:
            columns = (
                column if column.type == field.type else _cast(column, field, what)
                for column, field in zip(batch.columns, schema, strict=True)
            )
            yield pa.RecordBatch.from_arrays(list(columns), schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def renamed(stream: Stream, names: Mapping[str, str]) -> Stream:
    """The same columns under other names."""
    if all(old == new for old, new in names.items()):
        return stream
    pa = pyarrow()
    schema = pa.schema([field.with_name(names[field.name]) for field in stream.schema])
    batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in stream)
    return pa.RecordBatchReader.from_batches(schema, batches)


class CountedStream:
    """A stream that counts what passes.

    `rows` and `bytes` are those that have passed so far.
    """

    def __init__(self, stream: Stream) -> None:
        self._batches = iter(stream)
        self._first: list[Any] = []
        self.rows = 0
        self.bytes = 0
        self.stream: Stream = pyarrow().RecordBatchReader.from_batches(
            stream.schema, self._counted()
        )

    def is_empty(self) -> bool:
        """Whether no row will pass. Looks for the first one, and keeps it."""
        while not self._first:
            batch = next(self._batches, None)
            if batch is None:
                return True
            if batch.num_rows:
                self._first.append(batch)
        return False

    def _counted(self) -> Iterator[Any]:
        for batches in (self._first, self._batches):
            for batch in batches:
                self.rows += batch.num_rows
                self.bytes += batch.nbytes
                yield batch


def checked_stream(stream: Stream, schema: Schema, *, what: str) -> CountedStream:
    """The same columns as other types: see `converted`; counted as they pass."""
    return CountedStream(converted(stream, schema, what=what))


def _cast(column: Any, field: Field, what: str) -> Any:
    try:
        return column.cast(field.type)
    except pyarrow().ArrowInvalid as error:
        raise SchemaMismatch(
            f"{what} was not written: column {field.name!r} of the table cannot hold a value as it is.",
            seen=f"The table has {field.type}, the frame {column.type}. {error}",
            remedy="All is as it was. Give the table's column the frame's type (ALTER TABLE); or "
            "round the values yourself, if that loses nothing.",
        ) from error


def zone_of(type_: DataType) -> str | None:
    """The time zone of a timestamp type; `None` if it has none, or is no timestamp."""
    return getattr(type_, "tz", None)


def in_zone(type_: DataType, zone: str) -> DataType:
    """The same type, in which each time that has a zone, however deep, has this one."""
    pa = pyarrow()
    return with_leaves(
        type_, lambda leaf: pa.timestamp(leaf.unit, zone) if zone_of(leaf) is not None else leaf
    )


def with_leaves(type_: Any, change: Callable[[Any], Any]) -> Any:
    """A type in which each one that holds no other is changed; dictionaries hold none."""
    pa = pyarrow()
    types = pa.types

    def deep(field: Any) -> Any:
        return field.with_type(with_leaves(field.type, change))

    if types.is_struct(type_):
        return pa.struct([deep(field) for field in type_])
    if types.is_map(type_):
        return pa.map_(deep(type_.key_field), deep(type_.item_field))
    if types.is_fixed_size_list(type_):
        return pa.list_(deep(type_.value_field), type_.list_size)
    if types.is_list(type_):
        return pa.list_(deep(type_.value_field))
    if types.is_large_list(type_):
        return pa.large_list(deep(type_.value_field))
    return change(type_)


def leaves(type_: Any) -> list[Any]:
    """The types that a type is made of and that hold no others."""
    found: list[Any] = []
    with_leaves(type_, lambda leaf: found.append(leaf) or leaf)
    return found
