"""SQL in which values stay apart from text, and what differs between warehouses as data.

A statement is built from text, identifiers quoted by `Dialect.quote`, and values that are bound
when it runs. Knows neither Dagster nor any engine.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from dagweave._kernel.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class TableName(Protocol):
    """A table's name, as far as it is known; a `TableRef`."""

    @property
    def name(self) -> str:
        """The table's own."""
        ...

    @property
    def schema(self) -> str | None:
        """The schema that it is in."""
        ...

    @property
    def database(self) -> str | None:
        """The database that the schema is in."""
        ...


@dataclass(frozen=True, slots=True)
class Value:
    """A value in a statement: bound when it runs, never part of its text."""

    value: object


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement, or a part of one."""

    parts: tuple[str | Value, ...]

    @classmethod
    def of(cls, *parts: str | Value | Sql) -> Sql:
        """Put parts together, in this order, with nothing between them."""
        flat: list[str | Value] = []
        for part in parts:
            flat.extend(part.parts if isinstance(part, Sql) else (part,))
        return cls(tuple(flat))

    @classmethod
    def join(cls, separator: str, parts: Iterable[str | Value | Sql]) -> Sql:
        """Put parts together with `separator` between them."""
        joined: list[str | Value | Sql] = []
        for part in parts:
            if joined:
                joined.append(separator)
            joined.append(part)
        return cls.of(*joined)


def _nothing(columns: Sequence[str]) -> str:  # noqa: ARG001 -- what a dialect may look at
    return ""


def _as_is(name: str) -> str:
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What an engine's SQL has of its own.

    `fold` maps two spellings of a column to one where the engine holds them for the same. `shown`
    is how a column that the engine calls so is called in frames, errors and reports.
    """

    kind: str
    fold: Callable[[str], str]
    shown: Callable[[str], str] = _as_is
    quote_mark: str = '"'
    placeholder: str = "?"
    text: str = "VARCHAR"
    timestamp: str = "TIMESTAMP"
    timestamp_tz: str = "TIMESTAMPTZ"
    alter_type: str = "ALTER COLUMN {column} SET DATA TYPE {type}"
    comment: str = "COMMENT ON COLUMN {table}.{column} IS {text}"
    insert_overwrite: str | None = None
    """What goes before a table to replace all its rows by those of a query: `INSERT OVERWRITE INTO`.
    Without it, they are deleted first."""
    replace_where: bool = False
    """Whether `INSERT INTO … REPLACE WHERE` and `MERGE` do at once what else are several statements."""
    created_with: Callable[[Sequence[str]], str] = _nothing
    """What a new table of these columns needs to be said before its `AS`, with a space after it."""
    before_widening: str | None = None
    """What `ALTER TABLE` has to do before a column's type can be changed."""
    backslashes: bool = False
    """Whether a backslash within a text's quotes escapes what follows it."""
    merges: bool = False
    """Whether rows are updated and added by `MERGE`, rather than by `UPDATE` and `INSERT`."""
    creates_first: bool = False
    """Whether a table that does not replace another is made empty (`IF NOT EXISTS`) before rows come:
    where DDL ends a transaction, and two writers may both find no table."""
    replaced_with: str = ""
    """What stands after the name in `CREATE OR REPLACE TABLE … AS`: ` COPY GRANTS`."""
    retypes: bool = True
    """Whether a column of text without values can become any other type by `alter_type`; otherwise it
    is dropped and added."""
    merge_replaces: bool = False
    """Whether one `MERGE` does it all: replaces rows, too, by joining nothing (`ON FALSE`)."""
    same: str = "{a} IS NOT DISTINCT FROM {b}"
    """How two keys are compared, of which a null is equal to a null."""
    or_replace: bool = True
    """Whether there is `CREATE OR REPLACE TABLE … AS`."""
    casts: bool = False
    """Whether `INSERT` turns values into the types of the columns, and refuses those that do not fit.
    Otherwise they are turned before they are sent."""

    def quote(self, identifier: str) -> str:
        """Write an identifier so that the engine takes it as it is spelled.

        Raises:
            InvalidInput: No engine takes an empty name, or one with a NUL character.
        """
        if not identifier or "\0" in identifier:
            raise InvalidInput(f"{identifier!r} cannot be the name of a schema, table or column.")
        mark = self.quote_mark
        return mark + identifier.replace(mark, mark + mark) + mark

    def table(self, table: TableName) -> str:
        """Write a table's name, with its schema and database where they are known."""
        parts = (table.database, table.schema, table.name)
        return ".".join(self.quote(part) for part in parts if part is not None)

    def bound(self, sql: Sql) -> tuple[str, list[object]]:
        """The text with a placeholder for each value, and the values in order."""
        text = "".join(part if isinstance(part, str) else self.placeholder for part in sql.parts)
        return text, [part.value for part in sql.parts if isinstance(part, Value)]

    def readable(self, sql: Sql) -> str:
        """The text with its values written out, for people to read and to paste; never run."""
        return "".join(
            part if isinstance(part, str) else self.literal(part.value) for part in sql.parts
        )

    def literal(self, value: object) -> str:
        """Write a value as SQL. For people, and for the few statements that bind nothing."""
        match value:
            case None:
                return "NULL"
            case bool():
                return str(value).upper()
            case int() | float() | Decimal():
                return str(value)
            case dt.datetime():
                kind = self.timestamp_tz if value.tzinfo else self.timestamp
                return f"{kind} '{value.isoformat(sep=' ')}'"
            case dt.date():
                return f"DATE '{value.isoformat()}'"
            case _:
                return "'" + self._escaped(str(value)) + "'"

    def _escaped(self, text: str) -> str:
        if self.backslashes:
            return text.replace("\\", "\\\\").replace("'", "\\'")
        return text.replace("'", "''")
