"""What can be added to the events of a dbt command, once it has ended."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    AssetMaterialization,
    MarkdownMetadataValue,
    MetadataValue,
    Output,
    get_dagster_logger,
)

from dagweave._dagster.metadata import ROW_COUNT
from dagweave.dbt.additions.artifacts import Artifacts
from dagweave.dbt.additions.columns import ColumnMetadata
from dagweave.dbt.additions.failed_rows import FailedRows
from dagweave.dbt.additions.inquiry import Answers, ask
from dagweave.dbt.additions.row_counts import RowCounts
from dagweave.dbt.keys import FAILED_ROW_COUNT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from dagweave.dbt.additions.inquiry import Question
    from dagweave.dbt.additions.wanted import Wanted
    from dagweave.dbt.events import DbtDagsterEvent
    from dagweave.dbt.invocation import DbtCliInvocation

FAILED_ROWS: Final = "dagweave/failed_rows"
COMPILED_SQL: Final = "dagweave/compiled_sql"

_LONGEST_SQL: Final = 20_000


def with_additions(
    events: Iterator[DbtDagsterEvent], invocation: DbtCliInvocation, wanted: Wanted
) -> Iterator[DbtDagsterEvent]:
    """The events in their order, with what is wanted added to them. They come when dbt has ended.

    What cannot be found out is a warning, and the events come without it.
    """
    held: list[DbtDagsterEvent] = []
    failure: BaseException | None = None
    try:
        held.extend(events)
    except Exception as error:  # noqa: BLE001 -- raised again, once what went well is told
        failure = error
    except BaseException as interrupt:
        if isinstance(interrupt, GeneratorExit):
            raise
        # What was built is told, but nobody has the time to ask for more.
        yield from held
        raise
    added = _Additions(invocation, wanted, held).found()
    for event in held:
        more = added.get(_node(event) or "")
        yield event.with_metadata({**(event.metadata or {}), **more}) if more else event
    if failure is not None:
        raise failure


class _Additions:
    """What is added to the events of each node."""

    def __init__(
        self, invocation: DbtCliInvocation, wanted: Wanted, events: Sequence[DbtDagsterEvent]
    ) -> None:
        self._invocation = invocation
        self._wanted = wanted
        self._artifacts = Artifacts(invocation)
        self._built = list(
            dict.fromkeys(node for event in events if _is_built(event) and (node := _node(event)))
        )
        self._tested = {
            node: event
            for event in events
            if not _is_built(event) and (node := _node(event)) and node.startswith("test.")
        }
        self._found: dict[str, dict[str, Any]] = {}

    def found(self) -> Mapping[str, Mapping[str, Any]]:
        """For each node, its metadata. Asks dbt once for all of it."""
        with _warning_of("No metadata was added to what dbt built."):
            counts = self._row_counts() if self._wanted.row_counts else None
            columns = self._columns() if self._wanted.columns else None
            failed = self._failed_rows() if self._wanted.failed_rows else None
            parts = [part for part in (columns, failed, counts) if part]
            questions: list[Question] = [each for part in parts for each in part.questions]
            answers = ask(self._invocation, questions) if questions else Answers()
            if answers.error:
                _warn("dbt did not say all that was asked of it.", answers.error)
            if counts:
                self._add_counts(counts, answers)
            if columns:
                self._add_columns(columns, answers)
            if failed:
                self._add_failed_rows(failed, answers)
        if self._wanted.compiled_sql:
            self._add_sql()
        return self._found

    def _row_counts(self) -> RowCounts:
        return RowCounts(
            [
                (node, table)
                for node in self._built
                if not self._is_view(node) and (table := self._invocation.relation(node))
            ]
        )

    def _columns(self) -> ColumnMetadata:
        with_lineage = self._wanted.lineage
        return ColumnMetadata(
            self._invocation, self._artifacts, self._built, with_lineage=with_lineage
        )

    def _failed_rows(self) -> FailedRows:
        failed = {
            test: count
            for test, event in self._tested.items()
            if _told(event, "status") in ("fail", "warn")
            and isinstance(count := _told(event, FAILED_ROW_COUNT), int)
            and count
        }
        return FailedRows(self._artifacts, failed, self._wanted.failed_rows)

    def _add_counts(self, counts: RowCounts, answers: Answers) -> None:
        with _warning_of("Not all tables that dbt built were counted."):
            for node, rows in counts.counted(answers):
                self._add(node, {ROW_COUNT: rows})

    def _add_columns(self, columns: ColumnMetadata, answers: Answers) -> None:
        with _warning_of("Columns of tables that dbt built, or their lineage, are missing."):
            for node, metadata in columns.metadata(answers):
                self._add(node, metadata)
        if columns.complaint:
            _warn(columns.complaint)

    def _add_failed_rows(self, failed: FailedRows, answers: Answers) -> None:
        with _warning_of("Failing rows of dbt's tests are missing."):
            for test, table in failed.tables(answers):
                self._add(test, {FAILED_ROWS: self._markdown(table)})
        if failed.left_out:
            _warn(f"Of {failed.left_out} more tests that failed, the rows were not asked for.")

    def _add_sql(self) -> None:
        with _warning_of("The SQL that dbt ran is missing."):
            for node in (*self._built, *self._tested):
                if sql := self._artifacts.sql(node):
                    text = sql.strip()
                    more = len(text) - _LONGEST_SQL
                    cut = f"\n-- ... {more:,} characters more" if more > 0 else ""
                    fence = "`" * max(3, _longest_run_of_ticks(text) + 1)
                    code = f"{fence}sql\n{text[:_LONGEST_SQL]}{cut}\n{fence}"
                    self._add(node, {COMPILED_SQL: self._markdown(code)})

    def _markdown(self, text: str) -> MarkdownMetadataValue:
        return MetadataValue.md(self._invocation.dbt_process.masked(text))

    def _add(self, node: str, metadata: Mapping[str, Any]) -> None:
        self._found.setdefault(node, {}).update(metadata)

    def _is_view(self, unique_id: str) -> bool:
        manifest = self._invocation.known_manifest
        if manifest is None or not manifest.has_node(unique_id):
            return True
        return manifest.node(unique_id).config.materialized == "view"


def _longest_run_of_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _is_built(event: DbtDagsterEvent) -> bool:
    return isinstance(event, (Output, AssetMaterialization))


def _node(event: DbtDagsterEvent) -> str | None:
    """The node that an event is of."""
    told = _told(event, "unique_id")
    return str(told) if told else None


def _told(event: DbtDagsterEvent, name: str) -> Any:
    value = (event.metadata or {}).get(name)
    return getattr(value, "value", value)


@contextmanager
def _warning_of(what: str) -> Generator[None]:
    """A failure within the block is a warning: what dbt built is there, whatever is known of it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- see above
        _warn(what, error)


def _warn(what: str, error: Exception | None = None) -> None:
    why = f"\n{type(error).__name__}: {error}" if error else ""
    get_dagster_logger().warning(f"{what}{why}")
