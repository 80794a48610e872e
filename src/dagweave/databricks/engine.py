"""Databricks as an engine of the warehouse family: what it does in its own way."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave.databricks.dialect import DATABRICKS, NAMES, require_names
from dagweave.databricks.failures import is_missing, translated
from dagweave.databricks.staging import staged_rows
from dagweave.databricks.types import arrow_of, stored_schema, text_of
from dagweave.warehouse.capabilities import all_but, never
from dagweave.warehouse.columns import Column
from dagweave.warehouse.engine import Staged, Told
from dagweave.warehouse.sql import Sql, Value
from dagweave.warehouse.writing import ZONE_NOTE

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from dagweave.databricks.result import Answer
    from dagweave.databricks.statement import SqlWarehouse
    from dagweave.warehouse.arrow import Schema, Stream
    from dagweave.warehouse.capabilities import Capabilities
    from dagweave.warehouse.slices import Slice
    from dagweave.warehouse.sql import Dialect
    from dagweave.weaving.table_ref import TableRef

CAPABILITIES: Final = all_but(
    ODD_NAMES=never(NAMES),
    RETYPE=never("Delta gives a column a wider type, and no other."),
)


@dataclass(eq=False, slots=True)
class _Statements:
    """Statements that are carried out when all are known, one after the other."""

    waiting: list[Sql] = field(default_factory=list[Sql])
    told: Told = field(default_factory=Told)

    def run(self, statement: Sql) -> int:
        self.waiting.append(statement)
        return len(self.waiting) - 1


@dataclass(frozen=True, slots=True)
class DatabricksEngine:
    """A SQL warehouse, for one read or write. Belongs to one thread.

    Args:
        warehouse: What carries out statements.
        what: What is not done if one fails, as a sentence.
        volume: Where rows are staged, as `catalog.schema.volume`; if it is not given, a volume in
            the schema of the table.
    """

    warehouse: SqlWarehouse
    what: str
    volume: str | None = None
    _seen: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)

    @property
    def connection(self) -> SqlWarehouse:
        """The SQL warehouse."""
        return self.warehouse

    @property
    def dialect(self) -> Dialect:
        """Databricks' SQL."""
        return DATABRICKS

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return CAPABILITIES

    @contextmanager
    def batch(self) -> Generator[_Statements]:
        """Statements, each of which is atomic by itself: there is no transaction of several."""
        batch = _Statements()
        yield batch
        self._seen.clear()
        for statement in batch.waiting:
            answer = self.warehouse.rows(statement, self.what)
            batch.told.rows.append(_changed(answer))
            batch.told.query_ids.append(answer.statement_id)
        if batch.told.query_ids:
            batch.told.url = self.warehouse.url(batch.told.query_ids[-1])

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table or view; `None` if there is none of that name."""
        found = self._info(table)
        if found is None:
            return None
        return tuple(
            Column(each.name, each.type_text, arrow_of(each.type_text))
            for each in found.columns or ()
        )

    def tables(self, table: TableRef) -> Sequence[str]:
        """All that there are in the catalog."""
        catalog = DATABRICKS.quote(table.database or "")
        names = f"SELECT table_schema, table_name FROM {catalog}.information_schema.tables"  # noqa: S608 -- quoted
        answer = self.warehouse.rows(
            Sql.of(names, " WHERE table_catalog = ", Value(table.database), " LIMIT 5000"),
            self.what,
            changes=False,
        )
        return [".".join(row) for row in answer.rows]

    def create_schema(self, table: TableRef) -> None:
        """Let the schema of a table be there."""
        require_names(table)
        with translated(self.what, self.warehouse.secrets):
            try:
                self.warehouse.workspace.schemas.get(f"{table.database}.{table.schema}")
            except Exception as error:
                if not is_missing(error):
                    raise
            else:
                return
        name = ".".join(DATABRICKS.quote(each or "") for each in (table.database, table.schema))
        self.warehouse.rows(Sql.of("CREATE SCHEMA IF NOT EXISTS ", name), self.what)

    def as_stored(self, frame: Schema) -> tuple[Column, ...]:
        """The columns of a table that would be made of a frame."""
        return tuple(
            Column(each.name, text_of(each.type), each.type) for each in stored_schema(frame)
        )

    def schema_of(self, query: Sql) -> Schema:
        """The columns that a query gives."""
        nothing = Sql.of("SELECT * FROM (", query, ") AS asked LIMIT 0")
        try:
            answer = self.warehouse.rows(nothing, "Databricks cannot run the query.", changes=False)
        except InvalidInput:
            raise
        except DagweaveError as error:
            if error.retryable:
                raise
            raise InvalidInput(
                "Databricks cannot run the query.", seen=error.seen, remedy=error.remedy
            ) from error
        return answer.schema

    def count(self, query: Sql) -> int:
        """The one number that a query gives."""
        [[number]] = self.warehouse.rows(query, self.what, changes=False).rows
        return int(number)

    def stream(self, query: Sql) -> Stream:
        """The rows of a query."""
        return self.warehouse.stream(query, self.what)

    def read_expression(self, column: Column) -> str | None:  # noqa: ARG002
        """Nothing: each column gives what Arrow can tell."""
        return None

    def given_back(self, column: Column) -> Any:  # noqa: ARG002
        """Nothing: the stream's type is right."""
        return None

    @contextmanager
    def staged(self, stream: Stream, table: TableRef, *, again: bool) -> Generator[Staged]:  # noqa: ARG002
        """The rows as Parquet in a volume: can be read as often as one likes."""
        schema = stored_schema(stream.schema)
        with staged_rows(self.warehouse, stream, schema, table, self.volume) as source:
            yield Staged(source, again=True)

    def keep_time_in(self, slice_: Slice | None) -> None:
        """Nothing: a statement's session is its own, in the time zone of the SQL warehouse."""

    def zones(self, table: TableRef) -> Mapping[str, str]:
        """The time zone that each column's values were written in, where that was noted."""
        found = self._info(table)
        return {
            each.name: each.comment.removeprefix(ZONE_NOTE)
            for each in (found.columns if found else None) or ()
            if each.comment and each.comment.startswith(ZONE_NOTE)
        }

    def declared(self, table: TableRef) -> Sequence[str]:
        """The constraints of a table. What is granted stays with its name anyhow."""
        found = self._info(table)
        if found is None:
            return []
        properties: Mapping[str, str] = found.properties or {}
        checks = [
            f"CHECK ({text})"
            for name, text in properties.items()
            if name.startswith("delta.constraints.")
        ]
        keys = [str(each.as_dict()) for each in found.table_constraints or ()]
        required = [f"NOT NULL ({c.name})" for c in found.columns or () if c.nullable is False]
        return [*checks, *keys, *required]

    def version(self, table: TableRef) -> int | None:
        """The version of the table's data now; `None` if there is no table."""
        if self._info(table) is None:
            return None
        history = Sql.of("DESCRIBE HISTORY ", DATABRICKS.table(table), " LIMIT 1")
        return self.warehouse.rows(history, self.what, changes=False).number("version")

    def restore(self, table: TableRef, version: int) -> None:
        """Let the table's data be as they were in a version."""
        name = DATABRICKS.table(table)
        statement = Sql.of(f"RESTORE TABLE {name} TO VERSION AS OF {version}")
        self.warehouse.rows(statement, f"{table} was not restored to version {version}.")

    def _info(self, table: TableRef) -> Any:
        """What Unity Catalog knows of a table; asked once between two changes."""
        name = f"{table.database}.{table.schema}.{table.name}"
        if name not in self._seen:
            with translated(self.what, self.warehouse.secrets):
                try:
                    self._seen[name] = self.warehouse.workspace.tables.get(name)
                except Exception as error:
                    if not is_missing(error):
                        raise
                    self._seen[name] = None
        return self._seen[name]


def _changed(answer: Answer) -> int | None:
    """How many rows a statement inserted or updated; or deleted, if it did nothing else."""
    inserted, updated = answer.number("num_inserted_rows"), answer.number("num_updated_rows")
    if inserted is None and updated is None:
        return answer.number("num_affected_rows")
    return (inserted or 0) + (updated or 0)
