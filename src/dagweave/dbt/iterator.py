"""Dagster's events of a dbt command, with what can be added to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from dagster import AssetMaterialization, Output, get_dagster_logger

from dagweave._dagster.metadata import ROW_COUNT
from dagweave.dbt.row_counts import count_rows

if TYPE_CHECKING:
    from dagweave.dbt.events import DbtDagsterEvent
    from dagweave.dbt.invocation import DbtCliInvocation

T = TypeVar("T")


class DbtEventIterator(Iterator[T], Generic[T]):
    """Events of a dbt command, in the order in which dbt logs them."""

    def __init__(self, events: Iterator[T], dbt_cli_invocation: DbtCliInvocation) -> None:
        self._events = events
        self._invocation = dbt_cli_invocation

    def __next__(self) -> T:
        return next(self._events)

    def __iter__(self) -> DbtEventIterator[T]:
        return self

    def fetch_row_counts(self) -> DbtEventIterator[DbtDagsterEvent]:
        """Add to each table that was built how many rows it has. Views are not counted.

        dbt itself counts, up to 200 tables in a query, when the command has ended: so the events
        come at its end. If it cannot count, a warning says why and the events come as they are.
        """
        events = cast("Iterator[DbtDagsterEvent]", self._events)
        return DbtEventIterator(self._with_row_counts(events), self._invocation)

    def _with_row_counts(self, events: Iterator[DbtDagsterEvent]) -> Iterator[DbtDagsterEvent]:
        held: list[DbtDagsterEvent] = []
        failure: BaseException | None = None
        try:
            held.extend(events)
        except Exception as error:  # noqa: BLE001 -- raised again, once what went well is told
            failure = error
        except BaseException as interrupt:
            if isinstance(interrupt, GeneratorExit):
                raise
            # What was built is told, but nobody has the time to count.
            yield from held
            raise
        built = [node for event in held if (node := _built(event)) and not self._is_view(node)]
        counts = self._counted(built)
        for event in held:
            rows = counts.get(_built(event) or "")
            if rows is None or not isinstance(event, (Output, AssetMaterialization)):
                yield event
            else:
                yield event.with_metadata({**event.metadata, ROW_COUNT: rows})
        if failure is not None:
            raise failure

    def _counted(self, nodes: list[str]) -> dict[str, int]:
        counts: dict[str, int] = {}
        try:
            for some in count_rows(self._invocation, nodes):
                counts |= some
        except Exception as error:  # noqa: BLE001 -- the tables are there, counted or not
            get_dagster_logger().warning(
                f"{len(nodes) - len(counts)} of {len(nodes)} tables that dbt built were not "
                f"counted.\n{type(error).__name__}: {error}"
            )
        return counts

    def _is_view(self, unique_id: str) -> bool:
        manifest = self._invocation.known_manifest
        return manifest is None or manifest.node(unique_id).config.materialized == "view"


def _built(event: DbtDagsterEvent) -> str | None:
    """The node that an event says was built."""
    if not isinstance(event, (Output, AssetMaterialization)):
        return None
    told = event.metadata.get("unique_id")
    return str(told.value) if told else None
