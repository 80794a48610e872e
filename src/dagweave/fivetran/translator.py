"""Say what asset a table of a Fivetran connection becomes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from dagster import AssetKey, AssetSpec, MetadataValue

from dagweave._dagster.metadata import COLUMN_SCHEMA
from dagweave._dagster.private import NamespacedMetadataSet
from dagweave.connector.model import SyncedTable
from dagweave.connector.tables import table_metadata, table_schema
from dagweave.connector.vendor import Vendor, clean_name
from dagweave.fivetran.models import FivetranWorkspaceData

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagweave.fivetran.models import FivetranConnectorTableProps

# As Fivetran calls a warehouse, and as the rest of the world does.
_KINDS: Final = {
    "big_query": "bigquery",
    "managed_big_query": "bigquery",
    "snowflake_dw": "snowflake",
    "postgres_warehouse": "postgres",
    "azure_postgres_warehouse": "postgres",
    "aurora_postgres_warehouse": "postgres",
}


class FivetranMetadataSet(NamespacedMetadataSet):
    """What the metadata of an asset says of its place in Fivetran.

    `FivetranMetadataSet.extract(spec.metadata)` reads it.
    """

    connector_id: str | None = None
    connector_name: str | None = None
    destination_id: str | None = None
    destination_schema_name: str | None = None
    destination_table_name: str | None = None
    sync_frequency_minutes: int | None = None
    schedule_type: str | None = None
    daily_sync_time: str | None = None
    sync_completed_at: float | None = None
    is_custom_report: bool | None = None
    custom_report_config: str | None = None

    @classmethod
    def namespace(cls) -> str:
        """What the keys begin with."""
        return "dagster-fivetran"


class DagsterFivetranTranslator:
    """Makes an asset spec of each table that Fivetran syncs. Override `get_asset_spec`.

    Example:
        ```python
        from dagster import AssetSpec
        from dagweave.fivetran import DagsterFivetranTranslator, FivetranConnectorTableProps

        class Raw(DagsterFivetranTranslator):
            def get_asset_spec(self, props: FivetranConnectorTableProps) -> AssetSpec:
                spec = super().get_asset_spec(props)
                return spec.replace_attributes(key=spec.key.with_prefix("raw"))
        ```
    """

    def get_asset_spec(self, props: FivetranConnectorTableProps) -> AssetSpec:
        """The asset of one table: key `schema/table`, as the two are called in the destination.

        Called once per table, when definitions load; a run finds its way back by itself.
        """
        schema, table = parts_of(props)
        return AssetSpec(
            key=AssetKey([schema, table]),
            metadata={**place_of(props), **_report_metadata(table, props.connector_config)},
            kinds={"fivetran", *({props.service} if props.service else ())},
            group_name=clean_name(props.name),
        )


def parts_of(props: FivetranConnectorTableProps) -> tuple[str, str]:
    """The schema and the table, as they are called in the destination."""
    if props.schema_name is not None and props.table_name is not None:
        return props.schema_name, props.table_name
    schema, _, table = props.table.partition(".")
    return schema, table


def place_of(props: FivetranConnectorTableProps) -> dict[str, Any]:
    """The metadata that says where a table comes from, and where it is."""
    schema, table = parts_of(props)
    columns = props.entry.columns if props.entry else None
    known = {COLUMN_SCHEMA: table_schema(column_types(columns))} if columns else {}
    kind = _KINDS.get(props.service, props.service) if props.service else None
    return {
        **known,
        **table_metadata(props.database, schema, table, kind),
        "connector_url": MetadataValue.url(props.connector_url),
        **FivetranMetadataSet(
            connector_id=props.connector_id,
            connector_name=props.connector_name,
            destination_id=props.destination_id,
            destination_schema_name=schema,
            destination_table_name=table,
            sync_frequency_minutes=props.sync_frequency,
            schedule_type=props.schedule_type,
            daily_sync_time=props.daily_sync_time,
        ),
    }


def column_types(columns: Mapping[str, Any]) -> Mapping[str, str]:
    """The columns that are synced. Fivetran does not tell their types."""
    return {
        column["name_in_destination"]: ""
        for column in columns.values()
        if column.get("enabled") and "name_in_destination" in column
    }


def tables_of(data: FivetranWorkspaceData, connector_id: str) -> Iterator[SyncedTable]:
    """The tables of one connection of a snapshot."""
    for path, props in data.props_of(connector_id):
        yield SyncedTable(connector_id, path, props.table, props)


def _connections(data: FivetranWorkspaceData) -> Mapping[str, Any]:
    return data.connectors_by_id


FIVETRAN: Final = Vendor(
    name="Fivetran",
    area="fivetran",
    data=FivetranWorkspaceData,
    format=1,
    translator=DagsterFivetranTranslator,
    translator_key="dagster-fivetran/dagster_fivetran_translator",
    connections=_connections,
    tables=tables_of,
)


def _report_metadata(table: str, config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """That a table is a custom report, and which, if the connection's configuration says so."""
    for reports in (config or {}).values():
        for report in _mappings(reports):
            name = report.get("table_name") or report.get("table") or ""
            if isinstance(name, str) and name.lower() == table.lower():
                said = json.dumps(report)
                return {**FivetranMetadataSet(is_custom_report=True, custom_report_config=said)}
    return {}


def _mappings(value: object) -> Sequence[Mapping[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", item) for item in items if isinstance(item, dict)]
