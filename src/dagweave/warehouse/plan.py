"""What is to be written or read, before any engine is asked; and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from dagweave.warehouse.columns import SchemaDifference

if TYPE_CHECKING:
    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.slices import Slice
    from dagweave.weaving.table_ref import TableRef


class WriteMode(Enum):
    """How new rows relate to those that are there."""

    REPLACE = "replace"
    """The table becomes the frame: its rows and its columns."""

    REPLACE_PARTITION = "replace_partition"
    """The frame takes the place of one slice's rows; all others stay."""


class SchemaPolicy(Enum):
    """What happens when the frame's columns are not the table's."""

    STRICT = "strict"
    """The frame is refused, before any data is touched."""

    REPLACE = "replace"
    """The table takes the frame's columns, and the difference is reported."""


@dataclass(frozen=True, slots=True)
class WritePlan:
    """Where a frame goes, and what it replaces there."""

    table: TableRef
    mode: WriteMode = WriteMode.REPLACE
    schema_policy: SchemaPolicy = SchemaPolicy.REPLACE
    slice: Slice | None = None

    @classmethod
    def replace(cls, table: TableRef) -> WritePlan:
        """The frame becomes the table."""
        return cls(table)

    @classmethod
    def replace_partition(cls, table: TableRef, slice_: Slice) -> WritePlan:
        """The frame becomes one slice of the table."""
        return cls(table, WriteMode.REPLACE_PARTITION, SchemaPolicy.STRICT, slice_)

    def __str__(self) -> str:
        """What is written, for people: `partition 2024-01 of dev.marts.delays`."""
        return f"{self.slice.label} of {self.table}" if self.slice else str(self.table)


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """Which rows and columns of a table are read; `None` means all."""

    table: TableRef
    columns: tuple[str, ...] | None = None
    slice: Slice | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a write did.

    `columns` are the table's, afterwards. `rows_outside` counts the rows written that do not
    belong to the slice that they were written for: writing it again would double them. `query`
    reads what was written.
    """

    columns: tuple[Column, ...]
    query: str
    rows_written: int
    rows_deleted: int = 0
    rows_outside: int = 0
    difference: SchemaDifference = field(default_factory=SchemaDifference)
