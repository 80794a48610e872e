"""What Airbyte says of a workspace, as values. Knows nothing of Dagster.

https://reference.airbyte.com
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

# Where the database and the schema of a destination stand in its configuration.
_DATABASES: Final = ("database", "catalog", "project_id")
_SCHEMAS: Final = ("schema", "dataset_id")


class AirbyteJobStatusType(StrEnum):
    """The states of a job that have a meaning for us."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    PENDING = "pending"
    FAILED = "failed"
    ERROR = "error"
    INCOMPLETE = "incomplete"


class AirbyteStream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of a connection, which becomes a table."""

    name: str
    selected: bool = True
    json_schema: dict[str, Any] = {}
    namespace: str | None = None

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns with their types, as the JSON schema has them."""
        items: dict[str, Any] = self.json_schema.get("items") or {}
        found: dict[str, Any] = self.json_schema.get("properties") or items.get("properties") or {}
        return {name: str(each.get("type", "unknown")) for name, each in found.items()}


class AirbyteConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection of a workspace.

    Args:
        streams: By name; by `namespace.name` where two have one name.
        status: `active`, `inactive` (paused), `deprecated` or `locked`.
    """

    id: str
    name: str
    stream_prefix: str | None
    streams: dict[str, AirbyteStream]
    destination_id: str
    status: str = "active"
    namespace_definition: str | None = None
    namespace_format: str | None = None


class AirbyteDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a connection writes to."""

    id: str
    type: str
    database: str | None
    schema: str | None


@dataclass(frozen=True, slots=True)
class AirbyteConnectionTableProps:
    """What a translator is told about one stream.

    `table_name` is the name of its table, prefix included; `schema` the schema that it is in. What
    Airbyte did not tell is `None`.
    """

    table_name: str
    stream_prefix: str | None
    stream_name: str
    json_schema: Mapping[str, Any]
    connection_id: str
    connection_name: str
    destination_type: str | None
    database: str | None
    schema: str | None
    namespace: str | None = None
    columns: Mapping[str, str] | None = None

    @property
    def fully_qualified_table_name(self) -> str | None:
        """`database.schema.table`, as the destination calls it, if all is known."""
        if not (self.database and self.schema):
            return None
        return f"{self.database}.{self.schema}.{self.table_name}"


class AirbyteWorkspaceData(msgspec.Struct, frozen=True, kw_only=True):
    """All of a workspace: its connections, and where they write."""

    connections_by_id: dict[str, AirbyteConnection]
    destinations_by_id: dict[str, AirbyteDestination]

    def props_of(
        self, connection_id: str
    ) -> Iterator[tuple[tuple[str, ...], AirbyteConnectionTableProps]]:
        """What a translator is told about each stream of a connection, with what tells it apart."""
        connection = self.connections_by_id[connection_id]
        destination = self.destinations_by_id.get(connection.destination_id)
        yield from props_of(connection, destination)

    def to_airbyte_connection_table_props_data(self) -> list[AirbyteConnectionTableProps]:
        """What a translator is told about each stream of the workspace."""
        return [props for id_ in self.connections_by_id for _, props in self.props_of(id_)]


ConnectionSelectorFn: TypeAlias = Callable[[AirbyteConnection], bool]


class AirbyteOutput(NamedTuple):
    """A job after it ended, and its connection, as Airbyte says it."""

    job_details: Mapping[str, Any]
    connection_details: Mapping[str, Any]


class AirbyteJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it comes off the wire of the public API."""

    id: int = msgspec.field(name="jobId")
    status: str
    kind: str = msgspec.field(name="jobType", default="sync")
    connection_id: str = msgspec.field(name="connectionId", default="")
    last_updated_at: str | None = msgspec.field(name="lastUpdatedAt", default=None)
    rows: int | None = msgspec.field(name="rowsSynced", default=None)
    bytes: int | None = msgspec.field(name="bytesSynced", default=None)

    @property
    def has_ended(self) -> bool:
        """Whether it will not change any more. A state that we do not know has not."""
        return self.status in ("succeeded", "failed", "error", "cancelled")


class StreamStats(msgspec.Struct, frozen=True):
    """How much a job wrote of one stream."""

    records: int | None = msgspec.field(name="recordsCommitted", default=None)
    bytes: int | None = msgspec.field(name="bytesCommitted", default=None)


class _StreamStat(msgspec.Struct, frozen=True):
    name: str = msgspec.field(name="streamName", default="")
    namespace: str | None = msgspec.field(name="streamNamespace", default=None)
    stats: StreamStats = StreamStats()


class _Failure(msgspec.Struct):
    external: str | None = msgspec.field(name="externalMessage", default=None)
    internal: str | None = msgspec.field(name="internalMessage", default=None)


class _FailureSummary(msgspec.Struct):
    failures: list[_Failure] = []
    partial: bool | None = msgspec.field(name="partialSuccess", default=None)


class _Attempt(msgspec.Struct, frozen=True):
    streams: list[_StreamStat] | None = msgspec.field(name="streamStats", default=None)
    failure: _FailureSummary | None = msgspec.field(name="failureSummary", default=None)


class _AttemptAround(msgspec.Struct):
    attempt: _Attempt = _Attempt()


class JobRead(msgspec.Struct):
    """A job with its attempts, as the Configuration API tells it."""

    attempts: list[_AttemptAround] = []

    def stats(self) -> Mapping[tuple[str | None, str], StreamStats]:
        """How much was written, by namespace and stream, over all attempts."""
        found: dict[tuple[str | None, str], StreamStats] = {}
        for around in self.attempts:
            for each in around.attempt.streams or ():
                key = (each.namespace, each.name)
                before = found.get(key, StreamStats())
                found[key] = StreamStats(
                    _sum(before.records, each.stats.records), _sum(before.bytes, each.stats.bytes)
                )
        return found

    def trouble(self) -> str:
        """What Airbyte tells users about the failure of the last attempt."""
        summary = self.attempts[-1].attempt.failure if self.attempts else None
        if summary is None:
            return ""
        said = [each.external or each.internal or "" for each in summary.failures]
        if summary.partial:
            said.append("Some of the streams were written.")
        return " ".join(dict.fromkeys(filter(None, said)))


def props_of(
    connection: AirbyteConnection, destination: AirbyteDestination | None
) -> Iterator[tuple[tuple[str, ...], AirbyteConnectionTableProps]]:
    """What a translator is told about each stream that is synced, with what tells it apart."""
    prefix = connection.stream_prefix
    for stream in connection.streams.values():
        if not stream.selected:
            continue
        props = AirbyteConnectionTableProps(
            table_name=f"{prefix or ''}{stream.name}",
            stream_prefix=prefix,
            stream_name=stream.name,
            json_schema=stream.json_schema,
            connection_id=connection.id,
            connection_name=connection.name,
            destination_type=destination.type if destination else None,
            database=destination.database if destination else None,
            schema=_schema(connection, stream, destination),
            namespace=stream.namespace,
            columns=stream.columns,
        )
        yield (stream.namespace or "", stream.name), props


def _schema(
    connection: AirbyteConnection, stream: AirbyteStream, destination: AirbyteDestination | None
) -> str | None:
    """Where the table is: https://docs.airbyte.com/platform/using-airbyte/core-concepts/namespaces."""
    default = destination.schema if destination else None
    kind = (connection.namespace_definition or "destination").lower()
    if kind == "source":
        return stream.namespace or default
    if kind == "customformat" and connection.namespace_format:
        source = stream.namespace or ""
        return connection.namespace_format.replace("${SOURCE_NAMESPACE}", source) or default
    return default


class WireDestination(msgspec.Struct):
    """A destination as it comes off the wire."""

    id: str = msgspec.field(name="destinationId")
    type: str = msgspec.field(name="destinationType")
    configuration: dict[str, Any] | None = None

    def destination(self) -> AirbyteDestination:
        """The same, without what is of no use and may be secret."""
        given = self.configuration or {}
        return AirbyteDestination(
            id=self.id,
            type=self.type,
            database=next((given[name] for name in _DATABASES if given.get(name)), None),
            schema=next((given[name] for name in _SCHEMAS if given.get(name)), None),
        )


class _WireStream(msgspec.Struct):
    name: str
    namespace: str | None = None
    json_schema: dict[str, Any] = msgspec.field(name="jsonSchema", default_factory=dict)


class _WireConfig(msgspec.Struct, frozen=True):
    selected: bool = False


class _WireEntry(msgspec.Struct):
    stream: _WireStream
    config: _WireConfig = _WireConfig()


class _WireCatalog(msgspec.Struct):
    streams: list[_WireEntry] = []


class _WireConfigured(msgspec.Struct):
    streams: list[_WireStream] | None = None


class WireConnection(msgspec.Struct):
    """A connection as it comes off the wire of either API."""

    id: str = msgspec.field(name="connectionId")
    name: str
    destination_id: str = msgspec.field(name="destinationId")
    status: str = "active"
    prefix: str | None = None
    namespace_definition: str | None = msgspec.field(name="namespaceDefinition", default=None)
    namespace_format: str | None = msgspec.field(name="namespaceFormat", default=None)
    catalog: _WireCatalog | None = msgspec.field(name="syncCatalog", default=None)
    configurations: _WireConfigured | None = None

    def connection(self) -> AirbyteConnection:
        """The same, whichever API it came from."""
        streams: dict[str, AirbyteStream] = {}
        for each in self._streams():
            key = f"{each.namespace}.{each.name}" if each.name in streams else each.name
            streams[key] = each
        return AirbyteConnection(
            id=self.id,
            name=self.name,
            stream_prefix=self.prefix or None,
            streams=streams,
            destination_id=self.destination_id,
            status=self.status,
            namespace_definition=self.namespace_definition,
            namespace_format=self.namespace_format,
        )

    def _streams(self) -> Iterator[AirbyteStream]:
        for entry in self.catalog.streams if self.catalog else ():
            yield _stream(entry.stream, selected=entry.config.selected)
        if self.catalog is None and self.configurations is not None:
            # The public API lists only what is selected.
            for stream in self.configurations.streams or ():
                yield _stream(stream, selected=True)


def _stream(wire: _WireStream, *, selected: bool) -> AirbyteStream:
    return AirbyteStream(
        name=wire.name,
        namespace=wire.namespace,
        selected=selected,
        json_schema=wire.json_schema,
    )


def _sum(left: int | None, right: int | None) -> int | None:
    return right if left is None else left + (right or 0)
