import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckKey,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    AssetSpec,
    BackfillPolicy,
    DailyPartitionsDefinition,
    DefaultScheduleStatus,
    Definitions,
    InMemoryIOManager,
    IOManager,
    RetryPolicy,
    StaticPartitionsDefinition,
    asset,
    define_asset_job,
    io_manager,
    materialize,
    mem_io_manager,
)

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import (
    DagsterDbtError,
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    DbtManifestAssetSelection,
    DbtProject,
    build_dbt_asset_selection,
    build_dbt_asset_specs,
    build_schedule_from_dbt_selection,
    dbt_assets,
    get_asset_key_for_model,
    get_asset_key_for_source,
    get_asset_keys_by_output_name_for_source,
)


def defined(manifest: Any, **options: Any) -> AssetsDefinition:
    @dbt_assets(manifest=manifest, **options)
    def models(context: AssetExecutionContext): ...

    return models


def names(keys: Any) -> set[str]:
    return {key.to_user_string() for key in keys}


def test_a_definition_keeps_what_it_is_told(manifest_path: Path):
    models = defined(
        manifest_path,
        name="nightly_dbt",
        select="tag:nightly",
        exclude="revenue",
        op_tags={"team": "data"},
        retry_policy=RetryPolicy(max_retries=2),
        pool="duckdb",
        required_resource_keys={"dbt"},
    )

    assert models.op.name == "nightly_dbt"
    assert names(models.keys) == {"orders", "dim_customers_v1", "dim_customers_v2"}
    assert models.op.tags == {
        "dagster_dbt/select": "tag:nightly",
        "dagster_dbt/exclude": "revenue",
        "team": "data",
    }
    assert models.op.retry_policy == RetryPolicy(max_retries=2)
    assert models.op.pool == "duckdb"
    assert models.required_resource_keys >= {"dbt"}
    assert models.can_subset


def test_the_manifest_may_be_given_as_its_content(manifest_path: Path):
    content = json.loads(manifest_path.read_text())

    assert names(defined(content).keys) == names(defined(str(manifest_path)).keys)


def test_a_selection_as_op_tags_is_refused(manifest_path: Path):
    with pytest.raises(InvalidInput, match=r"op tag: dagster_dbt/select"):
        defined(manifest_path, op_tags={"dagster_dbt/select": "x"})


def test_tests_are_checks_of_what_they_test(manifest_path: Path):
    checks = {check.name: check for check in defined(manifest_path).check_specs}

    assert {name: check.asset_key.to_user_string() for name, check in checks.items()} == {
        "amounts_odd_ones": "stg_orders",
        "not_null_dim_customers_v1_id": "dim_customers_v1",
        "not_null_dim_customers_v2_id": "dim_customers_v2",
        "not_null_stg_orders_id": "stg_orders",
        "one_parent": "orders",
        "relationships_stg_orders_customer_id__id__ref_stg_customers_": "stg_orders",
        "revenue_adds_up": "finance/revenue",
        "revenue_is_whole": "finance/revenue",
        "unique_orders_id": "orders",
        "unique_stg_customers_id": "stg_customers",
        "unique_stg_orders_id": "stg_orders",
    }
    related = checks["relationships_stg_orders_customer_id__id__ref_stg_customers_"]
    assert names(dep.asset_key for dep in related.additional_deps) == {"stg_customers"}
    assert not list(checks["unique_orders_id"].additional_deps)
    assert {name for name, check in checks.items() if not check.blocking} == {"amounts_odd_ones"}
    assert checks["one_parent"].metadata == {"dagster_dbt/unique_id": "test.shop.one_parent"}


def with_settings(**settings: bool) -> DagsterDbtTranslator:
    return DagsterDbtTranslator(DagsterDbtTranslatorSettings(**settings))


def test_checks_can_be_turned_off_and_tests_of_sources_on(manifest_path: Path):
    off = defined(manifest_path, dagster_dbt_translator=with_settings(enable_asset_checks=False))
    assert list(off.check_specs) == []

    on = defined(
        manifest_path,
        select="stg_orders",
        dagster_dbt_translator=with_settings(enable_source_tests_as_checks=True),
    )
    assert (
        AssetCheckKey(AssetKey(["raw", "orders"]), "source_not_null_raw_orders_id") in on.check_keys
    )


