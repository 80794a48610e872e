"""Runs of a real dbt on a real DuckDB."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster import (
    AssetCheckKey,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    AssetSpec,
    DagsterExecutionInterruptedError,
    DailyPartitionsDefinition,
    Definitions,
    ExecuteInProcessResult,
    MaterializeResult,
    materialize,
    multi_asset,
)

from dagweave.dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    DbtProject,
    dbt_assets,
)
from dagweave.dbt.run import find_dbt


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def materialized(result: ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    return {
        event.asset_key.to_user_string(): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


def checked(result: ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    return {
        each.check_name: (each.passed, each.severity.value)
        for each in result.get_asset_check_evaluations()
    }


def failure(result: ExecuteInProcessResult) -> str:
    [event] = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    assert error
    return error.message if error.cause is None else f"{error.message}{error.cause.message}"


@pytest.fixture(scope="module")
def full_run(
    built_shop: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ExecuteInProcessResult]:
    """A run of everything, with row counts, as a user with one resource writes it."""
    folder = tmp_path_factory.mktemp("full") / "shop"
    shutil.copytree(built_shop, folder)
    (folder / "warehouse.duckdb").unlink()
    project = DbtProject(folder)

    @dbt_assets(manifest=project.manifest_path)
    def shop(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream().fetch_row_counts()

    return folder, materialize([shop], resources={"dbt": DbtCliResource(project_dir=project)})


def test_everything_that_dbt_builds_is_materialized(full_run: tuple[Path, ExecuteInProcessResult]):
    folder, result = full_run

    assert result.success
    assert set(materialized(result)) == {
        "stg_orders", "stg_customers", "orders", "finance/revenue", "dim_customers_v1",
        "dim_customers_v2", "order_history", "countries",
    }  # fmt: skip
    assert rows(folder, "select count(*) from main.orders") == [(9,)]
    orders = materialized(result)["orders"]
    assert orders["unique_id"] == "model.shop.orders"
    assert orders["status"] == "success"
    assert orders["Execution Duration"] > 0
    assert orders["invocation_id"]


def test_every_test_reports_to_the_check_that_it_is(full_run: tuple[Path, ExecuteInProcessResult]):
    _, result = full_run

    told = checked(result)
    assert told.pop("amounts_odd_ones") == (False, "WARN")
    assert "revenue_adds_up" in told
    assert len(told) == 10
    assert set(told.values()) == {(True, "ERROR")}
    [warned] = [
        e for e in result.get_asset_check_evaluations() if e.check_name == "amounts_odd_ones"
    ]
    assert warned.metadata["dagster_dbt/failed_row_count"].value == 2


def revenue(shop: DbtProject, **settings: bool) -> AssetsDefinition:
    translator = DagsterDbtTranslator(DagsterDbtTranslatorSettings(**settings))

    @dbt_assets(
        manifest=shop.manifest_path,
        project=shop,
        select="revenue",
        dagster_dbt_translator=translator,
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()

    return models


def test_a_failing_unit_test_is_a_failed_check_and_its_model_is_not_built(shop: DbtProject):
    yml = shop.project_dir / "models" / "marts" / "marts.yml"
    yml.write_text(yml.read_text().replace("revenue: 5}", "revenue: 6}"))
    shop.preparer.prepare(shop)

    result = materialize(
        [revenue(shop)], resources={"dbt": DbtCliResource(shop)}, raise_on_error=False
    )

    assert not result.success
    assert checked(result)["revenue_adds_up"] == (False, "ERROR")
    assert not materialized(result)


def test_a_unit_test_can_be_deselected_and_need_not_be_a_check(shop: DbtProject):
    adds_up = AssetCheckKey(AssetKey(["finance", "revenue"]), "revenue_adds_up")
    models, unmodelled = revenue(shop), revenue(shop, enable_unit_tests_as_checks=False)
    resources = {"dbt": DbtCliResource(shop)}

    without = materialize(
        [models],
        selection=AssetSelection.all() - AssetSelection.checks(adds_up),
        resources=resources,
    )
    observed = materialize([unmodelled], resources=resources)

    assert adds_up in models.check_keys
    assert adds_up not in unmodelled.check_keys
    assert "revenue_adds_up" not in checked(without) | checked(observed)
    assert "finance/revenue" in materialized(without)
    events = [e for e in observed.all_events if e.event_type_value == "ASSET_OBSERVATION"]
    [told] = [e.event_specific_data.asset_observation for e in events]
    assert "enable_unit_tests_as_checks" in (told.description or "")


def test_tables_are_counted_and_views_are_not(full_run: tuple[Path, ExecuteInProcessResult]):
    _, result = full_run

    counts = {key: told.get("dagster/row_count") for key, told in materialized(result).items()}
    assert counts == {
        "stg_orders": None,
        "stg_customers": None,
        "orders": 9,
        "finance/revenue": 3,
        "dim_customers_v1": 3,
        "dim_customers_v2": 3,
        "order_history": 9,
        "countries": 2,
    }


def test_results_come_in_the_order_of_the_graph(full_run: tuple[Path, ExecuteInProcessResult]):
    _, result = full_run
    order = list(materialized(result))

    assert order.index("stg_orders") < order.index("orders") < order.index("finance/revenue")


def test_a_failing_model_fails_the_step_and_what_went_well_is_told(shop: DbtProject):
    @dbt_assets(manifest=shop.manifest_path, project=shop)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build", "--vars", "broken: true"], context=context).stream()

    result = materialize([models], resources={"dbt": DbtCliResource(shop)}, raise_on_error=False)

    assert not result.success
    assert set(materialized(result)) == {
        "stg_customers", "countries", "dim_customers_v1", "dim_customers_v2",
    }  # fmt: skip
    said = failure(result)
    assert "dbt failed with exit code 1" in said
    assert "model.shop.stg_orders" in said
    assert "no_such_column" in said
    assert "dbt.log" in said


def test_a_failing_test_is_a_failed_check_and_stops_what_is_downstream(shop: DbtProject):
    @dbt_assets(manifest=shop.manifest_path, project=shop)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build", "--vars", "bad_rows: true"], context=context).stream()

    result = materialize(
        [models],
        selection=AssetSelection.assets("stg_orders", "orders"),
        resources={"dbt": DbtCliResource(shop)},
        raise_on_error=False,
    )

    assert not result.success
    assert set(materialized(result)) == {"stg_orders"}
    told = checked(result)
    assert told["not_null_stg_orders_id"] == (False, "ERROR")
    assert told["unique_stg_orders_id"] == (True, "ERROR")
    assert "Got 1 result, configured to fail if != 0" in failure(result)


def test_a_part_is_built_in_the_projects_own_database_for_the_partition_at_hand(
    shop: DbtProject, monkeypatch: pytest.MonkeyPatch
):
    @dbt_assets(manifest=shop.manifest_path, partitions_def=DailyPartitionsDefinition("2024-01-01"))
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        date = context.partition_key
        yield from dbt.cli(
            ["build", "--vars", f'{{"run_date": "{date}"}}'], context=context
        ).stream()

    monkeypatch.chdir(shop.project_dir.parent)
    result = materialize(
        [models],
        selection=AssetSelection.assets("orders", "countries"),
        partition_key="2024-02-03",
        # A relative project, and in its profile a relative database.
        resources={"dbt": DbtCliResource(project_dir=DbtProject("shop"))},
    )

    assert result.success
    assert set(materialized(result)) == {"orders", "countries"}
    assert {event.partition for event in result.get_asset_materialization_events()} == {
        "2024-02-03"
    }
    [(day,)] = rows(shop.project_dir, "select distinct run_date from main.orders")
    assert day.isoformat() == "2024-02-03"


def test_raw_events_can_be_told_apart_and_passed_on(shop: DbtProject):
    results: list[tuple[str, float]] = []

    @dbt_assets(
        manifest=shop.manifest_path, select="stg_customers+1,resource_type:model order_history"
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        invocation = dbt.cli(["build"], context=context)
        for event in invocation.stream_raw_events():
            if event.event_type_value == "RunResultEvent":
                data = event.raw_event["data"]
                results.append((data["node_info"]["unique_id"], data["execution_time"]))
            yield from event.to_default_asset_events()
        ran = invocation.get_artifact("run_results.json")["results"]
        assert sorted(id_ for id_, _ in results) == sorted(
            each["unique_id"] for each in ran if not each["unique_id"].startswith("operation.")
        )

    assert materialize([models], resources={"dbt": DbtCliResource(shop)}).success
    assert "snapshot.shop.order_history" in dict(results)
    assert all(seconds > 0 for _, seconds in results)


def test_outputs_and_checks_arrive_when_a_source_was_linked_to_what_writes_it(shop: DbtProject):
    """As `weave` links it: the dependency and the checks of the source move to the writer."""
    as_checks = DagsterDbtTranslator(
        DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True)
    )
    order: list[str] = []

    @dbt_assets(
        manifest=shop.manifest_path,
        project=shop,
        select="stg_orders",
        dagster_dbt_translator=as_checks,
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        order.append("models")
        yield from dbt.cli(["build"], context=context).stream()

    @multi_asset(specs=[AssetSpec(["loaded", "orders"])])
    def loaded(context: AssetExecutionContext):
        order.append("loaded")
        yield MaterializeResult(asset_key=["loaded", "orders"])

    writer = AssetKey(["loaded", "orders"])
    linked = models.with_attributes(asset_key_replacements={AssetKey(["raw", "orders"]): writer})
    result = (
        Definitions(assets=[linked, loaded], resources={"dbt": DbtCliResource(shop)})
        .resolve_implicit_global_asset_job_def()
        .execute_in_process()
    )

    assert result.success
    assert order == ["loaded", "models"]
    assert set(materialized(result)) == {"loaded/orders", "stg_orders"}
    keys = {each.asset_check_key for each in result.get_asset_check_evaluations()}
    assert AssetCheckKey(writer, "source_not_null_raw_orders_id") in keys
    assert len(keys) == 5


def test_an_interrupted_dbt_leaves_the_warehouse_to_others(shop: DbtProject):
    invocation = DbtCliResource(shop).cli(["build", "--full-refresh"])
    events = invocation.stream_raw_events()
    for event in events:
        if event.event_type_value == "LogStartLine":
            break

    with pytest.raises(DagsterExecutionInterruptedError):
        events.throw(DagsterExecutionInterruptedError())

    assert invocation.process.returncode not in (0, None)
    with duckdb.connect(str(shop.project_dir / "warehouse.duckdb")) as connection:
        assert connection.execute("select 1").fetchall() == [(1,)]


def told(ids: Sequence[str], log: Any) -> list[dict[str, Any]]:
    return [log.version()] + [
        log.tested(id_) if id_.startswith("test.") else log.built(id_) for id_ in ids
    ]


@pytest.fixture
def step(fake_dbt: Any, shop: DbtProject) -> Any:
    """Run a step over two assets and their checks, by a stand-in for dbt."""

    def run(*args: str) -> ExecuteInProcessResult:
        @dbt_assets(manifest=shop.manifest_path, project=shop, select="stg_customers countries")
        def models(context: AssetExecutionContext, dbt: DbtCliResource):
            yield from dbt.cli(args, context=context).stream()

        return materialize([models], resources={"dbt": DbtCliResource(shop)}, raise_on_error=False)

    return run


SELECTED = [
    "model.shop.stg_customers",
    "seed.shop.countries",
    "test.shop.unique_stg_customers_id.a6a76acf47",
]


def test_a_selected_node_without_a_result_fails_the_step_and_is_named(
    step: Any, fake_dbt: Any, log: Any
):
    fake_dbt.prints(told(SELECTED[:1], log))

    result = step("build")

    assert not result.success
    assert set(materialized(result)) == {"stg_customers"}
    said = failure(result)
    assert "no result for 2 of 3 selected nodes" in said
    assert "seed.shop.countries" in said
    assert "test.shop.unique_stg_customers_id" in said


@pytest.mark.parametrize(
    "args", [["run"], ["build", "--exclude", "tag:x"], ["build", "--resource-type", "model"]]
)
def test_a_command_that_is_not_to_run_all_may_leave_nodes_out(
    args: list[str], step: Any, fake_dbt: Any, log: Any
):
    fake_dbt.prints(told(SELECTED[:1], log))

    assert step(*args).success


def test_what_dbt_skipped_though_it_ended_well_fails_the_step(step: Any, fake_dbt: Any, log: Any):
    skipped = log.event("SkippingDetails", node_info=log.node_info(SELECTED[1], "skipped"))
    fake_dbt.prints([*told([SELECTED[0], SELECTED[2]], log), skipped])

    result = step("build")

    assert not result.success
    assert f"no result for 1 of 3 selected nodes.\n  {SELECTED[1]}" in failure(result)


def test_what_dbt_built_beside_the_selection_is_told_as_well(step: Any, fake_dbt: Any, log: Any):
    fake_dbt.prints(told([*SELECTED, "model.shop.orders", "test.shop.one_parent"], log))

    result = step("build")

    assert result.success
    assert set(materialized(result)) == {"stg_customers", "countries", "orders"}
    [observed] = (
        result.get_asset_observation_events()
        if hasattr(result, "get_asset_observation_events")
        else [event for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    )
    assert observed.asset_key == AssetKey("orders")


def test_who_asks_how_it_went_hears_of_what_is_missing(fake_dbt: Any, log: Any, shop: DbtProject):
    @dbt_assets(manifest=shop.manifest_path, project=shop, select="stg_customers countries")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        invocation = dbt.cli(["build"], context=context, raise_on_error=False)
        assert not invocation.is_successful()
        assert "no result for 3 of 3" in str(invocation.get_error())
        yield from invocation.stream()

    fake_dbt.prints([log.version()])

    assert materialize([models], resources={"dbt": DbtCliResource(shop)}).success


def counting(shop: DbtProject, *args: str) -> AssetsDefinition:
    @dbt_assets(manifest=shop.manifest_path, project=shop, select="orders")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["run", *args], context=context).stream().fetch_row_counts()

    return models


def answering(rows: str) -> str:
    shown = {"info": {"name": "ShowNode", "level": "info", "msg": ""}, "data": {"preview": rows}}
    return f"if sys.argv[1] == 'show': print({json.dumps(shown)!r})"


def test_rows_are_counted_where_the_command_built_them(fake_dbt: Any, log: Any, shop: DbtProject):
    result_event = log.built("model.shop.orders")
    result_event["data"]["node_info"]["node_relation"] = {
        "relation_name": '"other"."main"."orders"'
    }
    fake_dbt.prints([log.version(), result_event], then=answering('[{"node": 0, "n": 7}]'))

    result = materialize(
        [counting(shop, "--target", "other")], resources={"dbt": DbtCliResource(shop)}
    )

    assert materialized(result)["orders"]["dagster/row_count"] == 7
    show = fake_dbt.calls[-1]["argv"]
    assert 'from "other"."main"."orders"' in show[2]
    assert show[show.index("--target") + 1] == "other"


@pytest.mark.parametrize("rows", ['[{"node": 0, "n": null}]', '[{"n": "many"}]', "[1]", "nothing"])
def test_a_strange_count_loses_nothing_of_what_was_built(
    rows: str, fake_dbt: Any, log: Any, shop: DbtProject
):
    fake_dbt.prints(told(["model.shop.orders"], log), then=answering(rows))

    result = materialize([counting(shop)], resources={"dbt": DbtCliResource(shop)})

    assert result.success
    assert "dagster/row_count" not in materialized(result)["orders"]


def test_rows_that_cannot_be_counted_are_a_warning(
    fake_dbt: Any, log: Any, shop: DbtProject, capfd: pytest.CaptureFixture[str]
):
    @dbt_assets(manifest=shop.manifest_path, project=shop, select="orders")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["run", "--vars", "a: 1"], context=context).stream().fetch_row_counts()

    fake_dbt.prints(
        told(["model.shop.orders"], log),
        then="""
