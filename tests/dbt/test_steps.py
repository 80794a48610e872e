"""A definition that is split: what each step builds and tests, in which order, and what it keeps."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckKey,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    AssetSpec,
    BackfillPolicy,
    Config,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    ExecuteInProcessResult,
    JobDefinition,
    OpExecutionContext,
    ReexecutionOptions,
    ResourceDefinition,
    ResourceParam,
    RetryPolicy,
    StaticPartitionsDefinition,
    asset,
    define_asset_job,
    execute_job,
    in_process_executor,
    materialize,
    multi_asset,
    multiprocess_executor,
    reconstructable,
    with_resources,
)
from hypothesis import given
from hypothesis import strategies as st

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    DbtProject,
    build_dbt_asset_selection,
    build_dbt_asset_specs,
    build_dbt_exposure_specs,
    build_dbt_source_freshness_checks,
    dbt_assets,
    get_asset_key_for_model,
    partition_args,
    split_dbt_assets,
)
from dagweave.dbt.units import Units
from dagweave.weaving import weave

EVERY_MODEL = {
    "model.shop.stg_orders",
    "model.shop.stg_customers",
    "model.shop.orders",
    "model.shop.revenue",
    "model.shop.dim_customers.v1",
    "model.shop.dim_customers.v2",
    "seed.shop.countries",
    "snapshot.shop.order_history",
}
RELATED = "relationships_stg_orders_customer_id__id__ref_stg_customers_"


class Ran:
    """What the dbt commands of a run ran, each a folder of artifacts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def by_step(self) -> dict[str, dict[str, str]]:
        """For each step that ran dbt: how its nodes ended."""
        found: dict[str, dict[str, str]] = {}
        for file in self.artifacts:
            results = json.loads(file.read_text())["results"]
            step = file.parent.name.rsplit("-", 2)[0]
            assert step not in found
            found[step] = {
                each["unique_id"]: each["status"]
                for each in results
                if not each["unique_id"].startswith(("operation.", "exposure."))
            }
        return found

    @property
    def artifacts(self) -> set[Path]:
        return set(self._folder.glob("target/*/run_results.json"))

    @property
    def nodes(self) -> Counter[str]:
        """How often each was run."""
        return Counter(id_ for each in self.by_step.values() for id_ in each)

    def names(self, step: str) -> set[str]:
        return {id_.split(".")[2] for id_ in self.by_step[step]}


@pytest.fixture
def ran(shop: DbtProject) -> Ran:
    return Ran(shop.project_dir)


@pytest.fixture
def whole(shop: DbtProject) -> AssetsDefinition:
    @dbt_assets(manifest=shop.manifest_path, project=shop, name="shop")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()

    return models


def started(result: ExecuteInProcessResult) -> list[str]:
    return [event.step_key for event in result.all_events if event.is_step_start]


def ended_well(result: ExecuteInProcessResult) -> set[str]:
    return {event.step_key for event in result.all_events if event.is_step_success}


def named(steps: Sequence[AssetsDefinition]) -> dict[str, AssetsDefinition]:
    return {step.op.name: step for step in steps}


def error_of(result: ExecuteInProcessResult) -> str:
    return "\n".join(
        event.event_specific_data.error_display_string
        for event in result.all_events
        if event.is_step_failure
    )


def loadable(*assets: Any) -> Definitions:
    defs = Definitions(assets=assets, resources={"dbt": object()})
    Definitions.validate_loadable(defs)
    return defs


# What is made of a definition


def test_a_step_per_node_makes_the_same_assets_and_checks(whole: AssetsDefinition):
    steps = split_dbt_assets(whole, per="model")

    assert {step.op.name for step in steps} == {
        "shop__countries",
        "shop__dim_customers_v1",
        "shop__dim_customers_v2",
        "shop__order_history",
        "shop__orders",
        "shop__revenue",
        "shop__stg_customers",
        "shop__stg_orders",
    }
    manifest = "dagster_dbt/manifest"
    before = {spec.key: spec for spec in whole.specs}
    after = {spec.key: spec for step in steps for spec in step.specs}
    assert after.keys() == before.keys()
    for key, spec in after.items():
        assert {**spec.metadata, manifest: None} == {**before[key].metadata, manifest: None}
        assert spec.replace_attributes(metadata={}) == before[key].replace_attributes(metadata={})
    assert Counter(spec.key for step in steps for spec in step.check_specs) == Counter(
        spec.key for spec in whole.check_specs
    )
    loadable(*steps)