def test_tests_of_names_that_dagster_takes_for_one_are_told_apart(
    write_manifest: Callable[..., Path],
):
    manifest = write_manifest(
        {"unique_id": "model.shop.a"},
        {"unique_id": "model.shop.a_b"},
        *(
            {"unique_id": f"test.shop.{n}", "name": name, "depends_on": {"nodes": ["model.shop.a"]}}
            for n, name in enumerate(["is:fine", "is fine", "is_fine", "b"])
        ),
    )

    checks = [check.name for check in defined(manifest).check_specs]

    assert len(set(checks)) == len(checks) == 4
    assert {name[:7] for name in checks} == {"is_fine", "b_" + checks[-1][2:7]}


def test_windows_of_time_are_backfilled_in_one_run(manifest_path: Path):
    daily = DailyPartitionsDefinition("2026-01-01")

    assert (
        defined(manifest_path, partitions_def=daily).backfill_policy == BackfillPolicy.single_run()
    )
    each = BackfillPolicy.multi_run(3)
    assert (
        defined(manifest_path, partitions_def=daily, backfill_policy=each).backfill_policy == each
    )
    static = StaticPartitionsDefinition(["a"])
    assert defined(manifest_path, partitions_def=static).backfill_policy is None
    assert defined(manifest_path, partitions_def=static).partitions_def == static


def test_tables_are_handed_to_other_assets_by_an_io_manager_that_stores_nothing(
    manifest_path: Path, fake_dbt: Any, log: Any, shop_dir: Path
):
    class Reads(IOManager):
        def handle_output(self, context: Any, obj: Any) -> None:
            raise AssertionError("dbt has stored it")

        def load_input(self, context: Any) -> Any:
            return f"loaded {context.upstream_output.definition_metadata['dagster/table_name']}"

    @io_manager
    def reads(_):
        return Reads()

    @dbt_assets(manifest=manifest_path, select="orders", io_manager_key="warehouse")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["run"], context=context).stream()

    seen: list[str] = []

    @asset(io_manager_key="memory")
    def report(orders):
        seen.append(orders)

    fake_dbt.prints([log.version(), log.built("model.shop.orders")])
    resources = {
        "dbt": DbtCliResource(project_dir=str(shop_dir)),
        "warehouse": reads,
        "memory": InMemoryIOManager(),
    }
    assert materialize([models, report], resources=resources).success
    assert seen == ["loaded warehouse.main.orders"]


def test_a_selection_that_matches_nothing_warns_and_the_code_location_loads(
    manifest_path: Path, caplog: pytest.LogCaptureFixture
):
    nothing = defined(manifest_path, select="stagng.*", name="nothing")
    some = defined(manifest_path, select="staging.*", name="some")

    @asset
    def other(): ...

    defs = Definitions(
        assets=[nothing, some, other],
        jobs=[
            define_asset_job(
                "j", build_dbt_asset_selection([nothing], "tag:x") | AssetSelection.assets(other)
            )
        ],
    )

    assert names(nothing.keys) == set()
    assert names(defs.resolve_asset_graph().materializable_asset_keys) == {
        "stg_orders", "stg_customers", "other",
    }  # fmt: skip
    assert names(defs.resolve_job_def("j").asset_layer.executable_asset_keys) == {"other"}
    warning = caplog.text
    assert "'stagng.*' matches nothing" in warning
    assert "Nearest: staging.*" in warning


def test_specs_alone_are_those_of_the_definition(manifest_path: Path):
    specs = build_dbt_asset_specs(manifest=manifest_path, select="staging.*")

    assert names(spec.key for spec in specs) == {"stg_orders", "stg_customers"}


