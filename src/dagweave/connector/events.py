"""Turn the tables of a sync into events, and add to them what can be found out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from dagster import AssetMaterialization, MaterializeResult, get_dagster_logger

from dagweave._dagster.failures import failures
from dagweave._dagster.metadata import COLUMN_SCHEMA, ROW_COUNT
from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave._kernel.gather import gather
from dagweave.connector.specs import by_identity, spec_of
from dagweave.connector.tables import table_schema
from dagweave.weaving import TableRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dagster import AssetExecutionContext, AssetSpec

    from dagweave.connector.model import SyncedTable, SyncService
    from dagweave.connector.vendor import Vendor

SyncEvent: TypeAlias = "AssetMaterialization | MaterializeResult[Any]"
CountRows: TypeAlias = Callable[[TableRef], "int | None"]

_THREADS = 10


@dataclass(frozen=True, slots=True)
class Synced:
    """An event, and the table that it is about."""

    event: SyncEvent
    table: SyncedTable
    spec: AssetSpec

    def with_metadata(self, added: Mapping[str, Any]) -> Synced:
        """The same, saying more."""
        whole: dict[str, Any] = {**(self.event.metadata or {}), **added}
        if isinstance(self.event, MaterializeResult):
            event = MaterializeResult[Any](asset_key=self.event.asset_key, metadata=whole)
            return replace(self, event=event)
        event = AssetMaterialization(
            asset_key=self.event.asset_key, description=self.event.description, metadata=whole
        )
        return replace(self, event=event)


def events_of(
    vendor: Vendor[Any], context: AssetExecutionContext, tables: Iterable[SyncedTable]
) -> Iterator[Synced]:
    """The event of each table that was synced: a result, if the step is to make it.

    A table of the definition that was not selected was synced as well, and is reported. One that
    no definition knows is reported under the key that the translator gives it.
    """
    specs = by_identity(context.assets_def.specs)
    taken = {spec.key for spec in specs.values()}
    selected = context.selected_asset_keys
    made = set[Any]()
    for table in tables:
        spec = specs.get(table.identity)
        if spec is not None and spec.key in selected:
            made.add(spec.key)
            yield Synced(
                MaterializeResult(asset_key=spec.key, metadata=table.metadata), table, spec
            )
            continue
        spec = spec or _unexpected(vendor, context, table)
        if spec is not None and (table.identity in specs or spec.key not in taken):
            yield Synced(_materialization(vendor, spec, table), table, spec)
    if missing := selected - made:
        shown = ", ".join(sorted(key.to_user_string() for key in missing))
        get_dagster_logger().warning(f"{vendor.name} synced no table for: {shown}.")


def _materialization(
    vendor: Vendor[Any], spec: AssetSpec, table: SyncedTable
) -> AssetMaterialization:
    return AssetMaterialization(
        asset_key=spec.key,
        description=f"Table generated via {vendor.name} sync: {table.label}",
        metadata=table.metadata,
    )


def _unexpected(
    vendor: Vendor[Any], context: AssetExecutionContext, table: SyncedTable
) -> AssetSpec | None:
    """The asset of a table that came since the definitions were made: nobody was asked about it."""
    translator = next(
        (spec.metadata.get(vendor.translator_key) for spec in context.assets_def.specs), None
    )
    get_dagster_logger().warning(
        f"{vendor.name} synced {table.label}, which no asset of this definition is. To have it as "
        "an asset, renew the snapshot: dagweave refresh."
    )
    if translator is None:
        return None
    try:
        return spec_of(vendor, table, translator)
    except InvalidInput as error:
        get_dagster_logger().warning(str(error))
        return None


class SyncEventIterator(Iterator["SyncEvent"]):
    """The events of one sync, which begins when the first is asked for."""

    def __init__(
        self, synced: Iterator[Synced], service: SyncService, context: AssetExecutionContext
    ) -> None:
        self._synced = synced
        self._service = service
        self._context = context

    def __iter__(self) -> SyncEventIterator:
        return self

    def __next__(self) -> SyncEvent:
        return next(self._synced).event

    def fetch_column_metadata(self) -> SyncEventIterator:
        """Add each table's columns. Where they cannot be had, a warning says so, and why."""
        return self._adding(lambda table, _spec: self._columns(table))

    def fetch_row_count(self, count: CountRows | None = None) -> SyncEventIterator:
        """Add how many rows each table has.

        Args:
            count: Counts the rows of a table in the warehouse. No vendor knows how many there are;
                what some know, how many rows the sync wrote, is in the metadata anyway.

        Raises:
            InvalidInput: Without `count`.

        Example:
            ```python
            def rows(table: TableRef) -> int:
                return connection.execute(f"select count(*) from {table}").fetchone()[0]

            yield from fivetran.sync_and_poll(context).fetch_row_count(rows)
            ```
        """
        if count is None:
            raise InvalidInput(
                f"{self._service.vendor} does not know how many rows a table has.",
                remedy="Give a function that asks the warehouse: fetch_row_count(count=...).",
            )

        def added(table: SyncedTable, spec: AssetSpec) -> Mapping[str, Any]:
            ref = TableRef.from_metadata(spec.metadata)
            try:
                rows = count(ref) if ref else None
            except Exception as error:  # noqa: BLE001 -- the user's own
                self._warn("row count", table, error)
                return {}
            return {} if rows is None else {ROW_COUNT: rows}

        return self._adding(added)

    def _adding(
        self, added: Callable[[SyncedTable, AssetSpec], Mapping[str, Any]]
    ) -> SyncEventIterator:
        def one(synced: Synced) -> Synced:
            return synced.with_metadata(added(synced.table, synced.spec))

        def all_of_them() -> Iterator[Synced]:
            yield from gather(one, self._synced, threads=_THREADS)

        return SyncEventIterator(all_of_them(), self._service, self._context)

    def _columns(self, table: SyncedTable) -> Mapping[str, Any]:
        try:
            columns = self._service.columns(table)
        except DagweaveError as error:
            self._warn("columns", table, error)
            return {}
        return {COLUMN_SCHEMA: table_schema(columns)} if columns else {}

    def _warn(self, what: str, table: SyncedTable, error: Exception) -> None:
        get_dagster_logger().warning(f"The {what} of {table.label} could not be fetched. {error}")


def failing_as_dagster_does(synced: Iterator[Synced]) -> Iterator[Synced]:
    """The same events; an error of ours leaves as a Dagster failure."""
    with failures():
        yield from synced
