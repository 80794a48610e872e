"""Handlers of types: the official way to teach an I/O manager a new type, kept as it is.

A user's handler gets an open connection of the engine, within our transaction: the rows that it
replaces are gone when it is called, and come back if it fails.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from dagster import (
    InputContext,
    MetadataValue,
    OutputContext,
    TableColumn,
    TableSchema,
    TimeWindow,
)

from dagweave._dagster.metadata import COLUMN_SCHEMA, PARTITION_ROW_COUNT, ROW_COUNT
from dagweave._dagster.private import DbTypeHandler, TablePartitionDimension, TableSlice
from dagweave.warehouse.plan import Outside, ReadPlan, Receipt, WritePlan
from dagweave.warehouse.slices import NOTHING, Keys, Slice, Windows, merged
from dagweave.weaving.table_ref import TableRef

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagweave.warehouse.arrow import Stream
    from dagweave.warehouse.frames import EagerFrontEnd
    from dagweave.warehouse.tables import Tables

SCHEMA_CHANGE = "dagweave/schema_change"
ROWS_DELETED = "dagweave/rows_deleted"
ROWS_OUTSIDE = "dagweave/rows_outside_partition"
"""The rows written that do not belong to what they were written for; see `Receipt`."""
ROWS_UPDATED = "dagweave/rows_updated"
BYTES = "dagweave/bytes"
"""The size of the frame as Arrow."""
STATEMENTS = "dagweave/statements"
SECONDS = "dagweave/seconds"
SKIPPED = "dagweave/skipped"
"""Why nothing was written."""
QUERY_IDS = "dagweave/query_ids"
QUERY_URL = "dagweave/query_url"
ROWS_WRITTEN = "dagweave/rows_written"
"""The rows of several partitions written at once: no single partition's count."""


class FrameTypeHandler(DbTypeHandler[Any]):
    """Stores and loads the frames of one library.

    Listing it among an I/O manager's `type_handlers()` is all it takes. A subclass may do something
    before or after: convert its own type to a frame, check it, rename columns.
    """

    as_the_store_does: ClassVar[bool] = False
    """Whether it does just what the I/O manager's store does, and so need not be asked.

    Said with the class itself; a class that derives from it is asked.
    """

    kind: ClassVar[str]
    """The kind of warehouse: `duckdb`."""

    front_end: ClassVar[EagerFrontEnd]
    """The library."""

    def __init_subclass__(cls, *, as_the_store_does: bool = False, **options: Any) -> None:
        """Note whether the class does as the store does."""
        super().__init_subclass__(**options)
        cls.as_the_store_does = as_the_store_does

    @abstractmethod
    def tables(self, connection: Any) -> Tables:
        """The tables that a connection of the engine reaches."""

    def write(self, plan: WritePlan, stream: Stream, connection: Any) -> Receipt:
        """Write the rows within the transaction that is open on `connection`."""
        return self.tables(connection).write(plan, stream)

    def read(self, plan: ReadPlan, connection: Any) -> Stream:
        """Read the rows through `connection`."""
        return self.tables(connection).read(plan)

    def handle_output(
        self, context: OutputContext, table_slice: TableSlice, obj: Any, connection: Any
    ) -> Mapping[str, Any]:
        """Write a frame; return the metadata that describes it."""
        table = _table_of(table_slice, self.kind)
        slice_ = slice_of_table_slice(table_slice)
        plan = WritePlan(table, slice_)
        receipt = self.write(plan, self.front_end.to_stream(obj), connection)
        report(context, plan, receipt)
        return receipt_metadata(context, receipt, self.front_end.columns(obj))

    def load_input(self, context: InputContext, table_slice: TableSlice, connection: Any) -> Any:  # noqa: ARG002
        """Load a frame."""
        slice_ = slice_of_table_slice(table_slice)
        if slice_ is not None and slice_.is_empty:
            return self.front_end.empty()
        columns = tuple(table_slice.columns) if table_slice.columns else None
        plan = ReadPlan(_table_of(table_slice, self.kind), columns, slice_)
        return self.front_end.from_stream(self.read(plan, connection))

    @property
    def supported_types(self) -> Sequence[type[object]]:
        """The one class that it handles. Imports the library."""
        return [self.front_end.type()]


def table_slice_of(
    table: TableRef, slice_: Slice | None, columns: tuple[str, ...] | None = None
) -> TableSlice:
    """A slice in the words of a user's handler.

    They know no slice that is not a rectangle; such a one is given as the smallest rectangle
    around it.
    """
    return TableSlice(
        table=table.name,
        schema=table.schema or "",
        database=table.database,
        columns=columns,
        partition_dimensions=_around(slice_) if slice_ else [],
    )


