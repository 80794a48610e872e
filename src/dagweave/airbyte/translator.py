"""Say what asset a stream of an Airbyte connection becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dagster import AssetKey, AssetSpec

from dagweave._dagster.metadata import COLUMN_SCHEMA
from dagweave._dagster.private import NamespacedMetadataSet
from dagweave.airbyte.models import AirbyteWorkspaceData
from dagweave.connector.model import SyncedTable
from dagweave.connector.tables import table_metadata, table_schema
from dagweave.connector.vendor import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagweave.airbyte.models import AirbyteConnectionTableProps


class AirbyteMetadataSet(NamespacedMetadataSet):
    """What the metadata of an asset says of its place in Airbyte.

    `AirbyteMetadataSet.extract(spec.metadata)` reads it.
    """

    connection_id: str
    connection_name: str
    stream_prefix: str | None = None

    @classmethod
    def namespace(cls) -> str:
        """What the keys begin with."""
        return "dagster-airbyte"


class DagsterAirbyteTranslator:
    """Makes an asset spec of each stream that Airbyte syncs. Override `get_asset_spec`.

    Args:
        namespaced_keys: Whether a key begins with the schema that its table is in. Without it,
            streams of one name in two schemas have one key, which is refused.

    Example:
        ```python
        from dagster import AssetSpec
        from dagweave.airbyte import AirbyteConnectionTableProps, DagsterAirbyteTranslator

        class Raw(DagsterAirbyteTranslator):
            def get_asset_spec(self, props: AirbyteConnectionTableProps) -> AssetSpec:
                spec = super().get_asset_spec(props)
                return spec.replace_attributes(key=spec.key.with_prefix("raw"))
        ```
    """

    namespaced_keys: bool = False

    def __init__(self, *, namespaced_keys: bool = False) -> None:
        self.namespaced_keys = namespaced_keys

    def get_asset_spec(self, props: AirbyteConnectionTableProps) -> AssetSpec:
        """The asset of one stream: its key is the name of its table, prefix included.

        Called once per stream, when definitions load; a run finds its way back by itself.
        """
        kind = props.destination_type
        schema = props.schema or props.namespace
        key = [props.table_name]
        if self.namespaced_keys and schema:
            key = [schema, props.table_name]
        return AssetSpec(
            key=AssetKey(key),
            metadata=place_of(props),
            kinds={"airbyte", *({kind} if kind else ())},
        )


def place_of(props: AirbyteConnectionTableProps) -> dict[str, Any]:
    """The metadata that says where a table comes from, and where it is."""
    columns = props.columns
    return {
        **({COLUMN_SCHEMA: table_schema(columns)} if columns else {}),
        **table_metadata(props.database, props.schema, props.table_name, props.destination_type),
        **AirbyteMetadataSet(
            connection_id=props.connection_id,
            connection_name=props.connection_name,
            stream_prefix=props.stream_prefix,
        ),
    }


def tables_of(data: AirbyteWorkspaceData, connection_id: str) -> Iterator[SyncedTable]:
    """The tables of one connection of a snapshot."""
    for path, props in data.props_of(connection_id):
        yield SyncedTable(connection_id, path, label_of(props), props)


def label_of(props: AirbyteConnectionTableProps) -> str:
    """A stream as people know it."""
    return ".".join(filter(None, (props.namespace, props.stream_name)))


def _connections(data: AirbyteWorkspaceData) -> Mapping[str, Any]:
    return data.connections_by_id


AIRBYTE: Final = Vendor(
    name="Airbyte",
    area="airbyte",
    data=AirbyteWorkspaceData,
    format=1,
    translator=DagsterAirbyteTranslator,
    translator_key="dagster-airbyte/dagster_airbyte_translator",
    connections=_connections,
    tables=tables_of,
)
