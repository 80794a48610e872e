"""What Fivetran says of an account, as values. Knows nothing of Dagster.

https://fivetran.com/docs/rest-api/api-reference
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

_REPORTS: Final = ("custom_reports", "reports", "custom_tables", "report_configurations")
# Where the database of a destination stands in its configuration, which differs by service.
_DATABASES: Final = ("database", "catalog", "project_id")


class FivetranConnector(msgspec.Struct, frozen=True, kw_only=True):
    """A connection of Fivetran (once: a connector), and how it last was.

    Args:
        config: Of its configuration, only what says which custom reports it has.
        problems: What Fivetran says is to be done about it.
    """

    id: str
    name: str
    service: str
    group_id: str
    setup_state: str
    sync_state: str
    paused: bool = False
    succeeded_at: str | None = None
    failed_at: str | None = None
    sync_frequency: int | None = None
    schedule_type: str | None = None
    daily_sync_time: str | None = None
    config: dict[str, Any] | None = None
    rescheduled_for: str | None = None
    update_state: str | None = None
    problems: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Its page at Fivetran."""
        return f"https://fivetran.com/dashboard/connections/{self.id}"

    @property
    def destination_id(self) -> str:
        """The destination that it writes to; the group has the same id."""
        return self.group_id

    @property
    def is_connected(self) -> bool:
        """Whether it is set up."""
        return self.setup_state == "connected"

    @property
    def is_paused(self) -> bool:
        """Whether it syncs only once it is let."""
        return self.paused

    @property
    def last_sync_completed_at(self) -> datetime:
        """When its last sync ended, well or not; the year 1 if there was none."""
        return max(_moment(self.succeeded_at), _moment(self.failed_at))

    @property
    def is_last_sync_successful(self) -> bool:
        """Whether its last sync ended well."""
        return _moment(self.succeeded_at) > _moment(self.failed_at)

    @property
    def is_rescheduled(self) -> bool:
        """Whether Fivetran put off the sync that is due, for a quota of the source, say."""
        until = self.rescheduled_for
        return bool(until) and _moment(until) > self.last_sync_completed_at

    @classmethod
    def from_connector_details(cls, connector_details: Mapping[str, Any]) -> FivetranConnector:
        """Read it off a decoded answer of the API."""
        return msgspec.convert(connector_details, WireConnection).connector()


class FivetranDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Where connections of a group write to."""

    id: str
    database: str | None
    service: str


class FivetranTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table of a connection."""

    enabled: bool
    name_in_destination: str
    columns: dict[str, Any] | None = None


class FivetranSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A schema of a connection; its tables by their names at the source."""

    enabled: bool
    name_in_destination: str
    tables: dict[str, FivetranTable] = {}


class FivetranSchemaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection syncs; the schemas by their names at the source."""

    schemas: dict[str, FivetranSchema] = {}

    @property
    def has_schemas(self) -> bool:
        """Whether Fivetran knows already what there is; not so before the first sync."""
        return bool(self.schemas)

    def enabled_tables(self) -> Iterator[tuple[str, FivetranSchema, str, FivetranTable]]:
        """Each table that is synced, with its schema, both with their names at the source."""
        for schema_name, schema in self.schemas.items():
            if schema.enabled:
                for table_name, table in schema.tables.items():
                    if table.enabled:
                        yield schema_name, schema, table_name, table


class FivetranConnectorTableProps(NamedTuple):
    """What a translator is told about one table.

    `table` is `schema.table` in the destination; `schema_name`, `table_name` are its two parts,
    `entry` says more of it. A property that Fivetran did not tell is `None`.
    """

    table: str
    connector_id: str
    connector_name: str
    connector_url: str
    destination_id: str | None
    schema_config: FivetranSchemaConfig
    database: str | None
    service: str | None
    sync_frequency: int | None = None
    schedule_type: str | None = None
    daily_sync_time: str | None = None
    connector_config: Mapping[str, Any] | None = None
    schema_name: str | None = None
    table_name: str | None = None
    entry: FivetranTable | None = None

    @property
    def name(self) -> str:
        """The connector's name."""
        return self.connector_name