def slice_of_table_slice(table_slice: TableSlice) -> Slice | None:
    """The slice that a user's handler was told of; `None` for a whole table."""
    if not table_slice.partition_dimensions:
        return None
    restrictions: list[Windows | Keys] = []
    zone = "UTC"
    for dimension in table_slice.partition_dimensions:
        if isinstance(dimension.partitions, TimeWindow):
            start, end = dimension.partitions
            restrictions.append(Windows(dimension.partition_expr, ((start, end),)))
            zone = str(start.tzinfo or zone)
        elif dimension.partitions:
            restrictions.append(Keys(dimension.partition_expr, tuple(dimension.partitions)))
        else:
            return NOTHING
    return Slice((tuple(restrictions),), "a partition", zone)


def receipt_metadata(
    context: OutputContext, receipt: Receipt, frame_columns: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """What a write did, in the metadata keys that Dagster's UI and the official packages use."""
    found: dict[str, Any] = {_row_count_key(context): receipt.rows_written}
    if frame_columns:
        found["dataframe_columns"] = _table_schema(frame_columns)
    if receipt.columns:
        found[COLUMN_SCHEMA] = _table_schema([(each.name, each.type) for each in receipt.columns])
    if receipt.rows_deleted is not None:
        found[ROWS_DELETED] = receipt.rows_deleted
    if receipt.rows_outside:
        found[ROWS_OUTSIDE] = receipt.rows_outside
    if receipt.difference:
        found[SCHEMA_CHANGE] = MetadataValue.json(receipt.difference.to_metadata())
    if receipt.statements:
        found |= {STATEMENTS: receipt.statements, SECONDS: round(receipt.seconds, 3)}
    optional: dict[str, Any] = {
        ROWS_UPDATED: receipt.rows_updated,
        BYTES: receipt.bytes,
        SKIPPED: receipt.skipped,
        QUERY_IDS: ", ".join(receipt.query_ids) or None,
        QUERY_URL: MetadataValue.url(receipt.url) if receipt.url else None,
    }
    return found | {key: value for key, value in optional.items() if value is not None}


def report(context: OutputContext, plan: WritePlan, receipt: Receipt) -> None:
    """Log what of a write the user may not expect."""
    if receipt.skipped:
        context.log.info("%s was not written: %s", plan, receipt.skipped)
    if receipt.rows_outside and plan.outside is Outside.DROP:
        context.log.warning(
            "%s rows were left out, since they do not belong to %s by its partition_expr.",
            receipt.rows_outside,
            plan,
        )
    elif receipt.rows_outside:
        context.log.warning(
            "%s of %s rows written to %s do not belong to it by its partition_expr. "
            "Materializing it again would write them a second time. Filter them out before "
            "you return the frame.",
            receipt.rows_outside,
            receipt.rows_written,
            plan,
        )
    if receipt.difference:
        context.log.info("%s changed: %s", plan.table, receipt.difference.to_metadata())
    if receipt.difference.lost:
        context.log.warning(
            "%s was replaced, since the frame does not fit it. Gone with it: %s.",
            plan.table,
            ", ".join(receipt.difference.lost),
        )


def _row_count_key(context: OutputContext) -> str:
    if not (context.has_asset_key and context.has_asset_partitions):
        return ROW_COUNT
    return PARTITION_ROW_COUNT if len(context.asset_partition_keys) == 1 else ROWS_WRITTEN


def _table_schema(columns: Sequence[tuple[str, str]]) -> Any:
    return MetadataValue.table_schema(
        TableSchema([TableColumn(name, type_) for name, type_ in columns])
    )


def _around(slice_: Slice) -> list[TablePartitionDimension]:
    found: dict[str, list[Windows | Keys]] = {}
    for alternative in slice_.alternatives:
        for part in alternative:
            found.setdefault(part.expr, []).append(part)
    dimensions: list[TablePartitionDimension] = []
    for expr, parts in found.items():
        windows = merged(w for part in parts if isinstance(part, Windows) for w in part.windows)
        keys = [key for part in parts if isinstance(part, Keys) for key in part.keys]
        partitions = (
            TimeWindow(windows[0][0], windows[-1][1]) if windows else [*dict.fromkeys(keys)]
        )
        dimensions.append(TablePartitionDimension(expr, partitions))
    return dimensions


def _table_of(table_slice: TableSlice, kind: str) -> TableRef:
    return TableRef(table_slice.table, table_slice.schema, table_slice.database, kind)
