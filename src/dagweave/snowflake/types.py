"""Snowflake's types as Arrow's, and the other way. Knows nothing of Dagster.

https://docs.snowflake.com/en/sql-reference/intro-summary-data-types
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.arrow import pyarrow

if TYPE_CHECKING:
    from dagweave.warehouse.arrow import DataType, Field

# What Snowflake makes of INT, BIGINT and their like, so what nearly every column of integers is.
INTEGER: Final = "NUMBER(38,0)"
_DIGITS: Final = 38
# Integers of more digits than 64 bits hold. Not of 38: there, the number of digits says nothing.
_LONG: Final = range(20, _DIGITS)

_SPELT: Final = re.compile(
    r"(?P<name>[A-Z_ ]+?) *(?:\((?P<first>\d+)(?: *, *(?P<second>\d+))?\).*)?"
)
_NAMES: Final = {
    "FLOAT": "FLOAT", "REAL": "FLOAT", "DOUBLE": "FLOAT",
    "BOOLEAN": "BOOLEAN",
    "BINARY": "BINARY", "VARBINARY": "BINARY",
    "DATE": "DATE",
    "NUMBER": "NUMBER", "DECIMAL": "NUMBER", "FIXED": "NUMBER",
    "TIME": "TIME",
    "TIMESTAMP": "TIMESTAMP_NTZ", "TIMESTAMP_NTZ": "TIMESTAMP_NTZ", "DATETIME": "TIMESTAMP_NTZ",
    "TIMESTAMP_LTZ": "TIMESTAMP_TZ", "TIMESTAMP_TZ": "TIMESTAMP_TZ",
}  # fmt: skip
_UNITS: Final = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def arrow_of(spelt: str) -> DataType:
    """The Arrow type of the values of a column: `NUMBER(10,2)` is `decimal128(10, 2)`.

    Integers are `int64`, unless they are declared with 20 to 37 digits. What is semi-structured
    (ARRAY, OBJECT, VARIANT) is the text of JSON, as Snowflake hands it over.
    """
    pa = pyarrow()
    found = _SPELT.fullmatch(spelt.upper().strip())
    name = _NAMES.get(found["name"]) if found else None
    if found is None or name is None:
        return pa.string()
    if name == "NUMBER":
        precision, scale = int(found["first"] or _DIGITS), int(found["second"] or 0)
        long = scale or precision in _LONG
        return pa.decimal128(precision, scale) if long else pa.int64()
    if name in {"TIME", "TIMESTAMP_NTZ", "TIMESTAMP_TZ"}:
        unit = _unit(int(found["first"] or 9))
        if name == "TIME":
            return pa.time32(unit) if unit in {"s", "ms"} else pa.time64(unit)
        return pa.timestamp(unit, "UTC" if name == "TIMESTAMP_TZ" else None)
    plain = {
        "FLOAT": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "BINARY": pa.binary(),
        "DATE": pa.date32(),
    }
    return plain[name]


def _unit(scale: int) -> str:
    return next(unit for unit, digits in _UNITS.items() if scale <= digits)


def spelt(field: Field) -> str:
    """The type of the column that a column of a frame is stored in.

    Raises:
        InvalidInput: Snowflake has none for it.
    """
    found = _spelt(field.type)
    if found is None:
        raise InvalidInput(
            "A column of the frame is of a type that Snowflake does not have.",
            seen=f"{field.name}: {field.type}",
            remedy="Convert the column before you return the frame: a duration to a number of "
            "seconds, say.",
        )
    return found


def _spelt(type_: Any) -> str | None:
    pa = pyarrow()
    types = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return _spelt(type_.storage_type)
    if types.is_dictionary(type_):
        return _spelt(type_.value_type)
    if types.is_uint64(type_):
        return "NUMBER(20,0)"
    if types.is_decimal(type_):
        fits = type_.precision <= _DIGITS and type_.scale >= 0
        return f"NUMBER({type_.precision},{type_.scale})" if fits else None
    if types.is_timestamp(type_):
        kind = "TIMESTAMP_NTZ" if type_.tz is None else "TIMESTAMP_TZ"
        return f"{kind}({_UNITS[type_.unit]})"
    if types.is_time(type_):
        return f"TIME({_UNITS[type_.unit]})"
    tests = {
        types.is_integer: INTEGER,
        types.is_floating: "FLOAT",
        types.is_boolean: "BOOLEAN",
        types.is_date: "DATE",
        _is_text: "VARCHAR",
        _is_binary: "BINARY",
        _is_list: "ARRAY",
        types.is_struct: "OBJECT",
        types.is_map: "OBJECT",
    }
    return next((name for test, name in tests.items() if test(type_)), None)


def _is_text(type_: Any) -> bool:
    types = pyarrow().types
    return types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_)


def _is_binary(type_: Any) -> bool:
    types = pyarrow().types
    tests = (
        types.is_binary,
        types.is_large_binary,
        types.is_fixed_size_binary,
        types.is_binary_view,
    )
    return any(test(type_) for test in tests)


def _is_list(type_: Any) -> bool:
    types = pyarrow().types
    tests = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view)
    return any(test(type_) for test in tests)
