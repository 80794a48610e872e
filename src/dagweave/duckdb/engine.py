"""DuckDB as an engine of the warehouse family: what it does in its own way."""

from __future__ import annotations

import contextlib
import itertools
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave.duckdb.connections import duckdb_module
from dagweave.duckdb.dialect import DUCKDB
from dagweave.warehouse.arrow import pyarrow
from dagweave.warehouse.capabilities import all_but
from dagweave.warehouse.columns import Column
from dagweave.warehouse.engine import Staged, Told
from dagweave.warehouse.sql import Sql, Value
from dagweave.warehouse.writing import ZONE_NOTE

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from dagweave.warehouse.arrow import Schema, Stream
    from dagweave.warehouse.capabilities import Capabilities
    from dagweave.warehouse.slices import Slice
    from dagweave.warehouse.sql import Dialect
    from dagweave.weaving.table_ref import TableRef

CAPABILITIES: Final = all_but()

# Large enough to cost nothing, small enough that a stream's memory stays flat.
_BATCH_ROWS: Final = 100_000

_STREAM_NUMBERS = itertools.count()


@dataclass(eq=False, slots=True)
class _Statements:
    """Statements that run at once, in the transaction that is open."""

    engine: DuckDBEngine
    told: Told = field(default_factory=Told)

    def run(self, statement: Sql) -> int:
        rows = self.engine.rows(statement)
        # Of a statement that changes rows, DuckDB answers how many.
        changed = rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else None
        self.told.rows.append(changed if isinstance(changed, int) else None)
        return len(self.told.rows) - 1


