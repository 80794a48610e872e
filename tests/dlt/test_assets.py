from typing import Any

import dlt
import pytest
from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetSpec,
    AutomationCondition,
    BackfillPolicy,
    DailyPartitionsDefinition,
    Definitions,
    RetryPolicy,
    StaticPartitionsDefinition,
    success_hook,
)

from dagweave._kernel.errors import InvalidInput
from dagweave.dlt import (
    DagsterDltResource,
    DagsterDltTranslator,
    DltResourceTranslatorData,
    OfficialKeysDltTranslator,
    build_dlt_asset_specs,
    dlt_assets,
)


@dlt.source
def shop():
    @dlt.resource(write_disposition="merge", primary_key="id")
    def orders(cursor=dlt.sources.incremental("id", initial_value=0)):  # noqa: B008 -- dlt's way
        """What was sold."""
        yield [{"id": 1}]

    @dlt.transformer(data_from=orders)
    def lines(items):
        yield items

    return orders, lines, dlt.resource([{"id": 1}], name="Price Lists")


def specs_by_resource(pipeline: dlt.Pipeline, **options: Any) -> dict[str, AssetSpec]:
    source = options.pop("source", None) or shop()
    specs = build_dlt_asset_specs(source, pipeline, options.pop("translator", None), **options)
    return dict(zip(source.selected_resources, specs, strict=True))


def test_keys_are_name_and_resource(make_pipeline):
    specs = build_dlt_asset_specs(shop(), make_pipeline(), name="erp")

    assert [spec.key for spec in specs] == [
        AssetKey(["erp", "orders"]),
        AssetKey(["erp", "lines"]),
        # Dagster takes no other characters in the names that it makes of keys.
        AssetKey(["erp", "Price_Lists"]),
    ]


def test_without_a_name_keys_are_dataset_and_resource(make_pipeline):
    assert specs_by_resource(make_pipeline())["orders"].key == AssetKey(["raw", "orders"])


def test_a_dataset_that_is_renamed_each_time_is_no_part_of_the_keys(make_pipeline):
    pipeline = make_pipeline(dev_mode=True)

    spec = specs_by_resource(pipeline)["orders"]

    assert spec.key == AssetKey(["shop", "orders"])
    assert "dagster/table_name" not in spec.metadata


def test_a_spec_says_what_the_resource_is_where_it_comes_from_and_where_it_goes(make_pipeline):
    specs = specs_by_resource(make_pipeline())

    orders = specs["orders"]
    assert orders.description == "What was sold."
    assert orders.kinds == {"dlt", "duckdb"}
    assert [dep.asset_key for dep in orders.deps] == [AssetKey("shop_orders")]
    assert orders.metadata["dagster/table_name"] == "wh.raw.orders"
    assert orders.metadata["dagster/storage_kind"] == "duckdb"
    assert specs["Price Lists"].metadata["dagster/table_name"] == "wh.raw.price_lists"
    assert specs["Price Lists"].description is None


def test_a_transformer_depends_on_what_its_chain_starts_from(make_pipeline):
    (dep,) = specs_by_resource(make_pipeline())["lines"].deps

    assert dep.asset_key == AssetKey("shop_orders")


def test_only_selected_resources_become_assets(make_pipeline):
    source = shop().with_resources("lines")

    assert list(specs_by_resource(make_pipeline(), source=source)) == ["lines"]


def test_the_metadata_that_the_ui_shows_name_source_resource_and_pipeline(assets_of):
    defs = Definitions([assets_of(shop())], resources={"dlt": DagsterDltResource()})

    node = defs.resolve_asset_graph().get(AssetKey(["raw", "orders"]))

    assert str(node.metadata["dagweave/dlt"]) == "shop.orders → shop"


@pytest.mark.parametrize(
    ("destination", "table", "kind"),
    [
        (dlt.destinations.snowflake(), "RAW_DATA.ISSUES", "snowflake"),
        (dlt.destinations.bigquery(), "raw_data.issues", "bigquery"),
        (dlt.destinations.postgres(), "raw_data.issues", "postgres"),
        (dlt.destinations.databricks(), "raw_data.issues", "databricks"),
        (dlt.destinations.motherduck(), "raw_data.issues", "duckdb"),
        (dlt.destinations.filesystem("file:///tmp/lake"), "raw_data.issues", "filesystem"),
        (dlt.destinations.duckdb("/data/flights.duckdb"), "flights.raw_data.issues", "duckdb"),
        (
            dlt.destinations.duckdb(enable_dataset_name_normalization=False),
            'shop."Raw Data".issues',
            "duckdb",
        ),
    ],
    ids=lambda value: getattr(value, "destination_name", None),
)
def test_the_table_is_spelled_as_its_warehouse_stores_it_without_asking_for_credentials(
    make_pipeline, destination, table, kind
):
    @dlt.source
    def github():
        return dlt.resource([{"id": 1}], name="Issues")

    pipeline = make_pipeline(destination=destination, dataset_name="Raw Data")

    spec = specs_by_resource(pipeline, source=github())["Issues"]

    assert spec.metadata["dagster/table_name"] == table
    assert spec.metadata["dagster/storage_kind"] == kind