def test_a_step_has_the_policies_the_tags_and_the_resources_of_the_definition(
    manifest_path: Path,
):
    days = DailyPartitionsDefinition("2026-01-01")

    @dbt_assets(
        manifest=manifest_path,
        partitions_def=days,
        io_manager_key="warehouse_io",
        retry_policy=RetryPolicy(max_retries=3),
        op_tags={"team": "data"},
        required_resource_keys={"more"},
        pool="warehouse",
    )
    def shop(context: AssetExecutionContext): ...

    steps = split_dbt_assets(shop, per="model")

    for step in steps:
        assert step.op.retry_policy == RetryPolicy(max_retries=3)
        assert step.op.tags == shop.op.tags
        assert step.op.pool == "warehouse"
        assert step.op.required_resource_keys == {"more"}
        assert step.partitions_def == days
        assert step.backfill_policy == BackfillPolicy.single_run()
        assert step.can_subset
        [output] = [step.op.output_def_named(name) for name in step.keys_by_output_name]
        assert output.io_manager_key == "warehouse_io"


def test_resources_that_were_bound_to_a_definition_are_bound_to_its_steps(
    whole: AssetsDefinition,
):
    dbt = ResourceDefinition.hardcoded_resource("dbt")
    [bound] = with_resources([whole], {"dbt": dbt})

    steps = split_dbt_assets(bound, per="model")

    assert all(step.resource_defs == bound.resource_defs for step in steps)
    Definitions.validate_loadable(Definitions(assets=steps))


GROUPED = [
    {"unique_id": "model.shop.a1", "config": {"materialized": "table", "group": "g1"}},
    {"unique_id": "model.shop.alone"},
    {
        "unique_id": "model.shop.b",
        "config": {"materialized": "table", "group": "g2"},
        "depends_on": {"nodes": ["model.shop.a1", "model.shop.alone"]},
    },
    {
        "unique_id": "model.shop.b2",
        "config": {"materialized": "table", "group": "g2"},
        "depends_on": {"nodes": ["model.shop.b"]},
    },
]
A2 = {
    "unique_id": "model.shop.a2",
    "config": {"materialized": "table", "group": "g1"},
    "depends_on": {"nodes": ["model.shop.b"]},
}


def of_group(manifest: Path, **options: Any) -> dict[str, set[str]]:
    @dbt_assets(manifest=manifest, name="shop", **options)
    def models(context: AssetExecutionContext): ...

    steps = split_dbt_assets(models, per="group")
    loadable(*steps)
    return {step.op.name: {key.to_user_string() for key in step.keys} for step in steps}


def test_a_step_per_group_and_per_node_without_one(write_manifest: Callable[..., Path]):
    assert of_group(write_manifest(*GROUPED)) == {
        "shop__g1": {"a1"},
        "shop__alone": {"alone"},
        "shop__g2": {"b", "b2"},
    }


def test_groups_that_stand_on_each_other_are_cut(write_manifest: Callable[..., Path]):
    assert of_group(write_manifest(*GROUPED, A2)) == {
        "shop__g1_1": {"a1"},
        "shop__g1_2": {"a2"},
        "shop__alone": {"alone"},
        "shop__g2": {"b", "b2"},
    }


nodes = st.integers(min_value=0, max_value=11)


@given(
    edges=st.sets(st.tuples(nodes, nodes)),
    groups=st.dictionaries(nodes, st.sampled_from("abc")),
)
def test_units_hold_each_node_once_and_never_stand_on_each_other(
    edges: set[tuple[int, int]], groups: dict[int, str]
):
    parents = {n: [up for up, down in edges if down == n and up < n] for n in range(12)}

    units = Units(parents, groups)

    assert sorted(n for unit in units.all for n in unit.nodes) == list(range(12))
    above = {
        place: {units.of[up] for n in unit.nodes for up in parents[n]} - {place}
        for place, unit in enumerate(units.all)
    }
    TopologicalSorter(above).prepare()
    assert all(up < place for place, ups in above.items() for up in ups)
    assert all(len({groups.get(n, n) for n in unit.nodes}) == 1 for unit in units.all)


def test_long_names_and_names_that_are_alike_are_told_apart(write_manifest: Callable[..., Path]):
    manifest = write_manifest(
        {"unique_id": "model.shop.alike", "config": {"schema": "one"}},
        {"unique_id": "model.other.alike", "config": {"schema": "two"}},
        {"unique_id": f"model.shop.{'x' * 250}"},
        {"unique_id": "model.shop.plain"},
    )

    @dbt_assets(manifest=manifest, name="shop")
    def models(context: AssetExecutionContext): ...

    names = sorted(step.op.name for step in split_dbt_assets(models, per="model"))

    assert len(set(names)) == 4
    assert [name.rsplit("_", 1)[0] for name in names[:2]] == ["shop__alike", "shop__alike"]
    assert "shop__plain" in names
    assert all(len(name) < 200 for name in names)
    assert names == sorted(step.op.name for step in split_dbt_assets(models, per="model"))


# Which step runs which test