def test_assets_are_found_by_the_names_of_dbt(manifest_path: Path):
    models = defined(manifest_path)

    assert get_asset_key_for_model([models], "revenue") == AssetKey(["finance", "revenue"])
    assert get_asset_key_for_model([models], "countries") == AssetKey("countries")
    assert get_asset_keys_by_output_name_for_source([models], "raw") == {
        "source_shop_raw_orders": AssetKey(["raw", "orders"]),
        "source_shop_raw_customers": AssetKey(["raw", "customers"]),
    }
    with pytest.raises(
        InvalidInput, match=r"no dbt model, seed or snapshot 'revenu'(?s:.*)revenue"
    ):
        get_asset_key_for_model([models], "revenu")
    with pytest.raises(InvalidInput, match=r"no dbt source 'rav'(?s:.*)raw"):
        get_asset_keys_by_output_name_for_source([models], "rav")
    with pytest.raises(InvalidInput, match=r"source 'raw' has 2 tables"):
        get_asset_key_for_source([models], "raw")
    with pytest.raises(InvalidInput, match="Give one definition"):
        get_asset_key_for_model([models, models], "orders")


def test_a_source_of_one_table_has_one_key(write_manifest: Callable[..., Path]):
    manifest = write_manifest(
        {"unique_id": "source.shop.raw.orders", "source_name": "raw"}, {"unique_id": "model.shop.m"}
    )

    assert get_asset_key_for_source([defined(manifest)], "raw") == AssetKey(["raw", "orders"])


def selected(models: AssetsDefinition, selection: AssetSelection) -> tuple[set[str], set[str]]:
    graph = Definitions(assets=[models]).resolve_asset_graph()
    return names(selection.resolve(graph)), {key.name for key in selection.resolve_checks(graph)}


def test_assets_and_checks_are_selected_in_the_language_of_dbt(manifest_path: Path):
    models = defined(manifest_path, exclude="order_history")

    assert selected(models, build_dbt_asset_selection([models], "tag:nightly", "revenue")) == (
        {"orders", "dim_customers_v1", "dim_customers_v2"},
        {
            "unique_orders_id",
            "one_parent",
            "not_null_dim_customers_v1_id",
            "not_null_dim_customers_v2_id",
        },
    )
    assert selected(models, build_dbt_asset_selection([models], "stg_orders+1"))[0] == {
        "stg_orders"
    }
    assert selected(models, build_dbt_asset_selection([models], dbt_selector="both"))[0] == {
        "stg_orders", "stg_customers", "orders", "finance/revenue",
    }  # fmt: skip
    assert selected(models, build_dbt_asset_selection([models], "one_parent")) == (
        set(),
        {"one_parent"},
    )


def test_assets_are_selected_whatever_keys_they_were_given_since(manifest_path: Path):
    models = defined(manifest_path)
    renamed = models.with_attributes(
        asset_key_replacements={key: key.with_prefix("dw") for key in models.keys}
    )

    assert selected(renamed, build_dbt_asset_selection([renamed], "orders")) == (
        {"dw/orders"},
        {"unique_orders_id", "one_parent", "revenue_is_whole"},
    )
    assert get_asset_key_for_model([renamed], "orders") == AssetKey(["dw", "orders"])


def test_a_manifest_is_selected_from_without_a_definition(manifest_path: Path):
    nightly = DbtManifestAssetSelection.build(manifest_path, "orders", exclude="test_type:singular")

    assert selected(defined(manifest_path), nightly) == ({"orders"}, {"unique_orders_id"})
    alone = AssetsDefinition(
        specs=build_dbt_asset_specs(manifest=json.loads(manifest_path.read_text()))
    )
    assert selected(alone, nightly) == ({"orders"}, {"unique_orders_id"})


def test_a_schedule_of_a_selection_is_off_until_turned_on(manifest_path: Path):
    models = defined(manifest_path)
    schedule = build_schedule_from_dbt_selection(
        [models], "nightly", "0 3 * * *", "tag:nightly", tags={"team": "data"}
    )

    repository = Definitions(assets=[models], schedules=[schedule]).get_repository_def()

    assert schedule.default_status == DefaultScheduleStatus.STOPPED
    job = repository.get_job("nightly")
    assert names(job.asset_layer.executable_asset_keys) == {
        "orders", "finance/revenue", "dim_customers_v1", "dim_customers_v2",
    }  # fmt: skip
    assert job.tags["team"] == "data"


def test_a_snapshot_of_the_definitions_can_be_sent_to_dagster(manifest_path: Path):
    job = Definitions(assets=[defined(manifest_path)]).resolve_implicit_global_asset_job_def()

    assert job.get_job_snapshot().name
    assert "dbt.adapters" not in sys.modules


