"""BigQuery's types and Arrow's, each said in the words of the other. Knows nothing of Dagster.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import InvalidInput
from dagweave.bigquery.connections import bigquery_module
from dagweave.bigquery.dialect import BIGQUERY, require_columns
from dagweave.warehouse.arrow import pyarrow
from dagweave.warehouse.columns import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.cloud.bigquery import SchemaField

    from dagweave.warehouse.arrow import DataType, Schema

_STANDARD: Final = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "STRUCT": "RECORD"}
_NUMERIC_SCALE: Final = 9
_NUMERIC_WHOLE: Final = 29
_BIGNUMERIC_SCALE: Final = 38
_BIGNUMERIC_WHOLE: Final = 38
_WITH_DIGITS: Final = r"(?P<type>\w+)(?:\((?P<precision>\d+), (?P<scale>\d+)\))?"


def column_of(field: SchemaField) -> Column:
    """A column of a table, as the family has it."""
    return Column(str(field.name), type_of(field), arrow_of(field))


def type_of(field: SchemaField) -> str:
    """A field's type, as SQL writes it."""
    kind = _STANDARD.get(field.field_type, field.field_type)
    if kind == "RECORD":
        inside = (f"{BIGQUERY.quote(each.name)} {type_of(each)}" for each in field.fields)
        kind = f"STRUCT<{', '.join(inside)}>"
    elif field.precision:
        kind = f"{kind}({field.precision}, {field.scale or 0})"
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else kind


def arrow_of(field: SchemaField) -> Any:
    """The Arrow type in which a field's values come back."""
    pa = pyarrow()
    kind = _STANDARD.get(field.field_type, field.field_type)
    if kind == "RECORD":
        found = pa.struct([pa.field(each.name, arrow_of(each)) for each in field.fields])
    elif kind in {"NUMERIC", "BIGNUMERIC"} and field.precision:
        found = _decimal(int(field.precision), int(field.scale or 0))
    else:
        found = _scalars().get(kind, pa.string())
    return pa.list_(found) if field.mode == "REPEATED" else found


def stored(frame: Schema) -> tuple[Column, ...]:
    """The columns of a table that would be made of a frame.

    Raises:
        InvalidInput: A column is of a type, or has a name, that BigQuery does not have.
    """
    require_columns(frame.names)
    return tuple(column_of(_field(each.name, each.type, each.name)) for each in frame)


def fields_of(
    columns: Sequence[Column], known: Mapping[str, SchemaField], notes: Mapping[str, str]
) -> list[SchemaField]:
    """The schema of a table, for BigQuery.

    Args:
        columns: Those of the table.
        known: The fields that a table which stays has, by name: what people gave them stays, too.
        notes: What is to be noted at a column.
    """
    found: list[SchemaField] = []
    for column in columns:
        there = known.get(column.name)
        if there is None or column_of(there).type != column.type:
            there = _field(column.name, column.arrow, column.name, declared=column.type)
        if note := notes.get(column.name):
            there = _make(**{**there.to_api_repr(), "description": note})
        found.append(there)
    return found


def _field(name: str, arrow: DataType, column: str, *, declared: str | None = None) -> SchemaField:
    pa, types = pyarrow(), pyarrow().types
    type_: Any = arrow
    if isinstance(type_, pa.BaseExtensionType):
        return _field(name, type_.storage_type, column, declared=declared)
    if types.is_dictionary(type_):
        return _field(name, type_.value_type, column, declared=declared)
    if _is_list(type_):
        if _is_list(type_.value_type):
            raise _has_no(column, arrow, "It has no list of lists.")
        inner = _field(name, type_.value_type, column)
        return _make(**{**inner.to_api_repr(), "mode": "REPEATED"})
    if types.is_struct(type_):
        require_columns(field.name for field in type_)
        inside: Any = [_field(each.name, each.type, column).to_api_repr() for each in type_]
        return _make(name=name, type="RECORD", fields=inside)
    if declared and (said := re.fullmatch(_WITH_DIGITS, declared)):
        return _make(name=name, **{k: v for k, v in said.groupdict().items() if v})
    if types.is_decimal(type_):
        return _make(name=name, **_digits(type_.precision, type_.scale, column, arrow))
    if types.is_uint64(type_):
        return _make(name=name, type="NUMERIC", precision="20", scale="0")
    return _make(name=name, type=_scalar(type_, column))


def _make(**api: Any) -> SchemaField:
    fields = bigquery_module("A schema").SchemaField
    return fields.from_api_repr({"mode": "NULLABLE", **api})


def _scalar(type_: Any, column: str) -> str:
    types = pyarrow().types
    for test, name in (
        (types.is_boolean, "BOOL"),
        (types.is_integer, "INT64"),
        (types.is_floating, "FLOAT64"),
        (types.is_date, "DATE"),
        (types.is_time, "TIME"),
    ):
        if test(type_):
            return name
    if types.is_timestamp(type_):
        return "DATETIME" if type_.tz is None else "TIMESTAMP"
    tests = (types.is_string, types.is_large_string, types.is_string_view)
    if any(test(type_) for test in tests):
        return "STRING"
    tests = (
        types.is_binary,
        types.is_large_binary,
        types.is_binary_view,
        types.is_fixed_size_binary,
    )
    if any(test(type_) for test in tests):
        return "BYTES"
    raise _has_no(
        column, type_, "A map may be a list of structs; a duration, a number of microseconds."
    )


def _digits(precision: int, scale: int, column: str, arrow: DataType) -> dict[str, str]:
    if scale <= _NUMERIC_SCALE and precision - scale <= _NUMERIC_WHOLE:
        kind, plain = "NUMERIC", (_NUMERIC_WHOLE + _NUMERIC_SCALE, _NUMERIC_SCALE)
    elif scale <= _BIGNUMERIC_SCALE and precision - scale <= _BIGNUMERIC_WHOLE:
        kind, plain = "BIGNUMERIC", (_BIGNUMERIC_WHOLE + _BIGNUMERIC_SCALE, _BIGNUMERIC_SCALE)
    else:
        raise _has_no(column, arrow, "BIGNUMERIC has 38 digits before the point and 38 after it.")
    if (precision, scale) == plain:
        return {"type": kind}
    return {"type": kind, "precision": str(max(precision, 1)), "scale": str(scale)}


def _decimal(precision: int, scale: int) -> Any:
    pa = pyarrow()
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def _scalars() -> dict[str, Any]:
    pa = pyarrow()
    return {
        "INT64": pa.int64(),
        "FLOAT64": pa.float64(),
        "BOOL": pa.bool_(),
        "BYTES": pa.binary(),
        "DATE": pa.date32(),
        "TIME": pa.time64("us"),
        "DATETIME": pa.timestamp("us"),
        "TIMESTAMP": pa.timestamp("us", "UTC"),
        "NUMERIC": _decimal(_NUMERIC_WHOLE + _NUMERIC_SCALE, _NUMERIC_SCALE),
        "BIGNUMERIC": _decimal(_BIGNUMERIC_WHOLE + _BIGNUMERIC_SCALE, _BIGNUMERIC_SCALE),
    }


def _is_list(type_: Any) -> bool:
    types = pyarrow().types
    tests = (types.is_list, types.is_large_list, types.is_list_view, types.is_fixed_size_list)
    return any(test(type_) for test in tests)


def _has_no(column: str, type_: object, hint: str) -> InvalidInput:
    return InvalidInput(
        f"Column {column!r} of the frame is of a type that BigQuery does not have: {type_}.",
        seen=hint,
        remedy="Convert the column before you return the frame.",
    )