def a_test(name: str, *parents: str, **more: Any) -> dict[str, Any]:
    return {
        "unique_id": f"test.shop.{name}",
        "depends_on": {"nodes": [f"model.shop.{each}" for each in parents]},
        "attached_node": f"model.shop.{parents[0]}",
        "config": {"materialized": "test", "severity": "ERROR"},
        **more,
    }


def a_model(name: str, *parents: str, group: str | None = None) -> dict[str, Any]:
    return {
        "unique_id": f"model.shop.{name}",
        "depends_on": {"nodes": [f"model.shop.{each}" for each in parents]},
        "config": {"materialized": "table", "group": group},
    }


def homes(manifest: Path, per: str = "model", **options: Any) -> dict[str, tuple[str, bool]]:
    """For each check: the step that runs it, and whether it blocks."""

    @dbt_assets(manifest=manifest, name="shop", **options)
    def models(context: AssetExecutionContext): ...

    steps = split_dbt_assets(models, per=per)
    loadable(*steps)
    found = [(c.name, step.op.name, c.blocking) for step in steps for c in step.check_specs]
    assert len({name for name, _, _ in found}) == len(found)
    return {name: (step.removeprefix("shop__"), blocks) for name, step, blocks in found}


def test_a_test_of_several_runs_in_the_one_that_stands_directly_on_the_others(
    write_manifest: Callable[..., Path],
):
    manifest = write_manifest(
        a_model("a"),
        a_model("b", "a"),
        a_test("of_b", "b", "a"),
        a_test("of_a", "a", "b"),
    )

    assert homes(manifest) == {"of_b": ("b", True), "of_a": ("b", False)}


def test_a_test_of_several_that_do_not_stand_on_each_other_waits_for_them_in_a_step_of_its_own(
    write_manifest: Callable[..., Path],
):
    manifest = write_manifest(
        a_model("a"), a_model("b"), a_model("on_both", "a", "b"), a_test("t", "a", "b")
    )

    assert homes(manifest) == {"t": ("tests__a__b", True)}


def test_a_test_that_cannot_block_all_that_stands_on_its_asset_blocks_the_first_that_stands_on_all(
    write_manifest: Callable[..., Path],
):
    manifest = write_manifest(
        a_model("a"),
        a_model("b"),
        a_model("on_a", "a"),
        a_model("on_both", "a", "b"),
        a_test("t", "a", "b"),
    )

    assert homes(manifest) == {"t": ("on_both", False)}


def test_a_test_that_would_wait_for_what_it_blocks_does_not_block(
    write_manifest: Callable[..., Path],
):
    manifest = write_manifest(
        a_model("a"), a_model("c", "a"), a_model("b", "c"), a_test("t", "a", "b")
    )

    assert homes(manifest) == {"t": ("tests__a__b", False)}


def test_tests_that_would_wait_for_each_other_do_not_block(write_manifest: Callable[..., Path]):
    manifest = write_manifest(
        *(a_model(name) for name in "abxy"),
        a_model("below", "a", "b", "x", "y"),
        a_test("one", "a", "b", "x"),
        a_test("two", "b", "a", "y"),
    )

    found = homes(manifest)

    assert {step for step, _ in found.values()} == {"tests__a__b__x", "tests__b__a__y"}
    assert not all(blocks for _, blocks in found.values())


def test_in_a_group_a_test_waits_for_what_any_part_of_the_group_leaves_out(
    write_manifest: Callable[..., Path],
):
    manifest = write_manifest(
        a_model("a", group="g1"),
        a_model("b", group="g2"),
        a_model("on_a", "a", group="g2"),
        a_test("apart", "b", "a"),
        a_test("direct", "on_a", "a"),
        a_test("within", "b", "on_a"),
    )

    assert homes(manifest, "group") == {
        "apart": ("tests__b__a", True),
        "direct": ("g2", True),
        "within": ("g2", True),
    }


def test_a_source_is_tested_by_the_first_step_that_reads_it(manifest_path: Path):
    as_checks = DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True)

    found = homes(manifest_path, dagster_dbt_translator=DagsterDbtTranslator(as_checks))

    assert found["source_not_null_raw_orders_id"] == ("stg_orders", False)


def test_a_test_that_is_no_check_becomes_one_where_it_needs_a_step_of_its_own(
    write_manifest: Callable[..., Path],
):
    manifest = write_manifest(
        a_model("a"),
        a_model("b"),
        a_test("t", "a", "b", attached_node=None),
    )

    assert homes(manifest) == {"t": ("tests__a__b", True)}


# What a run does


