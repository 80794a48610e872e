"""Databricks as a store of tables."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from dagweave._kernel.errors import InvalidInput
from dagweave.databricks.dialect import DATABRICKS, require_names
from dagweave.databricks.engine import CAPABILITIES, DatabricksEngine
from dagweave.databricks.statement import SqlWarehouse
from dagweave.databricks.workspace import Login, opened
from dagweave.warehouse.capabilities import require
from dagweave.warehouse.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from dagweave.warehouse.arrow import Stream
    from dagweave.warehouse.capabilities import Capabilities
    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.plan import ReadPlan, Receipt, WritePlan
    from dagweave.warehouse.sql import Dialect
    from dagweave.warehouse.store import Query
    from dagweave.weaving.table_ref import TableRef

# Threads of one process that write one table go one after the other. Others meet at Delta's log.
_WRITING: Final[dict[str, threading.Lock]] = defaultdict(threading.Lock)


def _silent(message: str) -> None:
    """Where nobody wants to know."""


@dataclass(frozen=True, slots=True)
class DatabricksStore:
    """The tables of a catalog, reached through a SQL warehouse.

    Args:
        login: The workspace.
        warehouse_id: The SQL warehouse that carries out the statements.
        catalog: Where tables are that name no catalog.
        volume: Where rows are staged: see `DatabricksEngine`.
        timeout_s: Longest time that a statement may take; `None` for no limit.
        tell: Gets a sentence when something takes long.
    """

    login: Login
    warehouse_id: str
    catalog: str
    volume: str | None = None
    timeout_s: float | None = None
    tell: Callable[[str], None] = field(default=_silent, repr=False)

    @property
    def dialect(self) -> Dialect:
        """Databricks' SQL."""
        return DATABRICKS

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return CAPABILITIES

    def locate(self, table: TableRef) -> TableRef:
        """The table as Databricks names it: in the catalog of the store, if it names none.

        Raises:
            InvalidInput: It is of another kind of warehouse, or its name is not possible.
        """
        if table.kind not in {None, DATABRICKS.kind}:
            raise InvalidInput(
                f"The table {table} is not in Databricks.",
                seen=f"It is in {table.kind}.",
                remedy="Use an I/O manager of the warehouse that dagster/table_name names, or take "
                "that metadata from the asset.",
            )
        return replace(table, database=table.database or self.catalog, kind=DATABRICKS.kind)

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table; `None` if there is none of that name."""
        return self._engine(f"{table} was not described.").describe(table)

    def write(self, plan: WritePlan, rows: Stream | Query) -> Receipt:
        """Carry out a plan in one statement that changes rows."""
        require(plan, CAPABILITIES, DATABRICKS.kind)
        require_names(plan.table)
        with self._lock(plan.table):
            return Tables(self._engine(f"{plan} was not written.")).write(plan, rows)

    @contextmanager
    def read(self, plan: ReadPlan, *, shared: bool = False) -> Generator[Stream]:  # noqa: ARG002
        """The rows; who writes meanwhile changes nothing of them."""
        yield Tables(self._engine(f"{plan.table} was not read.")).read(plan)

    @contextmanager
    def emptied(self, plan: WritePlan) -> Generator[Tables]:
        """What the plan replaces is gone; after an error the table is restored to what it was.

        Others see what is between: Databricks has no transaction of several statements.
        """
        engine = self._engine(f"{plan} was not written.")
        tables = Tables(engine)
        with self._lock(plan.table):
            before = engine.version(plan.table)
            try:
                tables.empty(plan)
                yield tables
            except BaseException:
                if before is not None:
                    engine.restore(plan.table, before)
                raise

    @contextmanager
    def connected(self) -> Generator[Tables]:
        """The SQL warehouse."""
        yield Tables(self._engine("A statement of Databricks failed."))

    def _lock(self, table: TableRef) -> threading.Lock:
        return _WRITING[f"{self.login.host} {table}".lower()]

    def _engine(self, what: str) -> DatabricksEngine:
        workspace = opened(self.login)
        warehouse = SqlWarehouse(
            workspace, self.warehouse_id, self.timeout_s, self.tell, self.login.secrets
        )
        return DatabricksEngine(warehouse, what, self.volume)
