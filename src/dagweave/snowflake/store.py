"""Snowflake as a store of tables."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import InvalidInput
from dagweave.snowflake.connections import CONNECTIONS, Connections, secrets_of
from dagweave.snowflake.dialect import SNOWFLAKE, stored
from dagweave.snowflake.engine import CAPABILITIES, SnowflakeEngine
from dagweave.snowflake.failures import translated
from dagweave.warehouse.capabilities import require
from dagweave.warehouse.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from dagweave.warehouse.arrow import Stream
    from dagweave.warehouse.capabilities import Capabilities
    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.plan import ReadPlan, Receipt, WritePlan
    from dagweave.warehouse.sql import Dialect
    from dagweave.warehouse.store import Query
    from dagweave.weaving.table_ref import TableRef

_WRITERS: Final[dict[str, threading.RLock]] = {}
_WRITERS_LOCK: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class SnowflakeStore:
    """The tables of one database.

    `arguments` are those of `snowflake.connector.connect`.
    """

    database: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    connections: Connections = field(default_factory=lambda: CONNECTIONS, repr=False)

    @property
    def dialect(self) -> Dialect:
        """Snowflake's SQL."""
        return SNOWFLAKE

    @property
    def capabilities(self) -> Capabilities:
        """What Snowflake can do."""
        return CAPABILITIES

    @property
    def account(self) -> str | None:
        """The account that the tables are in."""
        account = self.arguments.get("account")
        return str(account).lower() if account else None

    def locate(self, table: TableRef) -> TableRef:
        """The table as Snowflake names it: in upper case, unless it is named in full already.

        Any database of the account will do; without one, it is the store's.

        Raises:
            InvalidInput: It is in another warehouse, or in another account.
        """
        elsewhere = table.location and self.account and table.location.lower() != self.account
        if elsewhere or table.kind not in {None, SNOWFLAKE.kind}:
            raise InvalidInput(
                f"The table {table} is not in this Snowflake account ({self.account}).",
                seen=f"It is in {table.location if elsewhere else table.kind}.",
                remedy="Use an I/O manager of the warehouse that dagster/table_name names, or take "
                "that metadata from the asset.",
            )
        return named_in_full(table, self.database, self.account)

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table; `None` if there is none of that name."""
        with self._tables(f"{table} was not described.") as tables:
            return tables.engine.describe(table)

    def write(self, plan: WritePlan, rows: Stream | Query) -> Receipt:
        """Carry out a plan, wholly or not at all."""
        require(plan, CAPABILITIES, SNOWFLAKE.kind)
        with self._alone(plan), self._tables(f"{plan} was not written.") as tables:
            return tables.write(plan, rows)

    @contextmanager
    def read(self, plan: ReadPlan, *, shared: bool = False) -> Generator[Stream]:  # noqa: ARG002
        """The rows; others may read and write meanwhile, and do not change them."""
        with self._tables(f"{plan.table} was not read.") as tables:
            yield tables.read(plan)

    @contextmanager
    def emptied(self, plan: WritePlan) -> Generator[Tables]:
        """A transaction in which what the plan replaces is gone. DDL in it would commit that."""
        with self._alone(plan), self._engine(f"{plan} was not written.") as engine:
            tables = Tables(engine)
            there = engine.describe(plan.table) is not None
            if not there:
                engine.create_schema(plan.table)
            with engine.transaction():
                if there:
                    tables.empty(plan)
                yield tables

    @contextmanager
    def connected(self) -> Generator[Tables]:
        """A connection on which each statement commits by itself."""
        with self._tables("The connection failed.") as tables:
            yield tables

    @contextmanager
    def _alone(self, plan: WritePlan) -> Generator[None]:
        """One thread of this process at a time writes to a table.

        Snowflake lets two of them delete nothing each and insert the same partition twice. Those of
        other processes wait for one another where rows are deleted.
        """
        name = f"{plan.table.location} {plan.table}"
        with _WRITERS_LOCK:
            lock = _WRITERS.setdefault(name, threading.RLock())
        with lock:
            yield

    @contextmanager
    def _tables(self, what: str) -> Generator[Tables]:
        with self._engine(what) as engine:
            yield Tables(engine)

    @contextmanager
    def _engine(self, what: str) -> Generator[SnowflakeEngine]:
        arguments = {**self.arguments, "database": stored(self.database)}
        with (
            translated(what, secrets_of(arguments)),
            self.connections.lent(arguments) as connection,
        ):
            engine = SnowflakeEngine(connection)
            yield engine
            engine.leave_no_trace()


def named_in_full(table: TableRef, database: str | None, account: str | None) -> TableRef:
    """The name as Snowflake spells it, as far as it is known.

    One that comes with its database was read from `dagster/table_name`, and so is spelled already.
    """
    if table.database is None or table.kind is None:
        table = replace(
            table,
            name=stored(table.name),
            schema=stored(table.schema) if table.schema else None,
            database=stored(table.database or database or "") or None,
        )
    return replace(table, kind=SNOWFLAKE.kind, location=account)
