"""What a warehouse must be able to do. All else in the family is shared by all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from dagweave.warehouse.slices import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from dagweave.warehouse.arrow import Schema, Stream
    from dagweave.warehouse.capabilities import Capabilities
    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.plan import ReadPlan, Receipt, WritePlan
    from dagweave.warehouse.sql import Dialect
    from dagweave.weaving.table_ref import TableRef


@dataclass(frozen=True, slots=True)
class Query:
    """A query whose rows stay in the warehouse: what an asset returns to have them made a table there.

    As an input, the query that reads the asset; `str()` puts it into another one.

    Example:
        ```python
        from dagster import asset
        from dagweave.warehouse import Query

        @asset
        def revenue(orders: Query) -> Query:
            return Query(f"SELECT day, sum(amount) AS amount FROM ({orders}) GROUP BY day")
        ```
    """

    sql: str

    def __str__(self) -> str:
        """The SQL."""
        return self.sql


class Session(Protocol):
    """An open connection."""

    @property
    def connection(self) -> Any:
        """The engine's own."""
        ...

    def query(self, plan: ReadPlan) -> str:
        """The query that reads what the plan says, for people."""
        ...


class TableStore(Protocol):
    """Tables of one database. Safe to share between threads; cheap to make.

    Every method opens what it needs and closes it, whatever happens. Failures are our errors, and
    say what was not done.
    """

    @property
    def dialect(self) -> Dialect:
        """The engine's SQL."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do of what the family offers."""
        ...

    def locate(self, table: TableRef) -> TableRef:
        """The table as this store names it, with database and location.

        Raises:
            InvalidInput: It is a table of another database, or of another kind of warehouse.
        """
        ...

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table; `None` if there is none of that name."""
        ...

    def write(self, plan: WritePlan, rows: Stream | Query) -> Receipt:
        """Carry out a plan, wholly or not at all: others see the old table or the new one.

        Raises:
            SchemaMismatch: The frame does not fit the table. No data was touched.
            InvalidInput: The engine cannot do what the plan says; see `capabilities`.
        """
        ...

    def read(self, plan: ReadPlan, *, shared: bool = False) -> AbstractContextManager[Stream]:
        """The rows, as a stream that lives as long as the context.

        Args:
            shared: Whether this process may want to write while the context is open, because a
                user's code runs in it.

        Raises:
            InvalidInput: There is no such table, or column.
        """
        ...

    def emptied(self, plan: WritePlan) -> AbstractContextManager[Session]:
        """A transaction in which what the plan replaces is gone, for another to write it.

        The table itself stays, if there is one. Leaving the context commits; an error leaves all
        as it was.
        """
        ...

    def connected(self) -> AbstractContextManager[Session]:
        """The engine's own connection."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of a table that are there for the taking, now or later, once or more often."""

    store: TableStore
    plan: ReadPlan

    def schema(self) -> Schema:
        """The columns that a stream of it has."""
        slice_ = self.plan.slice
        # In the time zone of the slice, which the engine may show in the types.
        nothing = replace(slice_, alternatives=()) if slice_ else NOTHING
        with self.store.read(replace(self.plan, slice=nothing)) as stream:
            return stream.schema

    def open(self, *, shared: bool = False) -> AbstractContextManager[Stream]:
        """Read the rows: see `TableStore.read`."""
        return self.store.read(self.plan, shared=shared)

    def select(self, columns: Sequence[str]) -> Source:
        """The same rows with only some of the columns."""
        return replace(self, plan=replace(self.plan, columns=tuple(columns)))
