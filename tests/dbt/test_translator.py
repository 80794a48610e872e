from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckSpec,
    AssetKey,
    AssetSpec,
    AutoMaterializePolicy,
    AutomationCondition,
    DailyPartitionsDefinition,
    LastPartitionMapping,
    TimeWindowPartitionMapping,
)

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtProject,
    build_dbt_asset_specs,
    dbt_assets,
    default_group_from_dbt_resource_props,
    default_metadata_from_dbt_resource_props,
    get_asset_key_for_model,
    group_from_dbt_resource_props_fallback_to_directory,
)
from dagweave.weaving import TableRef


def specs_of(manifest: Any, translator: Any = None, **options: Any) -> dict[str, AssetSpec]:
    specs = build_dbt_asset_specs(manifest=manifest, dagster_dbt_translator=translator, **options)
    return {spec.key.to_user_string(): spec for spec in specs}


def test_a_project_becomes_assets_with_all_that_it_says_of_itself(manifest_path: Path):
    specs = specs_of(manifest_path)

    assert set(specs) == {
        "stg_orders", "stg_customers", "orders", "finance/revenue", "dim_customers_v1",
        "dim_customers_v2", "order_history", "countries",
    }  # fmt: skip
    orders = specs["orders"]
    assert orders.group_name == "sales"
    assert list(orders.owners) == ["team:sales"]
    assert orders.kinds == {"dbt", "duckdb"}
    assert orders.description
    assert orders.description.startswith(
        "Orders with their customers.\n\n#### Raw SQL:\n```sql\n    select"
    )
    assert {"marts", "nightly"} <= set(orders.tags)
    assert orders.metadata["dagster/table_name"] == "warehouse.main.orders"
    assert orders.metadata["dagster/storage_kind"] == "duckdb"
    assert orders.metadata["dagster_dbt/unique_id"] == "model.shop.orders"
    assert orders.metadata["dagster-dbt/materialization_type"] == "table"
    assert orders.code_version
    assert orders.code_version != specs["stg_orders"].code_version
    # Through an ephemeral model, which is no table.
    assert {dep.asset_key.to_user_string() for dep in orders.deps} == {
        "stg_orders",
        "stg_customers",
    }
    revenue = specs["finance/revenue"]
    assert revenue.group_name == "finance"
    assert list(revenue.owners) == ["finance@example.com"]
    assert revenue.metadata["dagster/table_name"] == "warehouse.main_finance.revenue"
    schema = specs["stg_orders"].metadata["dagster/column_schema"]
    assert [(column.name, column.type) for column in schema.columns] == [
        ("id", "integer"),
        ("customer_id", "?"),
        ("amount", "?"),
    ]


def test_a_tag_that_dagster_refuses_is_left_out(manifest_path: Path):
    tags = specs_of(manifest_path)["stg_customers"].tags

    assert {tag for tag in tags if not tag.startswith("dagster/")} == {"staging", "pii"}


def test_a_source_is_a_dependency_that_says_which_table_it_is(manifest_path: Path):
    [dep] = specs_of(manifest_path)["stg_orders"].deps

    assert dep.asset_key == AssetKey(["raw", "orders"])
    assert TableRef.from_metadata(dep.metadata) == TableRef(
        "orders_v1", "raw", "warehouse", "duckdb"
    )

    silent = DagsterDbtTranslator(DagsterDbtTranslatorSettings(enable_source_metadata=False))
    [dep] = specs_of(manifest_path, silent)["stg_orders"].deps
    assert not dep.metadata


