"""Snowflake's SQL, its spelling of names, and what its error numbers mean. Knows nothing of Dagster."""

from __future__ import annotations

import datetime as dt
from typing import Final

from dagweave.warehouse.sql import Dialect


def stored(name: str) -> str:
    """How a name is spelled in Snowflake: in upper case, as one that is written without quotes."""
    return name.upper()


def shown(name: str) -> str:
    """How a column is called in a frame that is loaded: in lower case, as in the official package."""
    return name.lower()


class SnowflakeDialect(Dialect):
    """Snowflake's SQL."""

    __slots__ = ()

    def literal(self, value: object) -> str:
        """Write a value as SQL. A backslash escapes in a text, and no literal is of a time zone."""
        if isinstance(value, str):
            return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
        if isinstance(value, dt.datetime):
            kind = self.timestamp_tz if value.tzinfo else self.timestamp
            return f"'{value.isoformat(sep=' ')}'::{kind}"
        # Without the arguments, `super` does not find its way in a class with slots.
        return Dialect.literal(self, value)


# https://docs.snowflake.com/en/sql-reference/identifiers-syntax
# https://docs.snowflake.com/en/sql-reference/sql/alter-table-column
SNOWFLAKE: Final = SnowflakeDialect(
    kind="snowflake",
    fold=stored,
    timestamp="TIMESTAMP_NTZ",
    timestamp_tz="TIMESTAMP_TZ",
    comment="ALTER TABLE {table} ALTER COLUMN {column} COMMENT {text}",
    insert_overwrite="INSERT OVERWRITE INTO",
)
