"""Times stored as text: `store_timestamps_as_strings`, for tables that the official package wrote so.

The text is the official one: `2026-01-05 12:30:00.000000`, with ` +0000` after it if it has a zone.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dagweave.warehouse.arrow import pyarrow
from dagweave.warehouse.store import Query

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import AbstractContextManager

    from dagweave.warehouse.arrow import Stream
    from dagweave.warehouse.capabilities import Capabilities
    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.plan import ReadPlan, Receipt, WritePlan
    from dagweave.warehouse.sql import Dialect
    from dagweave.warehouse.store import Session, TableStore
    from dagweave.weaving.table_ref import TableRef

_TIME: Final = r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6} ?$"
_TIME_IN_ZONE: Final = r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6} [+-]\d{4}$"


@dataclass(frozen=True, slots=True)
class TextTimes:
    """A store in which times are text. What is read as a whole gets its times back."""

    store: TableStore

    @property
    def dialect(self) -> Dialect:
        """The store's."""
        return self.store.dialect

    @property
    def capabilities(self) -> Capabilities:
        """The store's."""
        return self.store.capabilities

    def locate(self, table: TableRef) -> TableRef:
        """As the store does."""
        return self.store.locate(table)

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """As the store does."""
        return self.store.describe(table)

    def write(self, plan: WritePlan, rows: Stream | Query) -> Receipt:
        """Write the rows, their times as text."""
        return self.store.write(plan, rows if isinstance(rows, Query) else _as_text(rows))

    @contextmanager
    def read(self, plan: ReadPlan, *, shared: bool = False) -> Generator[Stream]:
        """The rows. Columns of text that are all times are times, unless they are read in batches."""
        with self.store.read(plan, shared=shared) as stream:
            yield stream if shared else _as_times(stream)

    def emptied(self, plan: WritePlan) -> AbstractContextManager[Session]:
        """As the store does."""
        return self.store.emptied(plan)

    def connected(self) -> AbstractContextManager[Session]:
        """As the store does."""
        return self.store.connected()


def _as_text(stream: Stream) -> Stream:
    pa = pyarrow()
    is_time = pa.types.is_timestamp
    if not any(is_time(field.type) for field in stream.schema):
        return stream
    schema = pa.schema([f.with_type(pa.string()) if is_time(f.type) else f for f in stream.schema])

    def batches() -> Iterator[Any]:
        for batch in stream:
            columns = [_text(c) if is_time(c.type) else c for c in batch.columns]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _text(column: Any) -> Any:
    compute = _compute()
    zone = column.type.tz
    exact = column.cast(pyarrow().timestamp("us", zone), safe=False)
    return compute.strftime(exact, "%Y-%m-%d %H:%M:%S %z" if zone else "%Y-%m-%d %H:%M:%S")


def _compute() -> Any:
    from pyarrow import compute

    return compute


def _as_times(stream: Stream) -> Stream:
    pa = pyarrow()
    table = stream.read_all()
    for at, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(at, field.name, _time(table.column(at)))
    return table.to_reader()


def _time(column: Any) -> Any:
    pa, compute = pyarrow(), _compute()
    if column.null_count == len(column):
        return column
    for pattern, zone in ((_TIME, None), (_TIME_IN_ZONE, "UTC")):
        if compute.all(compute.match_substring_regex(column, pattern)).as_py():
            plain = compute.replace_substring(compute.utf8_rtrim_whitespace(column), " +", "+")
            plain = compute.replace_substring(plain, " -", "-")
            return plain.cast(pa.timestamp("us", zone))
    return column