def test_the_kind_is_the_type_that_a_named_destination_is_configured_with(
    make_pipeline, monkeypatch
):
    monkeypatch.setenv("DESTINATION__SNOWFLAKE__DESTINATION_TYPE", "duckdb")
    monkeypatch.setenv("DESTINATION__SNOWFLAKE__CREDENTIALS", "duckdb:////data/local.duckdb")

    spec = specs_by_resource(make_pipeline(destination="snowflake"))["orders"]

    assert spec.kinds == {"dlt", "duckdb"}
    assert spec.metadata["dagster/storage_kind"] == "duckdb"
    assert spec.metadata["dagster/table_name"] == "local.raw.orders"


@dlt.destination
def webhook(items, table):
    """A sink without tables."""


def test_no_table_is_claimed_where_none_can_be_told(make_pipeline):
    @dlt.source
    def events():
        return (
            dlt.resource([{"kind": "a"}], name="by_kind", table_name=lambda row: row["kind"]),
            dlt.resource([{"id": 1}], name="plain"),
        )

    claimed = {
        name: spec.metadata.get("dagster/table_name")
        for name, spec in specs_by_resource(make_pipeline(), source=events()).items()
    }
    sink = specs_by_resource(make_pipeline("sink", destination=webhook), source=events())
    nowhere = specs_by_resource(make_pipeline("later", destination=None), source=events())

    assert claimed == {"by_kind": None, "plain": "wh.raw.plain"}
    assert "dagster/table_name" not in sink["plain"].metadata
    assert nowhere["plain"].kinds == {"dlt"}


def test_time_windows_are_backfilled_in_one_run_and_others_as_dagster_does(make_pipeline):
    def policy(**options: Any) -> BackfillPolicy | None:
        @dlt_assets(dlt_source=shop(), dlt_pipeline=make_pipeline(), **options)
        def assets(): ...

        return assets.backfill_policy

    days = DailyPartitionsDefinition("2026-01-01")
    assert policy(partitions_def=days) == BackfillPolicy.single_run()
    assert policy(partitions_def=days, backfill_policy=BackfillPolicy.multi_run(7)) == (
        BackfillPolicy.multi_run(7)
    )
    assert policy(partitions_def=StaticPartitionsDefinition(["a"])) is None


def test_settings_reach_the_step_and_its_assets(make_pipeline):
    retries = RetryPolicy(max_retries=2)

    @success_hook
    def cheer(context): ...

    @dlt_assets(
        dlt_source=shop(),
        dlt_pipeline=make_pipeline(),
        name="erp",
        group_name="ingestion",
        op_tags={"team": "data"},
        pool="duckdb",
        retry_policy=retries,
        hooks={cheer},
    )
    def assets(): ...

    assert assets.op.name == "erp"
    assert assets.op.pool == "duckdb"
    assert assets.op.retry_policy == retries
    assert assets.op.tags["team"] == "data"
    assert assets.hook_defs == {cheer}
    assert assets.can_subset
    assert {spec.group_name for spec in assets.specs} == {"ingestion"}


def test_a_translator_of_today_changes_the_spec(make_pipeline):
    class Layered(DagsterDltTranslator):
        def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
            spec = super().get_asset_spec(data)
            return spec.replace_attributes(
                key=spec.key.with_prefix("bronze"),
                owners=["team:data"],
                group_name=data.pipeline.pipeline_name if data.pipeline else None,
            )

    specs = specs_by_resource(make_pipeline(), translator=Layered(), name="erp")

    assert specs["orders"].key == AssetKey(["bronze", "erp", "orders"])
    assert specs["orders"].owners == ["team:data"]
    assert specs["orders"].group_name == "shop"


