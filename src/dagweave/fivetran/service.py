"""The five verbs of the connector family, as Fivetran knows them."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from dagster import MetadataValue, get_dagster_logger

from dagweave._kernel.errors import InvalidInput, Refused
from dagweave.connector.model import (
    Condition,
    Handle,
    Phase,
    Progress,
    Standing,
    SyncedTable,
    Wish,
)
from dagweave.fivetran.models import FivetranConnector, table_props
from dagweave.fivetran.translator import FivetranMetadataSet, column_types, place_of

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Mapping, Sequence

    from dagweave.fivetran.client import FivetranClient
    from dagweave.fivetran.models import FivetranDestination, FivetranWorkspaceData

# https://fivetran.com/docs/rest-api/api-reference/connections/connection-details
_PHASES: Final = {
    "scheduled": Phase.IDLE,
    "syncing": Phase.RUNNING,
    "paused": Phase.CANCELLED,
    "rescheduled": Phase.RESCHEDULED,
}


class FivetranSyncs:
    """The syncs of one account.

    Fivetran gives a sync no id. It has ended once `succeeded_at` or `failed_at` is later than what
    was the latest of the two before it began, which its handle holds.

    Args:
        disable_schedule: Whether a connection is set to the manual schedule before it is synced.
    """

    vendor = "Fivetran"

    def __init__(self, client: FivetranClient, account: str, *, disable_schedule: bool) -> None:
        self.client = client
        self.account = f"{account} at {client.http.base_url}"
        self._disable_schedule = disable_schedule
        self._destinations: dict[str, FivetranDestination | None] = {}

    def snapshot(self) -> FivetranWorkspaceData:
        """All connections, with their destinations and tables."""
        data = self.client.workspace()
        if not data.connectors_by_id:
            _log().warning(
                f"Fivetran account {self.account} shows no connections. If it has some, the API "
                "key may see none of their groups: look at its role in Fivetran."
            )
        for id_, connector in data.connectors_by_id.items():
            if not connector.is_connected:
                _log().warning(
                    f"Fivetran connection {connector.name!r} ({id_}) is {connector.setup_state}. "
                    f"{' '.join(connector.problems)} Its tables stay assets: {connector.url}"
                )
            if not data.schema_configs_by_connector_id[id_].has_schemas:
                _log().warning(
                    f"Fivetran connection {connector.name!r} ({id_}) has no tables yet, and so no "
                    "assets. Fivetran knows them after the first sync."
                )
        return data

    def standing(self, connection_id: str) -> Standing:
        """How a connection is just now."""
        found = self._connection(connection_id)
        before = _ended(found)
        running = Handle(connection_id, before) if found.sync_state == "syncing" else None
        problem = ""
        if not found.is_connected:
            problem = f"It is {found.setup_state}. {' '.join(found.problems)}".strip()
        return Standing(connection_id, found.name, before, found.paused, running, problem)

    def start(self, handle: Handle, wish: Wish) -> Handle:
        """Begin a sync; if one runs, it goes on."""
        id_ = handle.connection_id
        if self._disable_schedule and self._connection(id_).schedule_type != "manual":
            _log().warning(
                f"Fivetran connection {id_!r} is set to the manual schedule: from now on only "
                "Dagster syncs it. To leave its schedule, set disable_schedule_on_trigger=False."
            )
            self.client.change(id_, schedule_type="manual")
        if wish.resync:
            self.client.resync(id_, wish.tables)
        else:
            self.client.sync(id_)
        return handle

    def poll(self, handles: Sequence[Handle]) -> Mapping[str, Progress]:
        """How these syncs are: one request for one, one per thousand connections for more."""
        ids = {handle.connection_id for handle in handles}
        if len(ids) == 1:
            found = {id_: self.client.connection(id_) for id_ in ids}
        else:
            found = {each.id: each for each in self.client.connections()}
        return {
            handle.key: _progress(found[handle.connection_id], handle)
            for handle in handles
            if handle.connection_id in found
        }

    def cancel(self, handle: Handle) -> None:
        """Pause the connection until its sync has stopped."""
        self.client.stop(handle.connection_id)

    def unpause(self, connection_id: str) -> None:
        """Let a connection that is paused sync again."""
        self.client.change(connection_id, paused=False)

    def tables(self, handle: Handle, progress: Progress) -> Sequence[SyncedTable]:
        """The tables that are synced."""
        connector = self.client.connection(handle.connection_id)
        config = self.client.schemas(handle.connection_id)
        destination = self.client.destination(connector.destination_id)
        tables: list[SyncedTable] = []
        for schema_name, schema, table_name, table in config.enabled_tables():
            props = table_props(connector, destination, config, schema, table)
            said = FivetranMetadataSet(sync_completed_at=progress.ended_at)
            metadata = {**place_of(props), **said}
            if table.columns:
                metadata["column_info"] = MetadataValue.json(table.columns)
            tables.append(
                SyncedTable(connector.id, (schema_name, table_name), props.table, props, metadata)
            )
        return tables

    def columns(self, table: SyncedTable) -> Mapping[str, str]:
        """The columns of a table; Fivetran asks the source for them."""
        return column_types(self.client.columns(table.connection_id, *table.path))

    def conditions(self, since: float | None = None) -> Iterable[Condition]:
        """How all connections are."""
        del since
        return [_condition(each) for each in self.client.connections()]

    def page(self, connection_id: str) -> str:
        """Where people look at the connection."""
        return f"https://fivetran.com/dashboard/connections/{connection_id}"

    def requests_of_a_sync(self, connection_id: str) -> Sequence[str]:
        """The requests that a sync would make, for people. Makes none."""
        at = f"/v1/connections/{connection_id}"
        manual = [f"PATCH {at} schedule_type=manual, unless it is already"]
        return [
            f"GET {at}",
            *(manual if self._disable_schedule else []),
            f"POST {at}/sync force=false",
            f"GET {at}, or GET /v1/connections where several syncs are waited for, per poll_interval",
            f"GET {at}",
            f"GET {at}/schemas",
            "GET /v1/destinations/<its group>",
        ]

    def _connection(self, connection_id: str) -> FivetranConnector:
        try:
            return self.client.connection(connection_id)
        except Refused as error:
            if error.status != 404:
                raise
            known = {each.id: each.name for each in self.client.connections()}
            near = difflib.get_close_matches(connection_id, known, n=3)
            raise InvalidInput(
                f"Fivetran has no connection {connection_id!r} (any more).",
                seen=f"Nearest: {', '.join(near)}." if near else str(error),
                remedy="Renew the snapshot: dagweave refresh.",
            ) from error


def _progress(found: FivetranConnector, handle: Handle) -> Progress:
    message = " ".join(found.problems)
    if _ended(found) > handle.before:
        phase = Phase.SUCCEEDED if found.is_last_sync_successful else Phase.FAILED
        if phase is Phase.FAILED and not found.is_connected:
            message = f"{message} (setup_state={found.setup_state})"
        ended_at = found.last_sync_completed_at.timestamp()
        return Progress(phase, phase.value, message, ended_at=ended_at)
    if found.is_rescheduled and found.rescheduled_for:
        until = datetime.fromisoformat(found.rescheduled_for)
        if until > datetime.now(UTC):
            return Progress(Phase.RESCHEDULED, "rescheduled", message, until=until.timestamp())
    phase = _PHASES.get(found.sync_state, Phase.UNKNOWN)
    if phase is Phase.RESCHEDULED:
        # The time has come: what is put off begins by itself, or waits to be begun.
        phase = Phase.IDLE
    if phase is Phase.CANCELLED:
        message = "The connection was paused while it synced."
    return Progress(phase, found.sync_state, message)


def _condition(found: FivetranConnector) -> Condition:
    ended = found.succeeded_at or found.failed_at
    return Condition(
        connection_id=found.id,
        name=found.name,
        paused=found.paused,
        problem="" if found.is_connected else f"It is {found.setup_state}.",
        ended_at=found.last_sync_completed_at.timestamp() if ended else None,
        succeeded=found.is_last_sync_successful if ended else True,
        message=" ".join(found.problems),
    )


def _ended(found: FivetranConnector) -> str:
    """When the last sync ended, so that texts compare as times do; empty if there was none."""
    if not (found.succeeded_at or found.failed_at):
        return ""
    return found.last_sync_completed_at.astimezone(UTC).isoformat(timespec="microseconds")


def _log() -> logging.Logger:
    return get_dagster_logger()
