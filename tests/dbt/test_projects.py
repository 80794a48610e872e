"""More than one project in a code location, and models that another project builds."""

from collections.abc import Callable
from pathlib import Path

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, Definitions

from dagweave.dbt import dbt_assets
from dagweave.weaving import weave


def defined(manifest: Path, name: str) -> AssetsDefinition:
    @dbt_assets(manifest=manifest, name=name)
    def models(context: AssetExecutionContext): ...

    return models


def external(**more: object) -> dict[str, object]:
    """A node as dbt-loom puts it into a manifest."""
    return {
        "unique_id": "model.platform.customers",
        "package_name": "platform",
        "original_file_path": "",
        "path": "",
        "raw_code": "",
        "alias": "customers",
        "schema": "core",
        "database": "lake",
        "relation_name": '"lake"."core"."customers"',
        **more,
    }


def test_a_model_of_another_project_is_read_and_not_built(write_manifest: Callable[..., Path]):
    shop = write_manifest(
        external(),
        {"unique_id": "model.shop.orders", "depends_on": {"nodes": ["model.platform.customers"]}},
    )

    models = defined(shop, "shop")

    assert set(models.keys) == {AssetKey("orders")}
    [dep] = models.specs_by_key[AssetKey("orders")].deps
    assert dep.asset_key == AssetKey("customers")
    assert dep.metadata["dagster/table_name"] == "lake.core.customers"


def test_projects_are_woven_by_the_table_that_one_writes_and_the_other_reads(
    write_manifest: Callable[..., Path],
):
    platform = write_manifest(
        external(
            original_file_path="models/customers.sql",
            raw_code="select 1",
            config={"materialized": "table", "schema": "core"},
        ),
        name="platform.json",
    )
    shop = write_manifest(
        external(),
        {
            "unique_id": "model.shop.orders",
            "depends_on": {"nodes": ["model.platform.customers"]},
        },
        name="shop.json",
    )

    woven = weave(Definitions([defined(platform, "platform"), defined(shop, "shop")]))

    graph = woven.resolve_asset_graph()
    assert graph.get(AssetKey("orders")).parent_keys == {AssetKey(["core", "customers"])}


def test_a_model_without_code_is_nothing_that_dbt_would_build(write_manifest: Callable[..., Path]):
    shop = write_manifest(
        {"unique_id": "model.shop.base", "raw_code": "select 1"},
        {"unique_id": "model.shop.todo", "raw_code": " \n", "depends_on": {"nodes": []}},
        {"unique_id": "seed.shop.countries", "raw_code": ""},
    )

    assert set(defined(shop, "shop").keys) == {AssetKey("base"), AssetKey("countries")}