def test_a_run_builds_and_tests_everything_once_and_in_order(
    whole: AssetsDefinition, shop: DbtProject, ran: Ran
):
    result = materialize(
        split_dbt_assets(whole, per="model"), resources={"dbt": DbtCliResource(shop)}
    )

    assert result.success
    manifest = json.loads(shop.manifest_path.read_text())
    tests = {id_ for id_ in manifest["nodes"] if id_.startswith("test.")}
    assert ran.nodes == Counter([*EVERY_MODEL, *tests, *manifest["unit_tests"]])
    assert ran.names("shop__orders") == {
        "orders", "one_parent", "orders_match_customers", "unique_orders_id", RELATED,
    }  # fmt: skip
    order = started(result)
    for first, then in (
        ("shop__stg_orders", "shop__orders"),
        ("shop__stg_customers", "shop__orders"),
        ("shop__orders", "shop__revenue"),
        ("shop__stg_orders", "shop__order_history"),
    ):
        assert order.index(first) < order.index(then)
    checks = {e.check_name for e in result.get_asset_check_evaluations()}
    assert {RELATED, "revenue_adds_up", "amounts_odd_ones"} <= checks


STAMPED = "select '{{ var(\"run_date\") }}' as stamp"


@pytest.fixture
def two(shop: DbtProject) -> DbtProject:
    """Two models that know nothing of each other, and a test that both were built in this run."""
    models = shop.project_dir / "models"
    for name in ("zz_one", "zz_two"):
        (models / f"{name}.sql").write_text(STAMPED)
    test = "{{ config(meta={'dagster': {'ref': {'name': 'zz_one'}}}) }}\n" + " union all ".join(
        f"select * from {{{{ ref('{name}') }}}} where stamp <> '{{{{ var(\"run_date\") }}}}'"
        for name in ("zz_one", "zz_two")
    )
    (shop.project_dir / "tests" / "built_together.sql").write_text(test)
    shop.preparer.prepare(shop)
    return shop


@pytest.fixture
def stamped(two: DbtProject) -> Callable[[str], Sequence[AssetsDefinition]]:
    def made(date: str) -> Sequence[AssetsDefinition]:
        @dbt_assets(manifest=two.manifest_path, project=two, name="shop", select="zz_*")
        def models(context: AssetExecutionContext, dbt: DbtCliResource):
            variables = json.dumps({"run_date": date})
            yield from dbt.cli(["build", "--vars", variables], context=context).stream()

        return split_dbt_assets(models, per="model")

    return made


def test_a_test_of_two_runs_after_both(
    stamped: Callable[[str], Sequence[AssetsDefinition]], two: DbtProject
):
    dbt = DbtCliResource(two)
    dbt.cli(["run", "--select", "zz_*"]).wait()

    again = materialize(stamped("2024-02-02"), resources={"dbt": dbt})

    assert again.success
    # By their names alone it would go first.
    assert started(again)[-1] == "shop__tests__zz_one__zz_two"
    [check] = again.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("built_together", True)


def test_a_test_of_its_own_step_fails_its_run_and_can_be_selected_by_itself(
    stamped: Callable[[str], Sequence[AssetsDefinition]], two: DbtProject
):
    dbt = DbtCliResource(two)
    dbt.cli(["run", "--select", "zz_*"]).wait()
    check = AssetSelection.checks(AssetCheckKey(AssetKey("zz_one"), "built_together"))

    apart = materialize(
        stamped("2024-02-02"), selection=check, resources={"dbt": dbt}, raise_on_error=False
    )

    assert not apart.success
    assert started(apart) == ["shop__tests__zz_one__zz_two"]
    [said] = apart.get_asset_check_evaluations()
    assert not said.passed
    assert "built_together" in error_of(apart)
    mended = materialize(
        stamped("2024-02-02"),
        selection=AssetSelection.assets("zz_one", "zz_two") | check,
        resources={"dbt": dbt},
    )
    assert mended.success


@pytest.mark.parametrize("annotated", [OpExecutionContext, AssetExecutionContext, None])
def test_a_step_that_only_tests_calls_the_function_as_any_other(
    two: DbtProject, annotated: type | None
):
    def models(context: Any, dbt: ResourceParam[DbtCliResource]) -> Iterator[Any]:
        """As a user may write it."""
        assert isinstance(context, annotated or AssetExecutionContext)
        yield from dbt.cli(["build"], context=context).stream()

    models.__annotations__["context"] = annotated
    if annotated is None:
        del models.__annotations__["context"]
    steps = split_dbt_assets(
        dbt_assets(manifest=two.manifest_path, project=two, select="zz_*")(models), per="model"
    )

    assert {step.op.description for step in steps} == {"As a user may write it."}
    assert materialize(steps, resources={"dbt": DbtCliResource(two)}).success


