"""Watch the syncs that a vendor runs by itself, and report them as materializations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from dagster import (
    AssetMaterialization,
    AssetObservation,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
)

from dagweave._dagster.failures import failures
from dagweave.connector.model import IDENTITY, Condition, connection_of
from dagweave.connector.vendor import clean_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dagster import AssetSpec, DagsterInstance

    from dagweave.connector.model import SyncedTable
    from dagweave.connector.workspace import Selector, SyncWorkspace

SYNC_FAILED = "dagweave/sync_failed"
"""In the metadata of an observation: what the vendor says about a sync that failed."""


class PollingCursor(msgspec.Struct):
    """When the last sync ended that was dealt with, by connection: seconds since 1970."""

    effective_timestamp_by_connector_id: dict[str, float] = {}


def build_polling_sensor(
    workspace: SyncWorkspace,
    *,
    translator: Any,
    selector: Selector | None,
    minimum_interval_seconds: int,
    default_status: DefaultSensorStatus | None,
    name: str,
    completed_at_key: str,
    metadata_of: Callable[[SyncedTable, Condition], Mapping[str, Any]],
) -> SensorDefinition:
    """A sensor that asks once per tick, whatever the number of connections.

    A sync that a run of Dagster recorded already is passed over. One that failed is reported as an
    observation of its tables, with what the vendor says.

    Args:
        completed_at_key: In a materialization's metadata: when its sync ended.
        metadata_of: What a materialization of a table says.
    """
    watch = _Watch(workspace, translator, selector, completed_at_key, metadata_of)
    return SensorDefinition(
        name=clean_name(name) if not name.isidentifier() else name,
        description=f"Reports the syncs that {workspace.vendor.name} runs by itself.",
        evaluation_fn=watch.tick,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status or DefaultSensorStatus.RUNNING,
    )


class _Watch:
    def __init__(
        self,
        workspace: SyncWorkspace,
        translator: Any,
        selector: Selector | None,
        completed_at_key: str,
        metadata_of: Callable[[SyncedTable, Condition], Mapping[str, Any]],
    ) -> None:
        self._workspace = workspace
        self._translator = translator
        self._selector = selector
        self._completed_at_key = completed_at_key
        self._metadata_of = metadata_of

    def tick(self, context: SensorEvaluationContext) -> SensorResult:
        """Report what ended since the last tick."""
        with failures():
            return self._tick(context)

    def _tick(self, context: SensorEvaluationContext) -> SensorResult:
        cursor = _read(context.cursor)
        seen = cursor.effective_timestamp_by_connector_id
        wanted = self._wanted()
        since = min((seen.get(id_, 0.0) for id_ in wanted), default=None)
        fresh = [
            condition
            for condition in self._workspace.resolved().service().conditions(since)
            if condition.connection_id in wanted
            and condition.ended_at is not None
            and condition.ended_at > seen.get(condition.connection_id, 0.0)
        ]
        events: list[Any] = []
        for condition in fresh:
            specs = self._specs(context, condition.connection_id)
            events += self._events(context.instance, condition, specs)
            seen[condition.connection_id] = condition.ended_at or 0.0
        return SensorResult(asset_events=events, cursor=msgspec.json.encode(cursor).decode())

    def _wanted(self) -> Mapping[str, Any]:
        known = self._workspace.vendor.connections(self._workspace.data())
        chosen = self._selector
        return {id_: each for id_, each in known.items() if chosen is None or chosen(each)}

    def _specs(self, context: SensorEvaluationContext, connection_id: str) -> list[AssetSpec]:
        """The assets of a connection: those of the code location, whatever became of their keys."""
        repository = context.repository_def
        if repository is not None:
            found = [
                spec
                for assets in dict.fromkeys(repository.assets_defs_by_key.values())
                for spec in assets.specs
                if IDENTITY in spec.metadata
                and connection_of(spec.metadata[IDENTITY]) == connection_id
            ]
            if found:
                return found
        return self._workspace.connection_specs(connection_id, self._translator)

    def _events(
        self, instance: DagsterInstance, condition: Condition, specs: list[AssetSpec]
    ) -> Iterator[AssetMaterialization | AssetObservation]:
        if not condition.succeeded:
            for spec in specs:
                yield AssetObservation(
                    asset_key=spec.key,
                    description=f"{self._workspace.vendor.name} sync of {condition.name} failed.",
                    metadata={SYNC_FAILED: condition.message or "No reason is given."},
                )
            return
        if not specs or self._is_recorded(instance, condition, specs[0]):
            return
        tables = self._workspace.vendor.tables(self._workspace.data(), condition.connection_id)
        yield from self._materializations(condition, specs, tables)

    def _materializations(
        self, condition: Condition, specs: list[AssetSpec], tables: Iterable[SyncedTable]
    ) -> Iterator[AssetMaterialization]:
        by_identity = {spec.metadata[IDENTITY]: spec for spec in specs}
        for table in tables:
            if spec := by_identity.get(table.identity):
                yield AssetMaterialization(
                    asset_key=spec.key,
                    description=f"Table generated via {self._workspace.vendor.name} sync: "
                    f"{table.label}",
                    metadata={
                        **self._metadata_of(table, condition),
                        self._completed_at_key: condition.ended_at,
                    },
                )

    def _is_recorded(
        self, instance: DagsterInstance, condition: Condition, spec: AssetSpec
    ) -> bool:
        event = instance.get_latest_materialization_event(spec.key)
        found = event.asset_materialization if event else None
        value = found.metadata.get(self._completed_at_key) if found else None
        recorded = getattr(value, "value", None)
        return isinstance(recorded, float | int) and recorded >= (condition.ended_at or 0.0)


def _read(text: str | None) -> PollingCursor:
    """The cursor, ours or the official one's; a new one if it is neither."""
    try:
        return msgspec.json.decode(text or "{}", type=PollingCursor)
    except msgspec.MsgspecError:
        return PollingCursor()
