"""What is to be written or read, before any engine is asked; and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dagweave.warehouse.columns import SchemaDifference

if TYPE_CHECKING:
    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.slices import Slice
    from dagweave.weaving.table_ref import TableRef


@dataclass(frozen=True, slots=True)
class WritePlan:
    """Where a frame goes, and what it replaces there."""

    table: TableRef
    slice: Slice | None = None
    """What the frame takes the place of, all other rows stay; `None` for the whole table."""

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

    `columns` are the table's, afterwards. `rows_deleted` is `None` where the table was made anew.
    `rows_outside` counts the rows written that do not belong to the slice that they were written
    for: writing it again would double them. `query` reads what was written.
    """

    columns: tuple[Column, ...]
    query: str
    rows_written: int
    rows_deleted: int | None = None
    rows_outside: int = 0
    difference: SchemaDifference = field(default_factory=SchemaDifference)
