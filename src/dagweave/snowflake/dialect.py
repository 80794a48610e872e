"""Snowflake's SQL, its spelling of names, and what its error numbers mean. Knows nothing of Dagster."""

from __future__ import annotations

import datetime as dt
from typing import Final

from dagweave.warehouse.sql import Dialect, Sql, Value


def stored(name: str) -> str:
    """How a name is spelled in Snowflake: in upper case, as one that is written without quotes."""
    return name.upper()


def shown(name: str) -> str:
    """How a column is called in a frame that is loaded: in lower case, as in the official package."""
    return name.lower()


class SnowflakeDialect(Dialect):
    """Snowflake's SQL."""

    __slots__ = ()

    def bound(self, sql: Sql) -> tuple[str, list[object]]:
        """The text with a placeholder for each value, and the values in order.

        The connector binds times as text, so their type is said beside them. Where there are values,
        a percent sign of the text is doubled.
        """
        values = [_as_text(part.value) for part in sql.parts if isinstance(part, Value)]
        text = "".join(
            self._placeholder(part.value)
            if isinstance(part, Value)
            else part.replace("%", "%%" if values else "%")
            for part in sql.parts
        )
        return text, values

    def _placeholder(self, value: object) -> str:
        match value:
            case dt.datetime():
                return f"%s::{self.timestamp_tz if value.tzinfo else self.timestamp}"
            case dt.date():
                return "%s::DATE"
            case _:
                return "%s"

    def literal(self, value: object) -> str:
        """Write a value as SQL. A backslash escapes in a text, and no literal is of a time zone."""
        if isinstance(value, str):
            return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
        if isinstance(value, dt.datetime):
            kind = self.timestamp_tz if value.tzinfo else self.timestamp
            return f"'{value.isoformat(sep=' ')}'::{kind}"
        # Without the arguments, `super` does not find its way in a class with slots.
        return Dialect.literal(self, value)


def _as_text(value: object) -> object:
    # The connector would forget which of two hours of the same name it is.
    return value.isoformat(sep=" ") if isinstance(value, dt.datetime) else value


# https://docs.snowflake.com/en/sql-reference/identifiers-syntax
# https://docs.snowflake.com/en/sql-reference/sql/alter-table-column
SNOWFLAKE: Final = SnowflakeDialect(
    kind="snowflake",
    fold=stored,
    shown=shown,
    placeholder="%s",
    timestamp="TIMESTAMP_NTZ",
    timestamp_tz="TIMESTAMP_TZ",
    comment="ALTER TABLE {table} ALTER COLUMN {column} COMMENT {text}",
    insert_overwrite="INSERT OVERWRITE INTO",
    merges=True,
    creates_first=True,
    replaced_with=" COPY GRANTS",
    retypes=False,
)
