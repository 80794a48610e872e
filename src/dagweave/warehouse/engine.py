"""What engines do each in their own way. All else of reading and writing tables is shared.

An engine is an open connection that can describe, ask, run and stage; `tables.Tables` does the rest
with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from dagweave.warehouse.arrow import Schema, Stream
    from dagweave.warehouse.capabilities import Capabilities
    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.slices import Slice
    from dagweave.warehouse.sql import Dialect, Sql
    from dagweave.weaving.table_ref import TableRef


@dataclass(frozen=True, slots=True)
class Merged:
    """How many rows a statement changed that does several things at once."""

    inserted: int
    updated: int
    deleted: int


@dataclass(eq=False, slots=True)
class Told:
    """What an engine told of the statements that it ran, in their order."""

    rows: list[int | None] = field(default_factory=list["int | None"])
    """How many rows each inserted, updated or deleted; `None` where the engine does not say."""
    merged: dict[int, Merged] = field(default_factory=dict[int, Merged])
    """By their place: those that did several things; `rows` has what they inserted."""
    query_ids: list[str] = field(default_factory=list[str])
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows that SQL can read.

    `source` is a table, or a query in brackets. It can be read `again` and again, or once.
    """

    source: str
    again: bool


class Batch(Protocol):
    """Statements that change a table together, or not at all."""

    def run(self, statement: Sql) -> int:
        """Run it, now or when the batch ends; return its place in `told.rows`."""
        ...

    @property
    def told(self) -> Told:
        """What became of the statements; known when the batch has ended, or sooner."""
        ...


class Engine(Protocol):
    """An open connection to one warehouse. Belongs to one thread."""

    @property
    def connection(self) -> Any:
        """The engine's own."""
        ...

    @property
    def dialect(self) -> Dialect:
        """Its SQL."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table or view; `None` if there is none of that name."""
        ...

    def tables(self, table: TableRef) -> Sequence[str]:
        """The names of tables that somebody may have meant by `table`, as `schema.table`."""
        ...

    def create_schema(self, table: TableRef) -> None:
        """Let the schema of a table be there."""
        ...

    def as_stored(self, frame: Schema) -> tuple[Column, ...]:
        """The columns of a table that would be made of a frame.

        Raises:
            InvalidInput: A column is of a type that the engine does not have.
        """
        ...

    def schema_of(self, query: Sql) -> Schema:
        """The columns that a query gives, which is not run.

        Raises:
            InvalidInput: The engine does not understand it; says what it says.
        """
        ...

    def count(self, query: Sql) -> int:
        """The one number that a query gives."""
        ...

    def stream(self, query: Sql) -> Stream:
        """The rows of a query, as the engine hands them out. The connection must outlive it."""
        ...

    def read_expression(self, column: Column) -> str | None:
        """What reads a column whose own name would give something that Arrow cannot tell."""
        ...

    def given_back(self, column: Column) -> Any:
        """The Arrow type in which a column comes back, where that is not the stream's; else `None`."""
        ...

    def staged(
        self, stream: Stream, table: TableRef, *, again: bool
    ) -> AbstractContextManager[Staged]:
        """Let SQL read a stream, beside `table`; gone when the context ends.

        Args:
            again: Whether it has to be read more than once.
        """
        ...

    def batch(self) -> AbstractContextManager[Batch]:
        """Statements that take effect together when the context ends, and not if it fails."""
        ...

    def keep_time_in(self, slice_: Slice | None) -> None:
        """Let `CAST(t AS TIMESTAMP)` and the like mean the wall clock that the partitions mean."""
        ...

    def zones(self, table: TableRef) -> Mapping[str, str]:
        """The time zone that each column's values were written in, where that was noted."""
        ...

    def declared(self, table: TableRef) -> Sequence[str]:
        """What people gave a table beyond its columns, and a new one would not have, as SQL."""
        ...


@runtime_checkable
class Loader(Protocol):
    """What an engine has besides, that makes a table of a stream in one step, past its SQL."""

    def load(
        self,
        stream: Stream,
        table: TableRef,
        columns: Sequence[Column],
        zones: Mapping[str, str],
        *,
        replace: bool,
    ) -> Told:
        """Make a table of a stream, at once: others see the old one, or the new one whole.

        Args:
            columns: Those of the table; one that the stream does not have is null.
            zones: The time zone that a column's values are written in, to be noted.
            replace: Whether a table that is there goes; otherwise it is an error.
        """
        ...