@pytest.mark.parametrize(
    ("relation", "table"),
    [
        ('"db"."raw"."Orders"', TableRef("Orders", "raw", "db", "snowflake")),
        ("DB.RAW.ORDERS", TableRef("ORDERS", "RAW", "DB", "snowflake")),
        ("'s3://bucket/orders.parquet'", None),
        ("read_csv('orders.csv')", None),
        ("", None),
    ],
)
def test_the_table_of_a_source_is_the_one_that_dbt_reads(
    relation: str, table: TableRef | None, write_manifest: Callable[..., Path]
):
    manifest = write_manifest(
        {
            "unique_id": "source.shop.raw.orders",
            "source_name": "raw",
            "relation_name": relation,
            "name": None,
        },
        {"unique_id": "model.shop.m", "depends_on": {"nodes": ["source.shop.raw.orders"]}},
        metadata={
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "adapter_type": "snowflake",
        },
    )

    [dep] = specs_of(manifest)["m"].deps

    assert (TableRef.from_metadata(dep.metadata) if dep.metadata else None) == table


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, ["orders"]),
        ({"config": {"schema": "sales"}}, ["sales", "orders"]),
        ({"version": 2, "alias": "orders_v2"}, ["orders_v2"]),
        ({"meta": {"dagster": {"asset_key": ["a", "b"]}}}, ["a", "b"]),
        ({"config": {"meta": {"dagster": {"asset_key": ["a", "b"]}}}}, ["a", "b"]),
    ],
)
def test_the_default_key(
    given: dict[str, Any], key: list[str], write_manifest: Callable[..., Path]
):
    manifest = write_manifest({"unique_id": "model.shop.orders", **given})

    assert [spec.key.path for spec in build_dbt_asset_specs(manifest=manifest)] == [key]


class Prefixed(DagsterDbtTranslator):
    """A translator as users write them: it does not call super().__init__()."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        return super().get_asset_key(dbt_resource_props).with_prefix(self.prefix)

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return f"mine: {dbt_resource_props['name']}"

    def get_metadata(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            **super().get_metadata(dbt_resource_props),
            "tier": dbt_resource_props["config"]["meta"].get("tier", 0),
        }

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        return {
            "file": "sql" if dbt_resource_props["original_file_path"].endswith("sql") else "csv"
        }

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return group_from_dbt_resource_props_fallback_to_directory(dbt_resource_props)

    def get_code_version(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return dbt_resource_props["checksum"]["checksum"]

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
        group = dbt_resource_props.get("group")
        return [f"team:{group['name']}"] if group else ["team:nobody"]

    def get_automation_condition(self, dbt_resource_props: Mapping[str, Any]) -> Any:
        return AutomationCondition.eager()

    def get_partitions_def(self, dbt_resource_props: Mapping[str, Any]) -> Any:
        return DailyPartitionsDefinition("2026-01-01")


def test_every_hook_is_honoured_and_gets_plain_dictionaries(manifest_path: Path):
    specs = specs_of(manifest_path, Prefixed("dw"), select="orders revenue countries")

    assert set(specs) == {"dw/orders", "dw/finance/revenue", "dw/countries"}
    revenue = specs["dw/finance/revenue"]
    assert revenue.description == "mine: revenue"
    assert revenue.metadata["tier"] == 1
    assert revenue.metadata["dagster/table_name"] == "warehouse.main_finance.revenue"
    assert revenue.tags["file"] == "sql"
    assert specs["dw/countries"].tags["file"] == "csv"
    assert specs["dw/orders"].group_name == "sales"
    assert list(revenue.owners) == ["team:finance"]
    assert list(specs["dw/orders"].owners) == ["team:nobody"]
    assert len(revenue.code_version or "") == 64
    assert revenue.automation_condition == AutomationCondition.eager()
    assert revenue.partitions_def == DailyPartitionsDefinition("2026-01-01")
    assert {dep.asset_key.to_user_string() for dep in specs["dw/orders"].deps} == {
        "dw/stg_orders",
        "dw/stg_customers",
    }
    [check] = [
        check
        for check in dbt_assets(manifest=manifest_path, dagster_dbt_translator=Prefixed("dw"))(
            _nothing
        ).check_specs
        if check.name == "revenue_is_whole"
    ]
    assert check.asset_key == AssetKey(["dw", "finance", "revenue"])


def _nothing(context): ...


@pytest.mark.filterwarnings("ignore:.*AutoMaterializePolicy")
def test_an_older_policy_hook_is_honoured(manifest_path: Path):
    class Eager(DagsterDbtTranslator):
        def get_auto_materialize_policy(self, dbt_resource_props: Mapping[str, Any]) -> Any:
            return AutoMaterializePolicy.eager()

    assert specs_of(manifest_path, Eager())["orders"].automation_condition is not None
    assert specs_of(manifest_path)["orders"].automation_condition is None


class Whole(DagsterDbtTranslator):
    """Overrides the one hook that says all, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetSpec:
        self.asked.append(unique_id)
        spec = super().get_asset_spec(manifest, unique_id, project)
        props = self.get_resource_props(manifest, unique_id)
        assert (
            manifest["sources" if unique_id.startswith("source") else "nodes"][unique_id] == props
        )
        return spec.replace_attributes(
            key=spec.key.with_prefix(props["resource_type"]),
            metadata={**spec.metadata, "dagster/table_name": f"x.y.{props['name']}"},
        )


