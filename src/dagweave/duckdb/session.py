"""What is done to tables over one open DuckDB connection."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave.duckdb.connections import duckdb_module
from dagweave.duckdb.dialect import DUCKDB
from dagweave.warehouse.arrow import Stream, converted, in_zone, pyarrow, zone_of
from dagweave.warehouse.columns import (
    Column,
    alike,
    checked,
    difference,
    fits,
    misfits,
    require_fit,
    require_names,
    storable,
)
from dagweave.warehouse.plan import ReadPlan, Receipt, WritePlan
from dagweave.warehouse.slices import Condition, Expression, Slice, condition
from dagweave.warehouse.sql import Sql, Value

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from dagweave.warehouse.arrow import Schema
    from dagweave.weaving.table_ref import TableRef

# Large enough to cost nothing, small enough that a stream's memory stays flat.
_BATCH_ROWS: Final = 100_000

# DuckDB keeps a timestamp's instant and not its zone, so a column's comment notes it.
_ZONE_NOTE: Final = "time zone: "
_UTC: Final = frozenset({"UTC", "Etc/UTC", "Z", "+00:00"})

_STREAM_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class DuckDBSession:
    """The tables that a connection reaches. Belongs to one thread."""

    connection: DuckDBPyConnection

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

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table or view; `None` if there is none of that name.

        DuckDB is not asked about a table that is not there: that would end the transaction.
        """
        names = self._catalog(
            table, "table_schema, table_name FROM information_schema.tables", "table_catalog"
        )
        return self.columns(table) if any(_is_named(table, *name) for name in names) else None

    def columns(self, table: TableRef) -> tuple[Column, ...]:
        """The columns of a table or view that is there."""
        return self._columns(DUCKDB.table(table))

    def read(self, plan: ReadPlan) -> Stream:
        """The rows as a stream, which the connection must outlive.

        Raises:
            InvalidInput: There is no such table, or no such column.
        """
        columns = self._existing(plan.table)
        self._keep_time_in(plan.slice)
        zones = self._zones(plan.table) if any(zone_of(c.arrow) for c in columns) else {}
        # Nothing may be asked of the connection from here on: DuckDB keeps one result open on each.
        return _as_it_was_written(self._stream(self._select(plan, columns)), columns, zones)

    def query(self, plan: ReadPlan) -> str:
        """The query that `read` runs, with its values written out."""
        columns = self.describe(plan.table)
        if columns is None:
            return DUCKDB.readable(Sql.of("SELECT * FROM ", DUCKDB.table(plan.table)))
        return DUCKDB.readable(self._select(plan, columns))

    def empty(self, plan: WritePlan) -> None:
        """Delete the rows that a plan replaces, and see to it that the schema is there."""
        self._keep_time_in(plan.slice)
        self._create_schema(plan.table)
        columns = self.describe(plan.table)
        if columns is not None:
            self._delete(plan, columns)

    def write(self, plan: WritePlan, stream: Stream) -> Receipt:
        """Carry out a plan within the transaction that is open.

        Raises:
            SchemaMismatch: The frame does not fit the table. No data was touched.
            InvalidInput: The frame, or its rows, cannot be stored so.
        """
        require_names(stream.schema, DUCKDB.fold)
        self._keep_time_in(plan.slice)
        self._create_schema(plan.table)
        before = self.describe(plan.table)
        schema = storable(stream.schema, before or (), DUCKDB.fold)
        stored = self._as_stored(schema)
        declared = self._declared(plan.table) if before and plan.slice is None else []
        kept = self._kept(plan, schema, stored, before, declared) if before else None
        if kept:
            schema = checked(schema, stored, kept, DUCKDB.fold)
        with self._registered(converted(stream, schema, what=str(plan))) as source:
            if kept:
                receipt = self._refill(plan, source, kept)
            else:
                receipt = self._create(plan, schema, source)
        if before:
            lost = () if kept else declared
            changed = difference(before, receipt.columns, DUCKDB.fold, lost)
            receipt = replace(receipt, difference=changed)
        return self._without_strays(plan, receipt)

    def _kept(
        self,
        plan: WritePlan,
        frame: Schema,
        stored: Sequence[Column],
        table: tuple[Column, ...],
        declared: Sequence[str],
    ) -> tuple[Column, ...] | None:
        """The columns of the table if it stays and only its rows change; `None` to replace it.

        A slice must fit. A whole table stays if the frame would make the same one, and so does one
        that somebody gave constraints or an index, while the frame fits.
        """
        if plan.slice is not None:
            table = self._retyped(plan.table, stored, table)
            require_fit(stored, table, DUCKDB.fold, what=str(plan))
            return table
        if alike(stored, table) and _noted_zones(frame) == self._zones(plan.table):
            return table
        fitting = not any(misfits(stored, table, DUCKDB.fold).values())
        return table if declared and fitting else None

    def _retyped(
        self, table: TableRef, stored: Sequence[Column], columns: tuple[Column, ...]
    ) -> tuple[Column, ...]:
        """Give a column of text that has no value yet the type that it turns out to have.

        A frame whose column was all null, or that had no rows, could not tell.
        """
        incoming = {DUCKDB.fold(column.name): column for column in stored}
        target = DUCKDB.table(table)
        found = False
        for column in columns:
            new = incoming.get(DUCKDB.fold(column.name))
            if new is None or column.type != "VARCHAR" or fits(new.arrow, column.arrow):
                continue
            name = DUCKDB.quote(column.name)
            if self._count(Sql.of("SELECT count(", name, ") FROM ", target)) == 0:
                self._rows(Sql.of("ALTER TABLE ", target, " ALTER ", name, " TYPE ", new.type))
                found = True
        return self.columns(table) if found else columns

    def _declared(self, table: TableRef) -> list[str]:
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

    def _create(self, plan: WritePlan, schema: Schema, source: str) -> Receipt:
        target = DUCKDB.table(plan.table)
        # A slice never replaces a table, not even one that came up meanwhile.
        create = "CREATE OR REPLACE TABLE " if plan.slice is None else "CREATE TABLE "
        rows = self._count(Sql.of(create, target, " AS SELECT * FROM ", source))
        for name, zone in _noted_zones(schema).items():
            column = f"{target}.{DUCKDB.quote(name)}"
            note = DUCKDB.literal(_ZONE_NOTE + zone)
            self.connection.execute(f"COMMENT ON COLUMN {column} IS {note}")
        after = self.columns(plan.table)
        return Receipt(after, self._query(plan, after), rows)

    def _refill(self, plan: WritePlan, source: str, columns: tuple[Column, ...]) -> Receipt:
        deleted = self._delete(plan, columns)
        target = DUCKDB.table(plan.table)
        rows = self._count(Sql.of("INSERT INTO ", target, " BY NAME SELECT * FROM ", source))
        return Receipt(columns, self._query(plan, columns), rows, rows_deleted=deleted)

    def _delete(self, plan: WritePlan, columns: Sequence[Column]) -> int:
        where = self._condition(plan.table, plan.slice, columns)
        return self._count(Sql.of("DELETE FROM ", DUCKDB.table(plan.table), " WHERE ", where.sql))

    def _query(self, plan: WritePlan, columns: Sequence[Column]) -> str:
        return DUCKDB.readable(self._select(ReadPlan(plan.table, slice=plan.slice), columns))

    def _without_strays(self, plan: WritePlan, receipt: Receipt) -> Receipt:
        """Count the rows that the slice does not have, though they were written for it."""
        if plan.slice is None or not receipt.rows_written:
            return receipt
        where = self._condition(plan.table, plan.slice, receipt.columns)
        target = DUCKDB.table(plan.table)
        inside = self._count(Sql.of("SELECT count(*) FROM ", target, " WHERE ", where.sql))
        outside = receipt.rows_written - inside
        if outside and where.wall_clock:
            raise _another_clock(plan, plan.slice, outside, receipt.rows_written)
        return replace(receipt, rows_outside=outside)

    def _condition(
        self, table: TableRef, slice_: Slice | None, columns: Sequence[Column]
    ) -> Condition:
        if slice_ is None:
            return Condition(Sql.of("TRUE"), wall_clock=False)
        by_name = {DUCKDB.fold(column.name): column for column in columns}
        known = {
            expr: Expression(DUCKDB.quote(column.name), column.arrow)
            for expr in slice_.expressions
            if (column := by_name.get(DUCKDB.fold(expr)))
        }
        asked = [expr for expr in slice_.expressions if expr not in known]
        return condition(slice_, known | self._evaluated(table, asked, columns), DUCKDB)

    def _evaluated(
        self, table: TableRef, expressions: Sequence[str], columns: Sequence[Column]
    ) -> dict[str, Expression]:
        """Ask DuckDB for the types of expressions that are more than a column."""
        found: dict[str, Expression] = {}
        for expr in expressions:
            try:
                (field,) = self._schema(Sql.of("SELECT (", expr, ") FROM ", DUCKDB.table(table)))
            except duckdb_module().Error as error:
                raise InvalidInput(
                    f"partition_expr {expr!r} cannot be evaluated on {table}.",
                    seen=f"{error}\nThe columns are {_listed(columns)}.",
                    remedy="Name a column, or write SQL; a column that is called like a keyword "
                    "stands in double quotes there.",
                ) from error
            found[expr] = Expression(f"({expr})", field.type)
        return found

    def _select(self, plan: ReadPlan, columns: Sequence[Column]) -> Sql:
        chosen = _chosen(plan, columns)
        items = ", ".join(_read_expression(column) for column in chosen)
        if plan.columns is None and all(column.type != "INTERVAL" for column in chosen):
            items = "*"
        select = Sql.of("SELECT ", items, " FROM ", DUCKDB.table(plan.table))
        if plan.slice is None:
            return select
        return Sql.of(select, " WHERE ", self._condition(plan.table, plan.slice, columns).sql)

    def _zones(self, table: TableRef) -> dict[str, str]:
        """The time zone that each column's values were written in, where that was noted."""
        rows = self._catalog(
            table, "schema_name, table_name, column_name, comment FROM duckdb_columns()"
        )
        return {
            column: note.removeprefix(_ZONE_NOTE)
            for schema, name, column, note in rows
            if note and note.startswith(_ZONE_NOTE) and _is_named(table, schema, name)
        }

    def _existing(self, table: TableRef) -> tuple[Column, ...]:
        columns = self.describe(table)
        if columns is not None:
            return columns
        rows = self._catalog(table, "schema_name, table_name FROM duckdb_tables()")
        names = [".".join(row) for row in rows]
        raise InvalidInput(
            f"There is no table {table}.",
            seen=_nearest(f"{table.schema}.{table.name}", names),
            remedy="Materialize the asset that writes it; or see that its schema is the one you "
            "mean: the asset's metadata, then the I/O manager's, then the key's last part but one.",
        )

    def _create_schema(self, table: TableRef) -> None:
        if table.schema is not None:
            parts = (table.database, table.schema)
            name = ".".join(DUCKDB.quote(part) for part in parts if part is not None)
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")

    def _keep_time_in(self, slice_: Slice | None) -> None:
        """Let `CAST(t AS TIMESTAMP)` and the like mean the wall clock that the partitions mean."""
        zone = slice_.time_zone if slice_ else "UTC"
        self.connection.execute(f"SET TimeZone = {DUCKDB.literal(zone)}")

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
        return self._rows(Sql.of("SELECT ", what, " WHERE ", here))

    def _columns(self, source: str) -> tuple[Column, ...]:
        everything = Sql.of("SELECT * FROM ", source)
        types = self._rows(Sql.of("DESCRIBE ", everything))
        schema = self._schema(everything)
        return tuple(
            Column(field.name, str(row[1]), field.type)
            for field, row in zip(schema, types, strict=True)
        )

    def _as_stored(self, frame: Schema) -> tuple[Column, ...]:
        """The columns of a table that a frame would make."""
        nothing = pyarrow().RecordBatchReader.from_batches(frame, [])
        with self._registered(nothing) as source:
            return self._columns(source)

    def _schema(self, query: Sql) -> Schema:
        """The columns that a query gives."""
        return self._stream(Sql.of(query, " LIMIT 0")).read_all().schema

    def _rows(self, sql: Sql) -> list[Any]:
        text, values = DUCKDB.bound(sql)
        return self.connection.execute(text, values).fetchall()

    def _count(self, sql: Sql) -> int:
        (row,) = self._rows(sql)
        return int(row[0])

    def _stream(self, sql: Sql) -> Stream:
        text, values = DUCKDB.bound(sql)
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