def test_a_manifest_of_another_project_is_refused(
    shop: DbtProject, write_manifest: Any, fake_dbt: Any
):
    other = write_manifest({"unique_id": "model.other.theirs"}, project="other")

    with pytest.raises(InvalidInput, match=r"of the project 'other', not of 'shop' in .*shop"):
        dbt_assets(manifest=other, project=shop)

    # Which project the resource has shows in a run.
    @dbt_assets(manifest=other)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()

    with pytest.raises(DagsterDbtError, match="of the project 'other', not of 'shop'") as raised:
        materialize([models], resources={"dbt": DbtCliResource(shop)})
    assert raised.value.allow_retries is False
    assert fake_dbt.calls == []


@pytest.mark.parametrize("said", [{"group": "no good"}, {"asset_key": [1]}, {"owners": 5}])
def test_a_node_of_which_dagster_can_make_nothing_is_named(said: Any, write_manifest: Any):
    manifest = write_manifest(
        {"unique_id": "model.shop.fine"},
        {"unique_id": "model.shop.odd", "meta": {"dagster": said}},
    )

    with pytest.raises(Exception) as raised:  # noqa: PT011 -- Dagster's own, of several classes
        dbt_assets(manifest=manifest)

    [note] = raised.value.__notes__
    assert "model.shop.odd (models/shop.odd.sql)" in note


def test_what_is_made_without_dagsters_checks_is_what_dagster_makes(manifest_path: Path):
    models = defined(manifest_path)

    for spec in models.specs:
        tags = {tag: text for tag, text in spec.tags.items() if not tag.startswith("dagster/kind/")}
        assert spec == AssetSpec(
            spec.key,
            deps=[AssetDep(dep.asset_key, metadata=dep.metadata) for dep in spec.deps],
            description=spec.description,
            metadata=spec.metadata,
            skippable=spec.skippable,
            group_name=spec.group_name,
            code_version=spec.code_version,
            owners=spec.owners,
            tags=tags,
            kinds=spec.kinds,
        )
    assert list(models.check_specs)
    for check in models.check_specs:
        assert check == AssetCheckSpec(
            check.name,
            asset=check.asset_key,
            description=check.description,
            additional_deps=[dep.asset_key for dep in check.additional_deps],
            blocking=check.blocking,
            metadata=check.metadata,
        )
        assert check.key == AssetCheckKey(check.asset_key, check.name)


def test_a_spec_changed_by_a_user_is_what_dagster_makes_of_it(manifest_path: Path):
    spec = next(iter(defined(manifest_path).specs))
    plain = AssetSpec(spec.key, metadata=spec.metadata, group_name=spec.group_name)

    for changed in (spec, plain):
        assert changed.merge_attributes(metadata={"more": 1}).metadata == {
            **spec.metadata,
            "more": 1,
        }
        assert changed.replace_attributes(group_name="other").group_name == "other"
        assert changed.replace_attributes(group_name=spec.group_name) == changed
    assert spec.group_name != "other"
    assert "more" not in spec.metadata


def test_a_part_of_a_definition_is_the_part_that_dagster_makes(manifest_path: Path):
    def described(part: AssetsDefinition) -> list[Any]:
        return [
            part.keys,
            set(part.check_keys),
            set(part.dependency_keys),
            part.asset_deps,
            dict(part.keys_by_output_name),
            dict(part.keys_by_input_name),
            {check.key for check in part.check_specs},
            list(part.specs),
            part.is_subset,
            part.op,
        ]

    whole = defined(manifest_path)
    attributes = whole.get_attributes_dict()
    # In beta.
    del attributes["execution_type"]
    plain = AssetsDefinition(**attributes)
    # What has been asked of the whole must not be told of the part.
    assert described(whole)[:-2] == described(plain)[:-2]
    orders, revenue = AssetKey("orders"), AssetKey(["finance", "revenue"])
    checks = {key for key in whole.check_keys if key.asset_key == orders}

    for keys, wanted in (({orders, revenue}, checks), ({orders}, None), (whole.keys, set())):
        part, expected = whole.subset_for(keys, wanted), plain.subset_for(keys, wanted)
        assert described(part) == described(expected)
        given = part.with_resources({"io_manager": mem_io_manager})
        assert described(given) == described(part)
    assert described(whole)[:-2] == described(plain)[:-2]
