"""What is to be written or read, before any engine is asked; and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from dagweave.warehouse.columns import SchemaDifference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.slices import Slice
    from dagweave.weaving.table_ref import TableRef


class Mode(StrEnum):
    """What a write does to the rows that are there."""

    REPLACE = "replace"
    """The frame takes the place of what is materialized: the table, or the run's partitions."""
    REPLACE_PARTITION = "replace_partition"
    """Likewise; but a table without partitions is refused, and never replaced as a whole."""
    APPEND = "append"
    """The rows are added, once for each run: a step that is retried adds them once."""
    MERGE = "merge"
    """A row whose keys are there is updated, any other is added."""
    CREATE_ONLY = "create_only"
    """A table that is there stays as it is; one that is not is made."""
    SKIP_IF_EMPTY = "skip_if_empty"
    """As `replace`; but a frame without rows changes nothing."""


class SchemaPolicy(StrEnum):
    """What becomes of a table whose columns are not those of the frame."""

    STRICT = "strict"
    """Nothing is written."""
    ADD_COLUMNS = "add_columns"
    """The table gets the frame's new columns; those that the frame lacks are null."""
    WIDEN = "widen"
    """Likewise, and a column becomes as wide as the frame's, where no value is lost by that."""
    REPLACE = "replace"
    """The table is made anew. Only for a table that is replaced as a whole."""


class Outside(StrEnum):
    """What becomes of rows that do not belong to the partition that they are written for."""

    WARN = "warn"
    """They are written, and counted."""
    REFUSE = "refuse"
    """Nothing is written."""
    DROP = "drop"
    """They are left out, and counted."""


@dataclass(frozen=True, slots=True)
class WritePlan:
    """Where a frame goes, what it replaces there, and how.

    `policy` is `strict` where it is not said; but `replace` for a table that is replaced whole.
    `keys` are the columns that `merge` knows a row by; with `delete_unmatched`, it deletes the rows
    of the slice (or table) that are not in the frame. `once` names the write, its own name first,
    then those that it had in earlier attempts: `append` adds rows under one of them once. `labels` say
    for whom it is (`asset`, `run`), where an engine keeps a record of its work.
    """

    table: TableRef
    slice: Slice | None = None
    """What the frame takes the place of, all other rows stay; `None` for the whole table."""
    mode: Mode = Mode.REPLACE
    policy: SchemaPolicy | None = None
    keys: tuple[str, ...] = ()
    delete_unmatched: bool = False
    outside: Outside = Outside.WARN
    once: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def replaces_all(self) -> bool:
        """Whether no row that is there now stays."""
        return self.slice is None and self.mode in {Mode.REPLACE, Mode.SKIP_IF_EMPTY}

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

    `columns` are the table's, afterwards. `rows_written` were inserted or updated; `rows_updated`
    are those among them that were there before; where an engine does not tell, it is `None`, and
    so is `rows_deleted`, which is also `None` where the table was made anew. `rows_outside` counts
    the rows of the frame that do not belong to the slice that they were written for: writing it
    again would double them, if they were not dropped. `skipped` says why nothing was written.
    `query` reads what was written. `bytes` is the size of the frame as Arrow. `statements` were
    run, under `query_ids`, within `seconds`; `url` shows them in the engine's own pages.
    """

    columns: tuple[Column, ...]
    query: str
    rows_written: int
    rows_deleted: int | None = None
    rows_updated: int | None = None
    rows_outside: int = 0
    difference: SchemaDifference = field(default_factory=SchemaDifference)
    skipped: str | None = None
    bytes: int | None = None
    statements: int = 0
    seconds: float = 0.0
    query_ids: tuple[str, ...] = ()
    url: str | None = None