def test_the_hook_that_says_all_is_asked_once_per_node_and_its_keys_are_used_everywhere(
    manifest_path: Path,
):
    translator = Whole()
    definition = dbt_assets(manifest=manifest_path, dagster_dbt_translator=translator)(_nothing)

    specs = {spec.key.to_user_string(): spec for spec in definition.specs}
    assert len(translator.asked) == len(set(translator.asked)) == 8 + 2
    assert "model/finance/revenue" in specs
    [dep] = specs["model/stg_orders"].deps
    assert dep.asset_key == AssetKey(["source", "raw", "orders"])
    assert dep.metadata["dagster/table_name"] == "x.y.orders"
    assert {check.asset_key for check in definition.check_specs} <= {
        spec.key for spec in definition.specs
    }


def test_a_run_finds_its_way_back_though_a_translator_replaced_all_metadata(manifest_path: Path):
    class Bare(DagsterDbtTranslator):
        def get_asset_spec(self, manifest: Any, unique_id: str, project: Any) -> AssetSpec:
            spec = super().get_asset_spec(manifest, unique_id, project)
            return spec.replace_attributes(metadata={"mine": unique_id})

        def get_asset_check_spec(
            self, asset_spec: Any, manifest: Any, unique_id: str, project: Any
        ) -> Any:
            if unique_id.startswith("test.shop.unique"):
                return AssetCheckSpec("is_unique", asset=asset_spec.key)
            return None

    bare = Bare()
    definition = dbt_assets(manifest=manifest_path, dagster_dbt_translator=bare)(_nothing)

    metadata = definition.get_asset_spec(AssetKey("orders")).metadata
    assert metadata["mine"] == metadata["dagster_dbt/unique_id"] == "model.shop.orders"
    assert get_asset_key_for_model([definition], "orders") == AssetKey("orders")
    ids = {
        check.asset_key.path[-1]: (check.metadata or {})["dagster_dbt/unique_id"]
        for check in definition.check_specs
    }
    assert set(ids) == {"orders", "stg_orders", "stg_customers"}
    assert ids["orders"].startswith("test.shop.unique_orders_id")


def test_a_deep_project_does_not_exhaust_the_stack(write_manifest: Callable[..., Path]):
    manifest = write_manifest(
        *(
            {
                "unique_id": f"model.shop.m{n}",
                "depends_on": {"nodes": [f"model.shop.m{n - 1}"] if n else []},
            }
            for n in reversed(range(1_500))
        )
    )
    specs = specs_of(manifest, Whole())

    assert len(specs) == 1_500


def test_partitions_map_to_those_of_parents_and_of_the_asset_itself(
    write_manifest: Callable[..., Path],
):
    class Mapped(DagsterDbtTranslator):
        def get_partition_mapping(
            self, dbt_resource_props: Any, dbt_parent_resource_props: Any
        ) -> Any:
            if dbt_resource_props["name"] == dbt_parent_resource_props["name"]:
                return TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)
            return LastPartitionMapping()

    manifest = write_manifest(
        {"unique_id": "model.shop.parent"},
        {
            "unique_id": "model.shop.child",
            "depends_on": {"nodes": ["model.shop.parent"]},
            "meta": {"dagster": {"has_self_dependency": True}},
        },
    )

    child = specs_of(manifest, Mapped())["child"]

    assert {dep.asset_key.to_user_string(): type(dep.partition_mapping) for dep in child.deps} == {
        "parent": LastPartitionMapping,
        "child": TimeWindowPartitionMapping,
    }


