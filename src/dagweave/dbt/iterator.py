"""Dagster's events of a dbt command, with what can be added to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from dagweave.dbt.additions.wanted import Wanted

if TYPE_CHECKING:
    from dagweave.dbt.events import DbtDagsterEvent
    from dagweave.dbt.invocation import DbtCliInvocation

T = TypeVar("T")


class DbtEventIterator(Iterator[T], Generic[T]):
    """Events of a dbt command, in the order in which dbt logs them.

    Its `fetch_` methods add metadata to them, and can be chained in any order: dbt is asked once, in
    one more command, when its own has ended. So the events come then. What cannot be found out is a
    warning, and the events come without it.

    Example:
        ```python
        yield from dbt.cli(["build"], context=context).stream().fetch_row_counts().fetch_column_metadata()
        ```
    """

    def __init__(self, events: Iterator[T], dbt_cli_invocation: DbtCliInvocation) -> None:
        self._given = events
        self._invocation = dbt_cli_invocation
        self._wanted = Wanted()
        self._events: Iterator[T] | None = None

    def __next__(self) -> T:
        if self._events is None:
            self._events = self._given
            if self._wanted != Wanted():
                given = cast("Iterator[DbtDagsterEvent]", self._given)
                # Most streams ask for nothing.
                from dagweave.dbt.additions.gather import with_additions

                events = with_additions(given, self._invocation, self._wanted)
                self._events = cast("Iterator[T]", events)
        return next(self._events)

    def __iter__(self) -> DbtEventIterator[T]:
        return self

    def fetch_row_counts(self) -> DbtEventIterator[DbtDagsterEvent]:
        """Add to each table that was built how many rows it has. Views are not counted.

        Up to 200 tables are counted in a query.
        """
        return self._with(replace(self._wanted, row_counts=True))

    def fetch_column_metadata(
        self,
        with_column_lineage: bool = True,  # noqa: FBT001, FBT002 -- as the official package has it
    ) -> DbtEventIterator[DbtDagsterEvent]:
        """Add to each table and view that was built its columns, and where each of them comes from.

        The columns and their types are those of the warehouse, with descriptions and tags from the
        project's YAML. The lineage is read from the SQL that dbt ran, and kept on disk, so that SQL
        that has not changed is not read again. It needs sqlglot, which the extra `dbt` brings. A
        seed has none, and neither has a model in Python.
        """
        lineage = self._wanted.lineage or with_column_lineage
        return self._with(replace(self._wanted, columns=True, lineage=lineage))

    def fetch_failed_rows(self, limit: int = 10) -> DbtEventIterator[DbtDagsterEvent]:
        """Add to each test that failed or warned a small table of the rows that it found.

        They are read from the table that dbt stored them in (`store_failures`), else by running the
        test's SQL again. They are shown to everybody who sees the asset check, so mind what is in
        them. Long values and wide rows are cut.

        Args:
            limit: The most rows of a test.
        """
        return self._with(replace(self._wanted, failed_rows=max(0, limit)))

    def fetch_compiled_sql(self) -> DbtEventIterator[DbtDagsterEvent]:
        """Add to what was built, and to each test, the SQL that dbt ran for it; bounded."""
        return self._with(replace(self._wanted, compiled_sql=True))

    def _with(self, wanted: Wanted) -> DbtEventIterator[DbtDagsterEvent]:
        """The same events, with more wanted of them."""
        more = DbtEventIterator(
            cast(
                "Iterator[DbtDagsterEvent]", self._given if self._events is None else self._events
            ),
            self._invocation,
        )
        more._wanted = wanted
        return more