def test_the_configuration_of_the_function_is_given_per_step(two: DbtProject):
    class Options(Config):
        threads: int = 2

    said: dict[str, int] = {}

    @dbt_assets(manifest=two.manifest_path, project=two, name="shop", select="zz_*")
    def models(context: AssetExecutionContext, config: Options, dbt: DbtCliResource):
        said[context.op_execution_context.op.name] = config.threads
        yield from dbt.cli(["build"], context=context).stream()

    materialize(
        split_dbt_assets(models, per="model"),
        resources={"dbt": DbtCliResource(two)},
        run_config={
            "ops": {
                step: {"config": {"threads": n}}
                for step, n in {"shop__zz_one": 7, "shop__tests__zz_one__zz_two": 9}.items()
            }
        },
    )

    assert said == {"shop__zz_one": 7, "shop__zz_two": 2, "shop__tests__zz_one__zz_two": 9}


def test_a_part_of_a_group_is_told_node_by_node(
    write_manifest: Callable[..., Path], fake_dbt: Any, shop_dir: Path
):
    @dbt_assets(manifest=write_manifest(*GROUPED, a_test("t", "b2", "b")), name="shop")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()

    for selection, words in (
        (AssetSelection.assets("b2"), ["fqn:shop.b2", "fqn:shop.t"]),
        (AssetSelection.assets("b"), ["fqn:shop.b"]),
        (AssetSelection.assets("b", "b2").without_checks(), ["fqn:shop.b", "fqn:shop.b2"]),
    ):
        result = materialize(
            split_dbt_assets(models, per="group"),
            selection=selection,
            resources={"dbt": DbtCliResource(project_dir=str(shop_dir))},
            raise_on_error=False,
        )

        call = fake_dbt.calls[-1]
        assert call["argv"] == ["build", "--select", *words]
        assert call["env"]["DBT_INDIRECT_SELECTION"] == "empty"
        # It said nothing of what it owes.
        assert f"no result for {len(words)} of {len(words)} selected nodes" in error_of(result)