@dataclass(frozen=True, slots=True)
class DuckDBEngine:
    """An open connection. Belongs to one thread."""

    connection: DuckDBPyConnection

    @property
    def dialect(self) -> Dialect:
        """DuckDB's SQL."""
        return DUCKDB

    @property
    def capabilities(self) -> Capabilities:
        """Everything."""
        return CAPABILITIES

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All that is done within the context, or nothing of it."""
        self.connection.execute("BEGIN")
        try:
            yield
            # DuckDB answers COMMIT with success, and rolls back, if a statement failed before and
            # the failure was swallowed. Any other statement tells.
            self.connection.execute("SELECT 1")
            self.connection.execute("COMMIT")
        except BaseException:
            # After some failures DuckDB has rolled back by itself, and then refuses to.
            with contextlib.suppress(duckdb_module().Error):
                self.connection.execute("ROLLBACK")
            raise

    @contextmanager
    def batch(self) -> Generator[_Statements]:
        """Statements in the transaction that is open: the store begins one for the whole write."""
        yield _Statements(self)

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table or view; `None` if there is none of that name.

        DuckDB is not asked about a table that is not there: that would end the transaction.
        """
        names = self._catalog(
            table, "table_schema, table_name FROM information_schema.tables", "table_catalog"
        )
        found = any(_is_named(table, *name) for name in names)
        return self._columns(DUCKDB.table(table)) if found else None

    def tables(self, table: TableRef) -> Sequence[str]:
        """All that there are in the database."""
        rows = self._catalog(table, "schema_name, table_name FROM duckdb_tables()")
        return [".".join(row) for row in rows]

    def create_schema(self, table: TableRef) -> None:
        """Let the schema of a table be there."""
        if table.schema is not None:
            parts = (table.database, table.schema)
            name = ".".join(DUCKDB.quote(part) for part in parts if part is not None)
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")

    def as_stored(self, frame: Schema) -> tuple[Column, ...]:
        """The columns of a table that would be made of a frame."""
        nothing = pyarrow().RecordBatchReader.from_batches(frame, [])
        with self._registered(nothing) as source:
            return self._columns(source)

    def schema_of(self, query: Sql) -> Schema:
        """The columns that a query gives."""
        try:
            return self._schema(query)
        except duckdb_module().Error as error:
            raise InvalidInput("DuckDB cannot run the query.", seen=str(error)) from error

    def count(self, query: Sql) -> int:
        """The one number that a query gives."""
        (row,) = self.rows(query)
        return int(row[0])

    def rows(self, sql: Sql) -> list[Any]:
        """What a statement answers."""
        text, values = DUCKDB.bound(sql)
        return self.connection.execute(text, values).fetchall()

    def stream(self, query: Sql) -> Stream:
        """The rows of a query."""
        text, values = DUCKDB.bound(query)
        result: Any
        if duckdb_module().__version__.startswith(("0.", "1.")):
            # A relation with values is materialized row by row there: fifty times the time.
            result = self.connection.execute(text, values)
        else:
            # A cursor's result is copied once more there.
            result = self.connection.sql(text, params=values or None)
        # Its name before DuckDB 1.4.
        reader = getattr(result, "to_arrow_reader", None) or result.fetch_record_batch
        return reader(_BATCH_ROWS)

    def read_expression(self, column: Column) -> str | None:
        """Intervals as microseconds: no library of frames takes Arrow's of months, days and so on."""
        if column.type != "INTERVAL":
            return None
        name = DUCKDB.quote(column.name)
        return f"epoch_us({name}) AS {name}"

    def given_back(self, column: Column) -> Any:
        """Intervals as durations."""
        return pyarrow().duration("us") if column.type == "INTERVAL" else None

    @contextmanager
    def staged(self, stream: Stream, table: TableRef, *, again: bool) -> Generator[Staged]:  # noqa: ARG002
        """A stream under a name, to be read once; or its rows in a temporary table."""
        with self._registered(stream) as source:
            if not again:
                yield Staged(source, again=False)
                return
            name = f"temp.main.{DUCKDB.quote(f'dagweave_rows_{next(_STREAM_NUMBERS)}')}"
            self.rows(Sql.of("CREATE TEMPORARY TABLE ", name, " AS SELECT * FROM ", source))
            try:
                yield Staged(name, again=True)
            finally:
                with contextlib.suppress(duckdb_module().Error):
                    self.connection.execute(f"DROP TABLE IF EXISTS {name}")

    def keep_time_in(self, slice_: Slice | None) -> None:
        """Let `CAST(t AS TIMESTAMP)` and the like mean the wall clock that the partitions mean."""
        zone = slice_.time_zone if slice_ else "UTC"
        self.connection.execute(f"SET TimeZone = {DUCKDB.literal(zone)}")

    def zones(self, table: TableRef) -> Mapping[str, str]:
        """The time zone that each column's values were written in, where that was noted."""
        rows = self._catalog(
            table, "schema_name, table_name, column_name, comment FROM duckdb_columns()"
        )
        return {
            column: note.removeprefix(ZONE_NOTE)
            for schema, name, column, note in rows
            if note and note.startswith(ZONE_NOTE) and _is_named(table, schema, name)
        }

    def declared(self, table: TableRef) -> list[str]:
        """The constraints and indexes of a table, as SQL."""
        constraints = self._catalog(
            table,
            "schema_name, table_name, constraint_text, constraint_column_names "
            "FROM duckdb_constraints()",
        )
        indexes = self._catalog(table, "schema_name, table_name, sql, [] FROM duckdb_indexes()")
        return [
            f"{text} ({', '.join(columns)})" if text == "NOT NULL" else str(text)
            for schema, name, text, columns in [*constraints, *indexes]
            if _is_named(table, schema, name)
        ]

    @contextmanager
    def _registered(self, stream: Stream) -> Generator[str]:
        """Let SQL read a stream, under the name that the context gives."""
        name = f"dagweave_stream_{next(_STREAM_NUMBERS)}"
        tap = _Tap(stream)
        try:
            self.connection.register(name, tap.stream())
        except duckdb_module().NotImplementedException as error:
            raise InvalidInput(
                "A column of the frame is of a type that DuckDB does not have.",
                seen=f"{error}\n" + ", ".join(f"{f.name}: {f.type}" for f in stream.schema),
                remedy="Convert the column before you return the frame.",
            ) from error
        try:
            yield f"temp.main.{DUCKDB.quote(name)}"
        except duckdb_module().Error as error:
            # DuckDB tells what the stream said, and no more what it was.
            raise tap.failure or error from error
        finally:
            tap.close()
            with contextlib.suppress(duckdb_module().Error):
                self.connection.unregister(name)

    def _catalog(self, table: TableRef, what: str, database: str = "database_name") -> list[Any]:
        """Rows of one of DuckDB's own tables that are about the database of `table`."""
        here = Sql.of(database, " = coalesce(", Value(table.database), ", current_database())")
        return self.rows(Sql.of("SELECT ", what, " WHERE ", here))

    def _columns(self, source: str) -> tuple[Column, ...]:
        everything = Sql.of("SELECT * FROM ", source)
        types = self.rows(Sql.of("DESCRIBE ", everything))
        schema = self._schema(everything)
        return tuple(
            Column(each.name, str(row[1]), each.type)
            for each, row in zip(schema, types, strict=True)
        )

    def _schema(self, query: Sql) -> Schema:
        return self.stream(Sql.of(query, " LIMIT 0")).read_all().schema


class _Tap:
    """A stream that can be turned off.

    DuckDB 1.x reads ahead on a thread of pyarrow's, and goes on with it after its query has failed:
    the user's generator would run on behind our back, and into the end of the process.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._open = True
        self.failure: DagweaveError | None = None
        """What the stream failed with, if it is one of our errors."""

    def stream(self) -> Stream:
        return pyarrow().RecordBatchReader.from_batches(self._stream.schema, self._batches())

    def _batches(self) -> Generator[Any]:
        batches = iter(self._stream)
        while True:
            try:
                with self._lock:
                    batch = next(batches, None) if self._open else None
            except DagweaveError as error:
                self.failure = error
                raise
            if batch is None:
                return
            yield batch

    def close(self) -> None:
        """Let no batch be taken any more, and wait for the one that is being taken."""
        with self._lock:
            self._open = False


def _is_named(table: TableRef, schema: str, name: str) -> bool:
    return DUCKDB.fold(schema) == DUCKDB.fold(table.schema or "main") and DUCKDB.fold(
        name
    ) == DUCKDB.fold(table.name)