if sys.argv[1] == "show":
    print(json.dumps({"info": {"name": "Oops", "level": "error", "msg": "no permission"}, "data": {}}))
    sys.exit(1)
""",
    )
    result = materialize([models], resources={"dbt": DbtCliResource(shop)})

    assert "dagster/row_count" not in materialized(result)["orders"]
    assert "no permission" in capfd.readouterr().err
    show = fake_dbt.calls[1]["argv"]
    assert show[:2] == ["show", "--inline"]
    assert show[-2:] == ["--vars", "a: 1"]
    assert 'from "warehouse"."main"."orders"' in show[2]


def test_the_project_that_everybody_begins_with_runs_as_its_text_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`dbt init` makes it: a test of it fails until a line of it is uncommented."""
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [find_dbt(), "init", "my_shop", "--skip-profile-setup"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    folder = tmp_path / "my_shop"
    output = {"type": "duckdb", "path": "shop.duckdb"}
    profiles = {"my_shop": {"target": "dev", "outputs": {"dev": output}}}
    (folder / "profiles.yml").write_text(json.dumps(profiles))
    project = DbtProject(folder)
    project.preparer.prepare(project)

    def run() -> ExecuteInProcessResult:
        @dbt_assets(manifest=project.manifest_path, project=project)
        def starter(context: AssetExecutionContext, dbt: DbtCliResource):
            yield from dbt.cli(["build"], context=context).stream()

        dbt = DbtCliResource(project)
        return materialize([starter], resources={"dbt": dbt}, raise_on_error=False)

    first = run()
    assert "not_null_my_first_dbt_model_id" in failure(first)
    assert set(materialized(first)) == {"my_first_dbt_model"}
    assert checked(first)["unique_my_first_dbt_model_id"] == (True, "ERROR")
    assert checked(first)["not_null_my_first_dbt_model_id"] == (False, "ERROR")

    model = folder / "models" / "example" / "my_first_dbt_model.sql"
    model.write_text(model.read_text().replace("-- where id is not null", "where id is not null"))
    second = run()
    assert second.success
    assert set(materialized(second)) == {"my_first_dbt_model", "my_second_dbt_model"}
    assert all(passed for passed, _ in checked(second).values())
