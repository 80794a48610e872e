"""Databricks' SQL, and which names it takes. Knows nothing of Dagster."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.sql import Dialect, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagweave.warehouse.sql import Sql, TableName

# https://docs.databricks.com/aws/en/delta/column-mapping
_MAPPED_CHARACTERS: Final = frozenset(" ,;{}()\n\t=")
# https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-names
_FORBIDDEN: Final = re.compile(r"[. /\x00-\x1f\x7f]")


def _table_properties(columns: Sequence[str]) -> str:
    """Without a mapping, Delta refuses columns whose names Parquet would not have taken."""
    if not any(_MAPPED_CHARACTERS.intersection(name) for name in columns):
        return ""
    return "TBLPROPERTIES ('delta.columnMapping.mode' = 'name') "


DATABRICKS: Final = Dialect(
    kind="databricks",
    fold=str.lower,
    quote_mark="`",
    text="STRING",
    timestamp="TIMESTAMP_NTZ",
    timestamp_tz="TIMESTAMP",
    # https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-syntax-ddl-alter-table-manage-column
    alter_type="ALTER COLUMN {column} TYPE {type}",
    comment="ALTER TABLE {table} ALTER COLUMN {column} COMMENT {text}",
    insert_overwrite="INSERT OVERWRITE",
    replace_where=True,
    created_with=_table_properties,
    # https://docs.databricks.com/aws/en/delta/type-widening
    before_widening="SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true')",
    backslashes=True,
)


def require_names(table: TableName) -> None:
    """Refuse a name that Unity Catalog does not take.

    Raises:
        InvalidInput: Says which, and which characters are in its way.
    """
    for name in (table.database, table.schema, table.name):
        if name is not None and (_FORBIDDEN.search(name) or len(name) > 255):
            raise InvalidInput(
                f"{name!r} cannot be the name of a catalog, schema or table of Databricks.",
                seen=NAMES,
                remedy="Give the asset another key, or name the table in its metadata "
                "(dagster/table_name).",
            )


NAMES: Final = "Unity Catalog takes no dots, spaces, slashes and control characters there."


def bound(sql: Sql) -> tuple[str, list[dict[str, str | None]]]:
    """The text with a named marker for each value, and the values as the API takes them.

    https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-parameter-marker
    """
    parts: list[str] = []
    parameters: list[dict[str, str | None]] = []
    for part in sql.parts:
        if isinstance(part, Value):
            name = f"p{len(parameters)}"
            type_, text = _typed(part.value)
            parameters.append({"name": name, "type": type_, "value": text})
            parts.append(f":{name}")
        else:
            parts.append(part)
    return "".join(parts), parameters


def _typed(value: Any) -> tuple[str, str | None]:
    match value:
        case None:
            return "STRING", None
        case bool():
            return "BOOLEAN", str(value).lower()
        case int():
            return ("BIGINT" if -(2**63) <= value < 2**63 else "DECIMAL(38,0)"), str(value)
        case float():
            return "DOUBLE", repr(value)
        case Decimal():
            scale = max(0, -int(value.as_tuple().exponent))
            return f"DECIMAL(38,{scale})", format(value, "f")
        case dt.datetime():
            type_ = DATABRICKS.timestamp_tz if value.tzinfo else DATABRICKS.timestamp
            return type_, value.isoformat(sep=" ")
        case dt.date():
            return "DATE", value.isoformat()
        case _:
            return "STRING", str(value)