def test_what_a_failing_test_holds_up_is_what_stands_on_its_step(shop: DbtProject, ran: Ran):
    @dbt_assets(
        manifest=shop.manifest_path, project=shop, name="shop", exclude="countries dim_customers"
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build", "--vars", "bad_rows: true"], context=context).stream()

    @asset(deps=[AssetKey(["finance", "revenue"])])
    def report() -> None: ...

    result = materialize(
        [*split_dbt_assets(models, per="model"), report],
        resources={"dbt": DbtCliResource(shop)},
        raise_on_error=False,
    )

    assert not result.success
    assert ended_well(result) == {
        "shop__stg_customers",
    }
    assert "not_null_stg_orders_id" in error_of(result)


def test_a_test_that_another_step_runs_holds_that_up(shop: DbtProject, ran: Ran):
    """The rows that only a test of two tables would find."""
    staging = shop.project_dir / "models" / "staging" / "stg_orders.sql"
    staging.write_text(
        "select id, 99 as customer_id, amount, ordered_on from {{ source('raw', 'orders') }}"
    )
    shop.preparer.prepare(shop)

    @dbt_assets(
        manifest=shop.manifest_path, project=shop, name="shop", exclude="countries dim_customers"
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()

    result = materialize(
        split_dbt_assets(models, per="model"),
        resources={"dbt": DbtCliResource(shop)},
        raise_on_error=False,
    )

    assert ran.by_step["shop__orders"]["model.shop.orders"] == "skipped"
    assert "shop__order_history" in ended_well(result)
    assert "shop__revenue" not in started(result)
    said = {(e.asset_key, e.check_name): e.passed for e in result.get_asset_check_evaluations()}
    assert said[AssetKey("stg_orders"), RELATED] is False


def test_a_part_runs_the_steps_of_what_was_selected(
    whole: AssetsDefinition, shop: DbtProject, ran: Ran
):
    steps = split_dbt_assets(whole, per="model")
    orders = AssetSelection.assets("stg_orders")

    result = materialize(
        steps,
        selection=(orders - orders.without_checks().downstream(include_self=False))
        - AssetSelection.checks(AssetCheckKey(AssetKey("stg_orders"), "unique_stg_orders_id")),
        resources={"dbt": DbtCliResource(shop)},
    )

    assert result.success
    assert ran.names("shop__stg_orders") == {
        "stg_orders", "not_null_stg_orders_id", "amounts,odd:ones", "source_not_null_raw_orders_id",
    }  # fmt: skip
    # A check of it that reads another table, too.
    assert ran.names("shop__orders") == {RELATED}


def test_a_part_without_checks_runs_none(whole: AssetsDefinition, shop: DbtProject, ran: Ran):
    materialize(
        split_dbt_assets(whole, per="model"),
        selection=AssetSelection.assets("stg_orders", "orders").without_checks(),
        resources={"dbt": DbtCliResource(shop)},
    )

    assert {step: ran.names(step) for step in ran.by_step} == {
        "shop__stg_orders": {"stg_orders"},
        "shop__orders": {"orders"},
    }


def test_without_checks_every_test_is_run_once_and_observed(shop: DbtProject, ran: Ran):
    none = DagsterDbtTranslatorSettings(enable_asset_checks=False)

    @dbt_assets(
        manifest=shop.manifest_path, project=shop, dagster_dbt_translator=DagsterDbtTranslator(none)
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()

    steps = split_dbt_assets(models, per="model")
    result = materialize(steps, resources={"dbt": DbtCliResource(shop)})

    assert result.success
    assert not [spec for step in steps for spec in step.check_specs]
    tests = Counter({id_: n for id_, n in ran.nodes.items() if id_.startswith(("test.", "unit_"))})
    assert len(tests) == 13
    assert set(tests.values()) == {1}


def test_a_selection_of_the_definition_goes_for_its_steps(shop: DbtProject, ran: Ran):
    @dbt_assets(
        manifest=shop.manifest_path,
        project=shop,
        name="shop",
        select="tag:staging",
        exclude="stg_orders test_type:generic",
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()

    materialize(split_dbt_assets(models, per="model"), resources={"dbt": DbtCliResource(shop)})

    assert ran.nodes == Counter(["model.shop.stg_customers", "test.shop.orders_match_customers"])


def test_a_selection_in_the_command_is_refused(shop: DbtProject):
    @dbt_assets(manifest=shop.manifest_path, project=shop, select="countries")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build", "--select", "tag:nightly"], context=context).stream()

    result = materialize(
        split_dbt_assets(models, per="model"),
        resources={"dbt": DbtCliResource(shop)},
        raise_on_error=False,
    )

    assert "would be run by each step" in error_of(result)
    assert "@dbt_assets(select=...)" in error_of(result)


def test_a_retry_of_a_step_runs_what_is_left_of_it(shop: DbtProject, ran: Ran):
    @dbt_assets(
        manifest=shop.manifest_path,
        project=shop,
        name="shop",
        select="stg_orders stg_customers",
        exclude="orders_match_customers",
        retry_policy=RetryPolicy(max_retries=1),
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        given = json.dumps({"bad_rows": context.retry_number == 0})
        target = (
            shop.project_dir
            / "target"
            / f"{context.op_execution_context.op.name}-{context.retry_number}-x"
        )
        yield from dbt.cli(["build", "--vars", given], context=context, target_path=target).stream()

    result = materialize(
        split_dbt_assets(models, per="model"), resources={"dbt": DbtCliResource(shop)}
    )

    assert result.success
    again = [event.step_key for event in result.all_events if event.is_step_restarted]
    assert again == ["shop__stg_orders"]


# Partitions


def test_a_backfill_in_one_run_tells_every_step_the_same_window(two: DbtProject):
    days = DailyPartitionsDefinition("2026-01-01")
    told: dict[str, str] = {}

    @dbt_assets(
        manifest=two.manifest_path, project=two, name="shop", select="zz_*", partitions_def=days
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        _, told[context.op_execution_context.op.name] = said = partition_args(context)
        yield from dbt.cli(["build", *said], context=context).stream()

    steps = split_dbt_assets(models, per="model")
    span = {"start": "2026-01-05", "end": "2026-01-08"}
    result = materialize(
        steps,
        resources={"dbt": DbtCliResource(two)},
        tags={f"dagster/asset_partition_range_{edge}": day for edge, day in span.items()},
    )

    assert result.success
    window = {"start": "2026-01-05T00:00:00+00:00", "end": "2026-01-09T00:00:00+00:00"}
    assert {step: json.loads(said) for step, said in told.items()} == {
        "shop__zz_one": window,
        "shop__zz_two": window,
        "shop__tests__zz_one__zz_two": window,
    }
    built = result.get_asset_materialization_events()
    assert {event.partition for event in built} == {f"2026-01-0{day}" for day in range(5, 9)}


def test_a_partition_of_a_job_of_mixed_partitions_is_told_to_a_step_that_only_tests(
    two: DbtProject,
):
    days = DailyPartitionsDefinition("2026-01-01")
    told: list[str] = []

    class Partitioned(DagsterDbtTranslator):
        def get_partitions_def(self, dbt_resource_props: Mapping[str, Any]):
            return days if dbt_resource_props["name"].startswith("zz") else None

    @asset(partitions_def=StaticPartitionsDefinition(["2026-01-05"]))
    def other() -> None: ...

    @dbt_assets(
        manifest=two.manifest_path,
        project=two,
        select="zz_*",
        dagster_dbt_translator=Partitioned(),
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        told.append(partition_args(context)[1])
        yield from dbt.cli(["build", "--vars", told[-1]], context=context).stream()

    defs = Definitions(
        [*split_dbt_assets(models, per="model"), other], resources={"dbt": DbtCliResource(two)}
    )

    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(tags={"dagster/partition": "2026-01-05"}).success
    assert len(told) == 3
    assert len(set(told)) == 1


# In processes of their own


SHOP = "DAGWEAVE_TEST_SHOP"
BAD_ROWS = "DAGWEAVE_TEST_BAD_ROWS"


def shop_job() -> JobDefinition:
    """The shop in steps, as another process finds it. DuckDB is written to by one at a time."""
    project = DbtProject(os.environ[SHOP])

    @dbt_assets(
        manifest=project.manifest_path,
        project=project,
        name="shop",
        select="staging.* order_history",
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        given = json.dumps({"bad_rows": BAD_ROWS in os.environ})
        yield from dbt.cli(["build", "--vars", given], context=context).stream()

    return Definitions(
        assets=split_dbt_assets(models, per="model"),
        jobs=[define_asset_job("shop", AssetSelection.all())],
        resources={"dbt": DbtCliResource(project, runner=os.environ.get("RUNNER", "subprocess"))},
        executor=multiprocess_executor.configured({"max_concurrent": 1})
        if "RUNNER" in os.environ
        else in_process_executor,
    ).resolve_job_def("shop")


@pytest.fixture
def instance(
    shop: DbtProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[DagsterInstance]:
    monkeypatch.setenv(SHOP, str(shop.project_dir))
    home = tmp_path / "home"
    home.mkdir()
    with DagsterInstance.local_temp(str(home)) as instance:
        yield instance


def test_a_run_that_takes_up_a_failed_one_runs_the_steps_that_were_left(
    instance: DagsterInstance, ran: Ran, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(BAD_ROWS, "1")
    with execute_job(reconstructable(shop_job), instance) as failed:
        assert not failed.success
    monkeypatch.delenv(BAD_ROWS)
    before = ran.artifacts

    options = ReexecutionOptions.from_failure(failed.run_id, instance)
    with execute_job(reconstructable(shop_job), instance, reexecution_options=options) as again:
        assert again.success

    # The test of orders, which this definition does not build, went well in the first run.
    assert {file.parent.name.rsplit("-", 2)[0] for file in ran.artifacts - before} == {
        "shop__stg_orders",
        "shop__order_history",
        "shop__tests__stg_orders__stg_customers",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="the warm runner is of Linux")
@pytest.mark.xdist_group("warm")
def test_steps_in_processes_of_their_own_share_the_process_with_dbt_in_memory(
    instance: DagsterInstance, ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("RUNNER", "warm")
    try:
        with execute_job(reconstructable(shop_job), instance) as result:
            assert result.success
        assert len(list((runtime / "dagweave").glob("*.sock"))) == 1
    finally:
        # It leaves when its socket is removed.
        for socket in (runtime / "dagweave").glob("*.sock"):
            socket.unlink()

    assert ran.nodes.keys() >= {"model.shop.stg_orders", "snapshot.shop.order_history"}
    assert set(ran.nodes.values()) == {1}


# Pools


class Pools(DagsterDbtTranslator):
    asked: list[str]

    def get_pool(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        self.asked.append(dbt_resource_props["name"])
        return "heavy" if "heavy" in dbt_resource_props["tags"] else None


def pools(manifest: Path, per: str = "model", **options: Any) -> dict[str, str | None]:
    @dbt_assets(manifest=manifest, name="shop", **options)
    def models(context: AssetExecutionContext): ...

    return {step.op.name: step.op.pool for step in split_dbt_assets(models, per=per)}


def test_a_node_names_the_pool_of_its_step_in_its_meta(write_manifest: Callable[..., Path]):
    heavy = {"dagster": {"pool": "heavy"}}
    manifest = write_manifest(
        {**a_model("a"), "meta": heavy},
        {"unique_id": "model.shop.b", "config": {"materialized": "table", "meta": heavy}},
        a_model("c"),
        a_test("t", "b", "c"),
        a_test("u", "c", "a"),
    )

    assert pools(manifest, pool="warehouse") == {
        "shop__a": "heavy",
        "shop__b": "heavy",
        "shop__c": "warehouse",
        "shop__tests__b__c": "heavy",
        "shop__tests__c__a": "warehouse",
    }
    assert pools(manifest)["shop__c"] is None


def test_a_translator_names_pools_and_is_asked_once_per_node(write_manifest: Callable[..., Path]):
    translator = Pools()
    translator.asked = []
    manifest = write_manifest({**a_model("a"), "tags": ["heavy"]}, a_model("b"))

    assert pools(manifest, dagster_dbt_translator=translator) == {
        "shop__a": "heavy",
        "shop__b": None,
    }
    assert sorted(translator.asked) == ["a", "b"]


def test_nodes_of_one_step_that_name_different_pools_are_told(write_manifest: Callable[..., Path]):
    manifest = write_manifest(
        {**a_model("a", group="g"), "meta": {"dagster": {"pool": "one"}}},
        {**a_model("b", group="g"), "meta": {"dagster": {"pool": "two"}}},
        a_model("c", group="g"),
    )

    with pytest.raises(InvalidInput, match=r"model.shop.a: one\n\s*model.shop.b: two"):
        pools(manifest, "group")
    assert pools(manifest)["shop__a"] == "one"


# What stands beside


@pytest.fixture
def steps(whole: AssetsDefinition) -> Sequence[AssetsDefinition]:
    return split_dbt_assets(whole, per="model")


def test_what_takes_a_definition_takes_its_steps(
    whole: AssetsDefinition, steps: Sequence[AssetsDefinition]
):
    defs = Definitions([*steps, *build_dbt_exposure_specs(steps)], resources={"dbt": object()})
    graph = defs.resolve_asset_graph()

    assert get_asset_key_for_model(steps, "revenue") == AssetKey(["finance", "revenue"])
    assert build_dbt_exposure_specs(steps) == build_dbt_exposure_specs([whole])
    staging = build_dbt_asset_selection(steps, dbt_select="tag:staging")
    assert staging.resolve(graph) == {AssetKey("stg_orders"), AssetKey("stg_customers")}
    assert AssetCheckKey(AssetKey("stg_orders"), RELATED) in staging.resolve_checks(graph)
    fresh = build_dbt_source_freshness_checks(steps)
    assert fresh.op.name == "shop_freshness"
    assert [key.asset_key for key in fresh.check_keys] == [AssetKey(["raw", "orders"])]


def test_steps_of_two_definitions_are_not_one(
    manifest_path: Path, steps: Sequence[AssetsDefinition]
):
    @dbt_assets(manifest=manifest_path, name="shop")
    def models(context: AssetExecutionContext): ...

    with pytest.raises(InvalidInput, match=r"Give one definition(?s:.*)split_dbt_assets"):
        get_asset_key_for_model([*steps, *split_dbt_assets(models, per="model")], "orders")


def prefixed(assets: Sequence[AssetsDefinition]) -> Sequence[AssetsDefinition]:
    new = {spec.key: spec.key.with_prefix("our") for each in assets for spec in each.specs}
    return [each.with_attributes(asset_key_replacements=new) for each in assets]


@pytest.mark.parametrize("first", ["changed", "split"])
def test_keys_that_were_changed_are_those_that_tests_wait_for(two: DbtProject, first: str):
    @asset(metadata={"dagster/table_name": "warehouse.raw.orders_v1"})
    def ingested() -> None: ...

    @dbt_assets(manifest=two.manifest_path, project=two, name="shop", select="zz_* stg_orders")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()

    if first == "changed":
        [changed] = prefixed([models])
        steps = split_dbt_assets(changed, per="model")
    else:
        steps = prefixed(split_dbt_assets(models, per="model"))
    defs = weave(
        Definitions(
            [*steps, ingested],
            resources={"dbt": DbtCliResource(two)},
            executor=in_process_executor,
        )
    )
    done = defs.resolve_implicit_global_asset_job_def().execute_in_process()

    assert done.success
    order = started(done)
    assert order.index("ingested") < order.index("shop__stg_orders")
    last = order.index("shop__tests__zz_one__zz_two")
    assert last > max(order.index("shop__zz_one"), order.index("shop__zz_two"))
    checks = {e.check_name: e.asset_key for e in done.get_asset_check_evaluations()}
    assert checks["built_together"] == AssetKey(["our", "zz_one"])


# What cannot be split


def test_what_cannot_be_split_is_told(
    whole: AssetsDefinition, manifest_path: Path, steps: Sequence[AssetsDefinition]
):
    @asset
    def plain() -> None: ...

    @multi_asset(specs=[*build_dbt_asset_specs(manifest=manifest_path), AssetSpec("mine")])
    def mixed(context: AssetExecutionContext): ...

    @dbt_assets(manifest=manifest_path)
    def deaf(dbt: ResourceParam[Any]): ...

    for wrong, message in (
        (plain, r"no assets that @dbt_assets made"),
        (mixed, r"'mixed' makes assets that are no nodes of dbt(?s:.*)1 of them: mine"),
        (deaf, r"'deaf' takes no context(?s:.*)dbt.cli\(\[...\], context=context\)"),
        (steps[0], r"'shop__\w+' is a step that was split off already"),
        ([whole], r"Only a definition of @dbt_assets can be split, not \["),
    ):
        with pytest.raises(InvalidInput, match=message):
            split_dbt_assets(wrong, per="model")  # pyright: ignore[reportArgumentType] -- as users may
    with pytest.raises(InvalidInput, match=r"split per 'folder'(?s:.*)model, group"):
        split_dbt_assets(whole, per="folder")  # pyright: ignore[reportArgumentType] -- as users may