def _chosen(plan: ReadPlan, columns: Sequence[Column]) -> list[Column]:
    if plan.columns is None:
        return list(columns)
    by_name = {DUCKDB.fold(column.name): column for column in columns}
    unknown = [name for name in plan.columns if DUCKDB.fold(name) not in by_name]
    if unknown:
        raise InvalidInput(
            f"{plan.table} has no column {', '.join(map(repr, unknown))}.",
            seen=f"Its columns are {_listed(columns)}.",
            remedy="Correct the 'columns' in the metadata of the input.",
        )
    return [by_name[DUCKDB.fold(name)] for name in plan.columns]


def _as_it_was_written(
    stream: Stream, columns: Sequence[Column], zones: Mapping[str, str]
) -> Stream:
    """Give durations and time zones back their types."""
    pa = pyarrow()
    intervals = {column.name for column in columns if column.type == "INTERVAL"}

    def as_written(field: Any) -> Any:
        if field.name in intervals:
            return field.with_type(pa.duration("us"))
        return field.with_type(in_zone(field.type, zones.get(field.name, "UTC")))

    schema = pa.schema([as_written(field) for field in stream.schema])
    return converted(stream, schema)


def _noted_zones(frame: Schema) -> dict[str, str]:
    """The time zones of a frame's columns that are worth a note."""
    zones = {field.name: zone_of(field.type) for field in frame}
    return {name: zone for name, zone in zones.items() if zone and zone not in _UTC}


