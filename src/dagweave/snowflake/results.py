"""What a query gives, as Arrow: chunk by chunk as Snowflake's connector fetches it, no row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagweave._kernel.errors import InvalidInput
from dagweave.snowflake.types import arrow_of
from dagweave.warehouse.arrow import pyarrow

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from dagweave.warehouse.arrow import Field, Schema, Stream

# What a column of a result is called by its number: snowflake.connector.constants.FIELD_TYPES.
_TYPES = (
    "FIXED", "REAL", "TEXT", "DATE", "TIMESTAMP", "VARIANT", "TIMESTAMP_LTZ", "TIMESTAMP_TZ",
    "TIMESTAMP_NTZ", "OBJECT", "ARRAY", "BINARY", "TIME", "BOOLEAN",
)  # fmt: skip


def schema_of(description: Sequence[Any]) -> Schema:
    """The columns of a result, by what the connector says of it."""
    pa = pyarrow()
    return pa.schema([(each.name, arrow_of(_spelt(each))) for each in description])


def stream_of(cursor: Any) -> Stream:
    """The rows that a cursor has, which the connection must outlive.

    The type of a column is the same in each batch, whatever its values there are.
    """
    schema = schema_of(cursor.description)
    return pyarrow().RecordBatchReader.from_batches(schema, _batches(cursor, schema))


def _spelt(column: Any) -> str:
    number: int = column.type_code
    name = _TYPES[number] if number < len(_TYPES) else "VARIANT"
    if name == "FIXED":
        return f"NUMBER({column.precision or 38},{column.scale or 0})"
    return f"{name}({column.scale or 0})" if name.startswith("TIME") else name


def _batches(cursor: Any, schema: Schema) -> Generator[Any]:
    pa = pyarrow()
    # Nanoseconds end in 2262; where no column has them, no value need fit into them.
    exact = any(str(field.type).startswith("timestamp[ns") for field in schema)
    for table in cursor.fetch_arrow_batches(force_microsecond_precision=not exact):
        columns = [
            column if column.type == field.type else _cast(column, field)
            for column, field in zip(table.columns, schema, strict=True)
        ]
        yield from pa.Table.from_arrays(columns, schema=schema).to_batches()


def _cast(column: Any, field: Field) -> Any:
    pa = pyarrow()
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(
            f"Column {field.name!r} has a value that {field.type} does not hold.",
            seen=str(error),
            remedy="Leave the column out (the 'columns' in the metadata of the input), or read a view "
            "that casts it to VARCHAR.",
        ) from error