class FivetranWorkspaceData(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All of an account: its connections, where they write, and what."""

    connectors_by_id: dict[str, FivetranConnector]
    destinations_by_id: dict[str, FivetranDestination]
    schema_configs_by_connector_id: dict[str, FivetranSchemaConfig]

    @cached_property
    def ids_by_name(self) -> Mapping[str, list[str]]:
        """The ids of the connections of each name."""
        found: dict[str, list[str]] = {}
        for connector in self.connectors_by_id.values():
            found.setdefault(connector.name, []).append(connector.id)
        return found

    def props_of(self, connector_id: str) -> Iterator[tuple[tuple[str, str], Any]]:
        """What a translator is told about each table of a connection, with its source's names."""
        connector = self.connectors_by_id[connector_id]
        config = self.schema_configs_by_connector_id.get(connector_id)
        for schema_name, schema, table_name, table in config.enabled_tables() if config else ():
            yield (
                (schema_name, table_name),
                table_props(
                    connector,
                    self.destinations_by_id.get(connector.destination_id),
                    config or FivetranSchemaConfig(),
                    schema,
                    table,
                ),
            )

    def to_fivetran_connector_table_props_data(self) -> list[FivetranConnectorTableProps]:
        """What a translator is told about each table of the account."""
        return [props for id_ in self.connectors_by_id for _, props in self.props_of(id_)]


ConnectorSelectorFn: TypeAlias = Callable[[FivetranConnector], bool]


class FivetranOutput(NamedTuple):
    """How a connection was after a sync, and what it syncs, as Fivetran says it."""

    connector_details: Mapping[str, Any]
    schema_config: Mapping[str, Any]


def table_props(
    connector: FivetranConnector,
    destination: FivetranDestination | None,
    config: FivetranSchemaConfig,
    schema: FivetranSchema,
    table: FivetranTable,
) -> FivetranConnectorTableProps:
    """What a translator is told about one table."""
    return FivetranConnectorTableProps(
        table=f"{schema.name_in_destination}.{table.name_in_destination}",
        connector_id=connector.id,
        connector_name=connector.name,
        connector_url=connector.url,
        destination_id=connector.destination_id,
        schema_config=config,
        database=destination.database if destination else None,
        service=destination.service if destination else None,
        sync_frequency=connector.sync_frequency,
        schedule_type=connector.schedule_type,
        daily_sync_time=connector.daily_sync_time,
        connector_config=connector.config,
        schema_name=schema.name_in_destination,
        table_name=table.name_in_destination,
        entry=table,
    )


class _Note(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Status(msgspec.Struct):
    setup_state: str = ""
    sync_state: str = ""
    update_state: str | None = None
    rescheduled_for: str | None = None
    tasks: list[_Note] | None = None
    warnings: list[_Note] | None = None


class WireConnection(msgspec.Struct):
    """A connection as it comes off the wire."""

    id: str
    schema: str
    service: str
    group_id: str
    status: _Status
    paused: bool = False
    succeeded_at: str | None = None
    failed_at: str | None = None
    sync_frequency: int | None = None
    schedule_type: str | None = None
    daily_sync_time: str | None = None
    config: dict[str, Any] | None = None

    def connector(self) -> FivetranConnector:
        """The same, without what is of no use and may be secret."""
        status = self.status
        config = self.config or {}
        reports = {name: config[name] for name in _REPORTS if name in config}
        notes = [*(status.tasks or []), *(status.warnings or [])]
        return FivetranConnector(
            id=self.id,
            name=self.schema,
            service=self.service,
            group_id=self.group_id,
            setup_state=status.setup_state,
            sync_state=status.sync_state,
            paused=self.paused,
            succeeded_at=self.succeeded_at,
            failed_at=self.failed_at,
            sync_frequency=self.sync_frequency,
            schedule_type=self.schedule_type,
            daily_sync_time=self.daily_sync_time,
            config=reports or None,
            rescheduled_for=status.rescheduled_for,
            update_state=status.update_state,
            problems=tuple(": ".join(filter(None, (n.code, n.message))) for n in notes),
        )


class WireDestination(msgspec.Struct):
    """A destination as it comes off the wire."""

    id: str
    service: str
    config: dict[str, Any] | None = None

    def destination(self) -> FivetranDestination:
        """The same, without what is of no use and may be secret."""
        given = self.config or {}
        database = next((given[name] for name in _DATABASES if given.get(name)), None)
        return FivetranDestination(id=self.id, database=database, service=self.service)


def _moment(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "0001-01-01T00:00:00+00:00")
