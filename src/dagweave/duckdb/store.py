"""DuckDB as a store of tables."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagweave._kernel.errors import InvalidInput
from dagweave.duckdb.connections import Database, Patience
from dagweave.duckdb.dialect import DUCKDB, absolute, catalog_name, is_file
from dagweave.duckdb.engine import CAPABILITIES, DuckDBEngine
from dagweave.duckdb.failures import translated
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


@dataclass(frozen=True, slots=True)
class DuckDBStore:
    """The tables of one DuckDB database."""

    database: Database
    config: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    patience: Patience = field(default_factory=Patience)

    @property
    def dialect(self) -> Dialect:
        """DuckDB's SQL."""
        return DUCKDB

    @property
    def capabilities(self) -> Capabilities:
        """Everything."""
        return CAPABILITIES

    def locate(self, table: TableRef) -> TableRef:
        """The table as DuckDB names it; a file's tables are in the database named like the file.

        Raises:
            InvalidInput: It is of another warehouse, file or database.
        """
        path = self.database.path
        catalog = catalog_name(path)
        location = path if is_file(path) else None
        problem = None
        if table.kind not in {None, DUCKDB.kind}:
            problem = f"It is in {table.kind}."
        elif table.location and location and absolute(table.location) != location:
            problem = f"It is in {table.location}."
        elif table.database and catalog and DUCKDB.fold(table.database) != DUCKDB.fold(catalog):
            problem = f"Its database is {table.database!r}, this one is called {catalog!r}."
        if problem:
            raise InvalidInput(
                f"The table {table} is not in this DuckDB database ({location or catalog}).",
                seen=problem,
                remedy="Use an I/O manager of the warehouse that dagster/table_name names, or take "
                "that metadata from the asset.",
            )
        return replace(
            table, database=catalog or table.database, kind=DUCKDB.kind, location=location
        )

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table; `None` if there is none of that name, or no file yet."""
        if is_file(self.database.path) and not Path(self.database.path).exists():
            return None
        with self._tables(f"{table} was not described.", write=False) as tables:
            return tables.engine.describe(table)

    def write(self, plan: WritePlan, rows: Stream | Query) -> Receipt:
        """Carry out a plan in one transaction."""
        require(plan, CAPABILITIES, DUCKDB.kind)
        with self._writing(plan) as tables:
            return tables.write(plan, rows)

    @contextmanager
    def read(self, plan: ReadPlan, *, shared: bool = False) -> Generator[Stream]:
        """The rows; the file is opened for reading only, unless `shared` and it may be written."""
        write = shared and os.access(self.database.path, os.W_OK)
        with self._tables(f"{plan.table} was not read.", write=write) as tables:
            yield tables.read(plan)

    @contextmanager
    def emptied(self, plan: WritePlan) -> Generator[Tables]:
        """A transaction in which what the plan replaces is gone."""
        with self._writing(plan) as tables:
            tables.empty(plan)
            yield tables

    @contextmanager
    def connected(self) -> Generator[Tables]:
        """A connection that may write."""
        with self._tables("The connection failed.", write=True) as tables:
            yield tables

    @contextmanager
    def _writing(self, plan: WritePlan) -> Generator[Tables]:
        with (
            self.database.writing(self.patience),
            self._engine(f"{plan} was not written.", write=True) as engine,
            engine.transaction(),
        ):
            yield Tables(engine)

    @contextmanager
    def _tables(self, what: str, *, write: bool) -> Generator[Tables]:
        with self._engine(what, write=write) as engine:
            yield Tables(engine)

    @contextmanager
    def _engine(self, what: str, *, write: bool) -> Generator[DuckDBEngine]:
        connections = self.database.connection(self.config, write=write, patience=self.patience)
        with translated(what, self.config), connections as connection:
            yield DuckDBEngine(connection)
