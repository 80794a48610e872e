"""Types of columns, as Databricks writes them and as Arrow has them. Knows nothing of Dagster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.arrow import pyarrow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagweave.warehouse.arrow import Schema

# https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-datatypes
_PLAIN: Final = {
    "BOOLEAN": "bool_",
    "TINYINT": "int8",
    "BYTE": "int8",
    "SMALLINT": "int16",
    "SHORT": "int16",
    "INT": "int32",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "LONG": "int64",
    "FLOAT": "float32",
    "REAL": "float32",
    "DOUBLE": "float64",
    "STRING": "string",
    "BINARY": "binary",
    "DATE": "date32",
    "VOID": "null",
}
_DECIMALS: Final = {"DECIMAL", "DEC", "NUMERIC"}
_TOKEN: Final = re.compile(r"\s*(`(?:[^`]|``)*`|'(?:[^'\\]|\\.)*'|[^\s<>(),:`]+|[<>(),:])")


def arrow_of(text: str) -> Any:
    """The Arrow type of what Databricks calls so: `ARRAY<BIGINT>`, `struct<a:int>`.

    What Arrow has no type for (`VARIANT`, intervals) is text: that is how it is handed out.
    """
    return _Reader(text).type()


def text_of(type_: Any) -> str:
    """What Databricks calls the type of a column that holds values of an Arrow type.

    Raises:
        InvalidInput: Tables cannot hold them; says which type.
    """
    pa = pyarrow()
    types = pa.types
    if types.is_dictionary(type_):
        return text_of(type_.value_type)
    if isinstance(type_, pa.BaseExtensionType):
        return text_of(type_.storage_type)
    if types.is_struct(type_):
        fields = ", ".join(f"{quoted(field.name)}: {text_of(field.type)}" for field in type_)
        return f"STRUCT<{fields}>"
    if types.is_map(type_):
        return f"MAP<{text_of(type_.key_type)}, {text_of(type_.item_type)}>"
    if hasattr(type_, "value_field"):
        return f"ARRAY<{text_of(type_.value_type)}>"
    if types.is_timestamp(type_):
        return "TIMESTAMP_NTZ" if type_.tz is None else "TIMESTAMP"
    return _number(type_) or _other(type_)


def stored_schema(frame: Schema) -> Schema:
    """The columns of a table that is made of a frame, as they come back.

    Raises:
        InvalidInput: A column is of a type that tables do not have; names it.
    """
    found: list[Any] = []
    for field in frame:
        try:
            found.append(field.with_type(arrow_of(text_of(field.type))))
        except InvalidInput as error:
            raise InvalidInput(
                f"Column {field.name!r} of the frame is of a type that a table of Databricks cannot "
                f"hold: {field.type}.",
                seen=error.seen,
                remedy="Convert the column before you return the frame: a time of day or a duration "
                "to a number, a number of more than 38 digits to text.",
            ) from error
    return pyarrow().schema(found)


def quoted(name: str) -> str:
    """An identifier that is taken as it is spelled."""
    return "`" + name.replace("`", "``") + "`"


def _number(type_: Any) -> str | None:
    types = pyarrow().types
    if types.is_decimal(type_):
        return f"DECIMAL({type_.precision},{type_.scale})" if type_.precision <= 38 else None
    if types.is_integer(type_):
        signed = types.is_signed_integer(type_)
        # An unsigned integer needs the next wider one.
        bits = type_.bit_width if signed else type_.bit_width * 2
        return {8: "TINYINT", 16: "SMALLINT", 32: "INT", 64: "BIGINT", 128: "DECIMAL(20,0)"}[bits]
    if types.is_floating(type_):
        return "DOUBLE" if type_.bit_width == 64 else "FLOAT"
    return None


def _other(type_: Any) -> str:
    types = pyarrow().types
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    binaries = (
        types.is_binary,
        types.is_large_binary,
        types.is_binary_view,
        types.is_fixed_size_binary,
    )
    kinds = {
        "STRING": texts,
        "BINARY": binaries,
        "BOOLEAN": (types.is_boolean,),
        "DATE": (types.is_date,),
    }
    for name, tests in kinds.items():
        if any(test(type_) for test in tests):
            return name
    raise InvalidInput("There is no such type in a table.", seen=f"It holds {type_}.")


class _Reader:
    """Reads one type, from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens: Sequence[str] = _TOKEN.findall(text)
        self._at = 0

    def type(self) -> Any:
        pa = pyarrow()
        name = self._next().upper()
        if name == "ARRAY":
            (element,) = self._inner(1)
            return pa.list_(element)
        if name == "MAP":
            key, value = self._inner(2)
            return pa.map_(key, value)
        if name == "STRUCT":
            return self._struct()
        if name in _DECIMALS:
            digits = [int(each) for each in self._arguments()]
            return pa.decimal128(*(digits or [10, 0]))
        if name.startswith("TIMESTAMP"):
            return pa.timestamp("us", None if name.endswith("NTZ") else "UTC")
        if name in _PLAIN:
            return getattr(pa, _PLAIN[name])()
        # VARCHAR(n), INTERVAL DAY TO SECOND, VARIANT, …
        self._arguments()
        while self._peek() not in {None, ",", ">"}:
            self._next()
        return pa.string()

    def _inner(self, count: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(count):
            self._next()
            found.append(self.type())
        self._next()
        return found

    def _struct(self) -> Any:
        pa = pyarrow()
        fields: list[Any] = []
        self._next()
        while self._peek() not in {">", None}:
            name = self._next()
            if self._peek() == ":":
                self._next()
            type_ = self.type()
            plain = name[1:-1].replace("``", "`") if name.startswith("`") else name
            fields.append(pa.field(plain, type_))
            # NOT NULL, COMMENT '…'
            while self._peek() not in {",", ">", None}:
                self._next()
            if self._peek() == ",":
                self._next()
        self._next()
        return pa.struct(fields)

    def _arguments(self) -> list[str]:
        found: list[str] = []
        if self._peek() == "(":
            self._next()
            while (word := self._next()) not in {")", ""}:
                if word != ",":
                    found.append(word)
        return found

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> str:
        token = self._peek() or ""
        self._at += 1
        return token
