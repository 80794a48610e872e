"""Read and write the tables that an open engine reaches: one way for all engines."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse import statements
from dagweave.warehouse.arrow import converted, in_zone, pyarrow, zone_of
from dagweave.warehouse.plan import ReadPlan
from dagweave.warehouse.slices import Condition, Expression, condition
from dagweave.warehouse.sql import Sql
from dagweave.warehouse.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagweave.warehouse.arrow import Stream
    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.engine import Engine
    from dagweave.warehouse.plan import Receipt, WritePlan
    from dagweave.warehouse.slices import Slice
    from dagweave.warehouse.store import Query
    from dagweave.weaving.table_ref import TableRef

_UTC: Final = "UTC"


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of an open engine. Belongs to one thread."""

    engine: Engine

    @property
    def connection(self) -> Any:
        """The engine's own."""
        return self.engine.connection

    def read(self, plan: ReadPlan) -> Stream:
        """The rows as a stream, which the connection must outlive.

        Raises:
            InvalidInput: There is no such table, or no such column.
        """
        columns = self._existing(plan.table)
        self.engine.keep_time_in(plan.slice)
        has_zones = any(zone_of(column.arrow) for column in columns)
        zones: Mapping[str, str] = self.engine.zones(plan.table) if has_zones else {}
        # An engine may have no more than one result open: nothing is asked from here on.
        return self._as_it_was_written(
            self.engine.stream(self._select(plan, columns)), columns, zones
        )

    def query(self, plan: ReadPlan) -> str:
        """The query that `read` runs, with its values written out."""
        dialect = self.engine.dialect
        columns = self.engine.describe(plan.table)
        if columns is None:
            return dialect.readable(Sql.of("SELECT * FROM ", dialect.table(plan.table)))
        return dialect.readable(self._select(plan, columns))

    def empty(self, plan: WritePlan) -> None:
        """Delete the rows that a plan replaces, and see to it that the schema is there."""
        engine = self.engine
        engine.keep_time_in(plan.slice)
        columns = engine.describe(plan.table)
        if columns is None:
            engine.create_schema(plan.table)
        else:
            where = self.condition(plan.table, plan.slice, columns)
            with engine.batch() as batch:
                batch.run(statements.delete(engine.dialect, plan.table, where.sql))

    def write(self, plan: WritePlan, rows: Stream | Query) -> Receipt:
        """Carry out a plan, wholly or not at all.

        Raises:
            SchemaMismatch: The frame does not fit the table. No data was touched.
            InvalidInput: The frame, or its rows, cannot be stored so.
        """
        receipt = Writing(self, plan).of(rows)
        if not receipt.columns:
            return receipt
        select = self._select(ReadPlan(plan.table, slice=plan.slice), receipt.columns)
        return replace(receipt, query=self.engine.dialect.readable(select))

    def condition(
        self,
        table: TableRef,
        slice_: Slice | None,
        columns: Sequence[Column],
        source: Sql | None = None,
    ) -> Condition:
        """What selects the rows of a slice in a table of these columns.

        Args:
            source: Rows of the same columns to ask for the types of expressions; the table's own,
                if it is there.
        """
        if slice_ is None:
            return Condition(Sql.of("TRUE"), wall_clock=False)
        dialect = self.engine.dialect
        by_name = {dialect.fold(column.name): column for column in columns}
        known = {
            expr: Expression(dialect.quote(column.name), column.arrow)
            for expr in slice_.expressions
            if (column := by_name.get(dialect.fold(expr)))
        }
        asked = [expr for expr in slice_.expressions if expr not in known]
        source = source or Sql.of(dialect.table(table))
        asked_of = {expr: self._evaluated(table, expr, columns, source) for expr in asked}
        return condition(slice_, known | asked_of, dialect)

    def _evaluated(
        self, table: TableRef, expr: str, columns: Sequence[Column], source: Sql
    ) -> Expression:
        """Ask the engine for the type of an expression that is more than a column."""
        try:
            (field,) = self.engine.schema_of(Sql.of("SELECT (", expr, ") AS value FROM ", source))
        except InvalidInput as error:
            raise InvalidInput(
                f"partition_expr {expr!r} cannot be evaluated on {table}.",
                seen=f"{error.seen or error}\nThe columns are {listed(columns)}.",
                remedy="Name a column, or write SQL; a column that is called like a keyword is "
                "quoted there.",
            ) from error
        return Expression(f"({expr})", field.type)

    def _select(self, plan: ReadPlan, columns: Sequence[Column]) -> Sql:
        chosen = self._chosen(plan, columns)
        read = self.engine.read_expression
        quote = self.engine.dialect.quote
        items = ", ".join(read(column) or quote(column.name) for column in chosen)
        if plan.columns is None and all(read(column) is None for column in chosen):
            items = "*"
        select = Sql.of("SELECT ", items, " FROM ", self.engine.dialect.table(plan.table))
        if plan.slice is None:
            return select
        return Sql.of(select, " WHERE ", self.condition(plan.table, plan.slice, columns).sql)

    def _chosen(self, plan: ReadPlan, columns: Sequence[Column]) -> list[Column]:
        if plan.columns is None:
            return list(columns)
        fold = self.engine.dialect.fold
        by_name = {fold(column.name): column for column in columns}
        if unknown := [name for name in plan.columns if fold(name) not in by_name]:
            raise InvalidInput(
                f"{plan.table} has no column {', '.join(map(repr, unknown))}.",
                seen=f"Its columns are {listed(columns)}.",
                remedy="Correct the 'columns' in the metadata of the input.",
            )
        return [by_name[fold(name)] for name in plan.columns]

    def _existing(self, table: TableRef) -> tuple[Column, ...]:
        columns = self.engine.describe(table)
        if columns is not None:
            return columns
        raise InvalidInput(
            f"There is no table {table}.",
            seen=_nearest(f"{table.schema}.{table.name}", self.engine.tables(table)),
            remedy="Materialize the asset that writes it; or see that its schema is the one you "
            "mean: the asset's metadata, then the I/O manager's, then the key's last part but one.",
        )

    def _as_it_was_written(
        self, stream: Stream, columns: Sequence[Column], zones: Mapping[str, str]
    ) -> Stream:
        """Give columns the names and types that they were written with, time zones among them."""
        pa = pyarrow()
        types = {
            column.name: type_
            for column in columns
            if (type_ := self.engine.given_back(column)) is not None
        }

        def as_written(field: Any) -> Any:
            type_ = types.get(field.name, field.type)
            name = self.engine.dialect.shown(field.name)
            return pa.field(name, in_zone(type_, zones.get(field.name, _UTC)))

        return converted(stream, pa.schema([as_written(field) for field in stream.schema]))


def listed(columns: Sequence[Column]) -> str:
    """Columns with their types, for errors."""
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
