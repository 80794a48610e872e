"""Tables of Fivetran and Airbyte are linked to what reads them, by physical table."""

from typing import Any

from dagster import AssetDep, AssetKey, Definitions, asset

from dagweave.airbyte import AirbyteCloudWorkspace, build_airbyte_assets_definitions
from dagweave.dbt import DagsterDbtTranslator, dbt_assets
from dagweave.fivetran import build_fivetran_assets_definitions
from dagweave.testing import AirbyteServer, FivetranServer
from dagweave.weaving import weave

UNIQUE = "source.shop.raw.orders"
MODEL = "model.shop.report"


def manifest() -> dict[str, Any]:
    """A dbt project of one model on one source, as far as loading reads it."""
    common = {
        "package_name": "shop",
        "database": "raw",
        "tags": [],
        "meta": {},
        "config": {"enabled": True, "materialized": "table"},
    }
    source = {
        **common,
        "unique_id": UNIQUE,
        "resource_type": "source",
        "source_name": "raw",
        "name": "orders",
        "identifier": "ORDERS",
        "schema": "SHOP",
        "relation_name": "RAW.SHOP.ORDERS",
        "fqn": ["shop", "raw", "orders"],
        "columns": {},
        "description": "",
        "original_file_path": "models/sources.yml",
    }
    model = {
        **common,
        "unique_id": MODEL,
        "resource_type": "model",
        "name": "report",
        "alias": "report",
        "schema": "MARTS",
        "relation_name": "RAW.MARTS.REPORT",
        "fqn": ["shop", "report"],
        "columns": {},
        "description": "",
        "original_file_path": "models/report.sql",
        "depends_on": {"nodes": [UNIQUE]},
        "raw_code": "select 1",
        "checksum": {"name": "sha256", "checksum": "1"},
    }
    return {
        "metadata": {"adapter_type": "snowflake", "project_name": "shop"},
        "nodes": {MODEL: model},
        "sources": {UNIQUE: source},
        "exposures": {},
        "metrics": {},
        "semantic_models": {},
        "unit_tests": {},
        "parent_map": {MODEL: [UNIQUE], UNIQUE: []},
        "child_map": {UNIQUE: [MODEL], MODEL: []},
        "selectors": {},
    }


def test_a_dbt_source_and_an_asset_that_names_a_table_are_linked_to_what_is_synced(
    fivetran_server: FivetranServer, airbyte_server: AirbyteServer, make: Any
):
    fivetran_server.add_connection("shop", tables={"shop": ["orders"]})
    airbyte_server.add_connection("books", streams=["titles"], prefix="raw_")

    @dbt_assets(manifest=manifest(), dagster_dbt_translator=DagsterDbtTranslator())
    def transformed(context): ...

    @asset(
        deps=[
            AssetDep(
                "loose",
                metadata={
                    "dagster/table_name": "raw.public.raw_titles",
                    "dagster/storage_kind": "snowflake",
                },
            )
        ]
    )
    def reader() -> None: ...

    airbyte = AirbyteCloudWorkspace(
        workspace_id=airbyte_server.workspace_id,
        client_id=airbyte_server.client_id,
        client_secret=airbyte_server.client_secret,
    )
    workspace = make()
    defs = weave(
        Definitions(
            assets=[
                *build_fivetran_assets_definitions(workspace=workspace),
                *build_airbyte_assets_definitions(workspace=airbyte),
                transformed,
                reader,
            ],
            resources={"fivetran": workspace, "airbyte": airbyte},
        )
    )

    graph = defs.resolve_asset_graph()
    (report,) = transformed.keys
    assert graph.get(report).parent_keys == {AssetKey(["shop", "orders"])}
    assert graph.get(AssetKey("reader")).parent_keys == {AssetKey("raw_titles")}