def _is_named(table: TableRef, schema: str, name: str) -> bool:
    return DUCKDB.fold(schema) == DUCKDB.fold(table.schema or "main") and DUCKDB.fold(
        name
    ) == DUCKDB.fold(table.name)


def _read_expression(column: Column) -> str:
    name = DUCKDB.quote(column.name)
    # No library of frames takes Arrow's intervals of months, days and nanoseconds.
    return f"epoch_us({name}) AS {name}" if column.type == "INTERVAL" else name


def _listed(columns: Sequence[Column]) -> str:
    return ", ".join(f"{column.name} ({column.type})" for column in columns)


def _nearest(wanted: str, names: Sequence[str]) -> str:
    if not names:
        return "The database has no tables yet."
    near = difflib.get_close_matches(wanted, names, n=5, cutoff=0.5)
    if near:
        return f"The nearest names: {', '.join(near)}."
    return f"The database has {len(names)} others: {', '.join(names[:5])}" + (
        ", …" if len(names) > 5 else "."
    )


def _another_clock(plan: WritePlan, slice_: Slice, outside: int, rows: int) -> InvalidInput:
    expressions = ", ".join(slice_.expressions)
    return InvalidInput(
        f"{plan} was not written: {outside} of {rows} rows lie outside its time window.",
        seen=f"{expressions} has no time zone, so it was compared with the wall clock of "
        f"{slice_.time_zone}. Rows in UTC would take the place of another partition's.",
        remedy=f"If it is in UTC, say so: partition_expr=\"{expressions} AT TIME ZONE 'UTC'\". "
        "Better, store it with a time zone. If rows are of another partition, filter them out "
        "before you return the frame.",
    )