def test_the_hooks_of_older_translators_count_where_they_are_overridden(make_pipeline):
    class Older(DagsterDltTranslator):
        def get_asset_key(self, resource) -> AssetKey:
            return AssetKey(["raw", "github", resource.name])

        def get_deps_asset_keys(self, resource):
            return []

        def get_description(self, resource):
            return f"{resource.name} of old"

        def get_group_name(self, resource):
            return "old"

        def get_metadata(self, resource):
            return {"dagster/table_name": "elsewhere.t", "url": "https://example.com"}

        def get_owners(self, resource):
            return ["old@example.com"]

        def get_tags(self, resource):
            return {"age": "old"}

        def get_kinds(self, resource, destination):
            return {"dlt", destination.destination_name, "api"}

        def get_automation_condition(self, resource):
            return AutomationCondition.eager()

    spec = specs_by_resource(make_pipeline(), translator=Older())["orders"]

    assert spec.key == AssetKey(["raw", "github", "orders"])
    assert list(spec.deps) == []
    assert spec.description == "orders of old"
    assert spec.group_name == "old"
    assert spec.metadata["dagster/table_name"] == "elsewhere.t"
    assert spec.metadata["dagster/storage_kind"] == "duckdb"
    assert spec.metadata["url"] == "https://example.com"
    assert spec.owners == ["old@example.com"]
    assert spec.tags["age"] == "old"
    assert spec.kinds == {"dlt", "duckdb", "api"}
    assert spec.automation_condition == AutomationCondition.eager()


def test_an_older_hook_may_build_on_the_default(make_pipeline):
    class Prefixed(DagsterDltTranslator):
        def get_asset_key(self, resource) -> AssetKey:
            return super().get_asset_key(resource).with_prefix("bronze")

    spec = specs_by_resource(make_pipeline(), translator=Prefixed(), name="erp")["orders"]

    assert spec.key == AssetKey(["bronze", "erp", "orders"])


def test_the_official_keys_can_be_kept(make_pipeline):
    specs = specs_by_resource(make_pipeline(), translator=OfficialKeysDltTranslator(), name="erp")

    assert specs["orders"].key == AssetKey("dlt_shop_orders")


def test_an_asset_never_depends_on_itself(make_pipeline):
    class Flat(DagsterDltTranslator):
        def get_asset_key(self, resource) -> AssetKey:
            return AssetKey(f"{resource.source_name}_{resource.name}")

    assert list(specs_by_resource(make_pipeline(), translator=Flat())["orders"].deps) == []


def test_a_group_is_said_in_one_place_only(make_pipeline):
    class Grouped(DagsterDltTranslator):
        def get_group_name(self, resource):
            return "theirs" if resource.name == "orders" else None

    with pytest.raises(InvalidInput, match="raw/orders: theirs"):
        dlt_assets(
            dlt_source=shop(),
            dlt_pipeline=make_pipeline(),
            group_name="ours",
            dagster_dlt_translator=Grouped(),
        )


def test_two_resources_of_one_key_are_refused_and_both_named(make_pipeline):
    class Same(DagsterDltTranslator):
        def get_asset_key(self, resource) -> AssetKey:
            return AssetKey("same")

    with pytest.raises(InvalidInput, match="'orders' and 'lines' of source 'shop'") as refused:
        build_dlt_asset_specs(shop(), make_pipeline(), Same())
    assert "same" in refused.value.what


def test_the_class_of_a_translator_is_no_translator(make_pipeline):
    with pytest.raises(InvalidInput, match="add parentheses"):
        build_dlt_asset_specs(shop(), make_pipeline(), DagsterDltTranslator)  # type: ignore[arg-type]


def test_a_resource_is_not_a_source_and_the_error_says_how_to_make_one(make_pipeline):
    orders = dlt.resource([{"id": 1}], name="orders")

    with pytest.raises(InvalidInput, match="resource 'orders', not a source") as refused:
        dlt_assets(dlt_source=orders, dlt_pipeline=make_pipeline())  # type: ignore[arg-type]

    assert "@dlt.source" in (refused.value.remedy or "")


@pytest.mark.parametrize("given", [None, [], "shop"])
def test_what_is_no_source_at_all_is_refused_by_its_type(make_pipeline, given):
    with pytest.raises(InvalidInput, match=type(given).__name__):
        dlt_assets(dlt_source=given, dlt_pipeline=make_pipeline())


def test_a_source_with_nothing_selected_is_refused(make_pipeline):
    source = shop().with_resources()

    with pytest.raises(InvalidInput, match="no resource is selected") as refused:
        dlt_assets(dlt_source=source, dlt_pipeline=make_pipeline())

    assert "orders" in (refused.value.seen or "")


def test_what_is_no_pipeline_is_refused():
    with pytest.raises(InvalidInput, match="dlt_pipeline"):
        dlt_assets(dlt_source=shop(), dlt_pipeline=dlt.pipeline)  # type: ignore[arg-type]


def test_definitions_load_without_credentials_or_the_destinations_library(make_pipeline):
    @dlt_assets(dlt_source=shop(), dlt_pipeline=make_pipeline(destination="snowflake"), name="erp")
    def assets(context: AssetExecutionContext, dlt: DagsterDltResource):
        yield from dlt.run(context=context)

    defs = Definitions([assets], resources={"dlt": DagsterDltResource()})

    assert AssetKey(["erp", "orders"]) in defs.resolve_asset_graph().get_all_asset_keys()
