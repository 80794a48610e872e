"""BigQuery as a store of tables."""

from __future__ import annotations

import contextlib
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dagweave._kernel.errors import InvalidInput
from dagweave.bigquery.connections import Settings, bigquery_module, retry, shared
from dagweave.bigquery.dialect import BIGQUERY, as_labels, require_dataset, require_table
from dagweave.bigquery.engine import CAPABILITIES, STAGE, BigQueryEngine
from dagweave.bigquery.failures import translated
from dagweave.bigquery.jobs import Jobs
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
class BigQueryStore:
    """The tables of one project.

    `timeout_s` is how long a job is waited for; `labels` are given to every job.
    """

    settings: Settings
    timeout_s: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def dialect(self) -> Dialect:
        """BigQuery's SQL."""
        return BIGQUERY

    @property
    def capabilities(self) -> Capabilities:
        """All but what BigQuery does not have."""
        return CAPABILITIES

    def locate(self, table: TableRef) -> TableRef:
        """The table with the project that it is in: its own, or the store's.

        Raises:
            InvalidInput: It is of another warehouse, or of a name that BigQuery does not take.
        """
        if table.kind not in {None, BIGQUERY.kind}:
            raise InvalidInput(
                f"The table {table} is not in BigQuery.",
                seen=f"It is in {table.kind}.",
                remedy="Use an I/O manager of the warehouse that dagster/table_name names, or take "
                "that metadata from the asset.",
            )
        require_dataset(table.schema)
        require_table(table.name)
        project = table.database or self.settings.project
        return replace(table, database=project, kind=BIGQUERY.kind)

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table; `None` if there is none of that name."""
        with self._tables(f"{table} was not described.") as tables:
            return tables.engine.describe(table)

    def write(self, plan: WritePlan, rows: Stream | Query) -> Receipt:
        """Carry out a plan: by one load job, or one statement or transaction."""
        require(plan, CAPABILITIES, BIGQUERY.kind)
        with self._tables(f"{plan} was not written.", plan.labels) as tables:
            return tables.write(plan, rows)

    @contextmanager
    def read(self, plan: ReadPlan, *, shared: bool = False) -> Generator[Stream]:  # noqa: ARG002
        """The rows, as they are when the context begins."""
        with self._tables(f"{plan.table} was not read.") as tables:
            yield tables.read(plan)

    @contextmanager
    def emptied(self, plan: WritePlan) -> Generator[Tables]:
        """What the plan replaces is gone within the context; if it fails, the table is put back.

        Another writer brings its own jobs, which no transaction of BigQuery holds together. So a copy
        of the table is made first (a job that costs nothing), and takes its place again.
        """
        with self._tables(f"{plan} was not written.", plan.labels) as tables:
            there = tables.engine.describe(plan.table) is not None
            copy = self._copied(tables, plan.table) if there else None
            try:
                tables.empty(plan)
                yield tables
            except BaseException:
                if copy is not None:
                    _copy(tables, copy, _id(plan.table))
                raise
            finally:
                if copy is not None:
                    with contextlib.suppress(Exception):
                        tables.connection.delete_table(copy, not_found_ok=True, retry=retry())

    @contextmanager
    def connected(self) -> Generator[Tables]:
        """Google's client."""
        with self._tables("The connection failed.") as tables:
            yield tables

    def _copied(self, tables: Tables, table: TableRef) -> str:
        name = f"{table.database}.{table.schema}.{STAGE}{uuid.uuid4().hex}"
        _copy(tables, _id(table), name)
        return name

    @contextmanager
    def _tables(self, what: str, labels: Mapping[str, str] | None = None) -> Generator[Tables]:
        with translated(what, self.settings.secrets):
            clients = shared(self.settings, storage=True)
            given = {f"dagster_{key}": value for key, value in (labels or {}).items()}
            jobs = Jobs(clients.client, as_labels({**self.labels, **given}), self.timeout_s)
            yield Tables(BigQueryEngine(clients, jobs))


def _copy(tables: Tables, source: str, target: str) -> None:
    engine: Any = tables.engine
    config = bigquery_module("A copy job").CopyJobConfig(write_disposition="WRITE_TRUNCATE")

    def begin(name: str) -> Any:
        return tables.connection.copy_table(source, target, job_id=name, job_config=config)

    engine.jobs.done(begin)


def _id(table: TableRef) -> str:
    return f"{table.database}.{table.schema}.{table.name}"