def test_code_references_lead_to_the_models_file(manifest_path: Path, shop_dir: Path):
    linked = DagsterDbtTranslator(DagsterDbtTranslatorSettings(enable_code_references=True))

    specs = specs_of(manifest_path, linked, project=DbtProject(shop_dir))

    [reference] = specs["orders"].metadata["dagster/code_references"].code_references
    assert reference.file_path == str(shop_dir.resolve() / "models" / "marts" / "orders.sql")
    with pytest.raises(InvalidInput, match="project=my_project"):
        specs_of(manifest_path, linked)


@pytest.mark.filterwarnings("ignore:.*[Vv]irtual assets")
def test_views_can_be_virtual_assets(manifest_path: Path):
    virtual = DagsterDbtTranslator(
        DagsterDbtTranslatorSettings(enable_dbt_views_as_virtual_assets=True)
    )

    specs = specs_of(manifest_path, virtual)

    assert specs["stg_orders"].is_virtual
    assert "view" in specs["stg_orders"].kinds
    assert not specs["orders"].is_virtual


def test_two_nodes_of_one_key_are_both_named(write_manifest: Callable[..., Path]):
    manifest = write_manifest(
        {"unique_id": "model.shop.orders"},
        {"unique_id": "seed.shop.orders", "original_file_path": "seeds/orders.csv"},
    )

    with pytest.raises(
        InvalidInput,
        match=r"orders: model\.shop\.orders \(models/shop.orders\.sql\), seed\.shop\.orders \(seeds/orders\.csv\)",
    ):
        build_dbt_asset_specs(manifest=manifest)


def test_sources_of_one_key_are_allowed_where_the_settings_say_so(
    write_manifest: Callable[..., Path],
):
    manifest = write_manifest(
        {"unique_id": "source.shop.a.orders", "source_name": "raw"},
        {"unique_id": "source.shop.b.orders", "source_name": "raw"},
        {
            "unique_id": "model.shop.m",
            "depends_on": {"nodes": ["source.shop.a.orders", "source.shop.b.orders"]},
        },
    )
    with pytest.raises(InvalidInput, match=r"source\.shop\.a\.orders.*source\.shop\.b\.orders"):
        build_dbt_asset_specs(manifest=manifest)

    allowing = DagsterDbtTranslator(
        DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True)
    )
    [dep] = specs_of(manifest, allowing)["m"].deps
    assert (dep.asset_key, dep.metadata) == (AssetKey(["raw", "orders"]), {})


def test_the_public_defaults_read_plain_dictionaries():
    props = {
        "resource_type": "model",
        "name": "orders",
        "fqn": ["shop", "marts", "orders"],
        "database": "db",
        "schema": "main",
        "alias": "orders",
        "columns": {"id": {"name": "id", "data_type": "int", "tags": ["pii"]}},
        "config": {"group": "finance", "materialized": "view"},
        "meta": {"dagster": {"group": "sales"}},
    }

    metadata = default_metadata_from_dbt_resource_props(props)
    assert metadata["dagster/table_name"] == "db.main.orders"
    assert metadata["dagster/column_schema"].columns[0].tags == {"pii": ""}
    assert default_group_from_dbt_resource_props(props) == "sales"
    props["meta"] = {}
    assert default_group_from_dbt_resource_props(props) == "finance"
    props["config"] = {}
    assert default_group_from_dbt_resource_props(props) is None
    assert group_from_dbt_resource_props_fallback_to_directory(props) == "marts"
    assert default_metadata_from_dbt_resource_props({"columns": {}}) == {}


def test_what_a_translator_adds_to_default_tags_is_of_one_node(manifest_path: Path):
    class Tagged(DagsterDbtTranslator):
        def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
            tags = super().get_tags(dbt_resource_props)
            assert isinstance(tags, dict)
            tags["node"] = dbt_resource_props["name"]
            return tags

    specs = specs_of(manifest_path, Tagged())

    assert specs["orders"].tags["node"] == "orders"
    assert specs["stg_orders"].tags["node"] == "stg_orders"
    assert not any("node" in spec.tags for spec in specs_of(manifest_path).values())
