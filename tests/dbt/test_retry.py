"""What a retry runs: what failed or was skipped, no more; what is downstream in Dagster runs too."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    JobDefinition,
    JobExecutionResult,
    ReexecutionOptions,
    RetryPolicy,
    asset,
    define_asset_job,
    execute_job,
    in_process_executor,
    materialize,
    reconstructable,
)

from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets

STAGING = {"model.shop.stg_orders", "model.shop.stg_customers"}
EVERY_MODEL = STAGING | {
    "model.shop.orders",
    "model.shop.revenue",
    "model.shop.dim_customers.v1",
    "model.shop.dim_customers.v2",
    "seed.shop.countries",
    "snapshot.shop.order_history",
}
FROM_STG_ORDERS = {
    "model.shop.stg_orders",
    "model.shop.orders",
    "model.shop.revenue",
    "snapshot.shop.order_history",
}


class Runs:
    """What each dbt command ran to its end, by node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def statuses(self) -> list[dict[str, str]]:
        files = sorted(
            self._folder.glob("target/*/run_results.json"), key=lambda path: path.stat().st_mtime_ns
        )
        return [
            {
                each["unique_id"]: each["status"]
                for each in json.loads(file.read_text())["results"]
                if not each["unique_id"].startswith(("operation.", "exposure."))
            }
            for file in files
        ]

    def models(self, at: int) -> set[str]:
        return {id_ for id_ in self.statuses[at] if not id_.startswith(("test.", "unit_test."))}

    def tests(self, at: int) -> set[str]:
        """By name, without the hash that may follow it."""
        return {id_.split(".")[2] for id_ in self.statuses[at] if id_.startswith("test.")}


@pytest.fixture
def runs(shop: DbtProject) -> Runs:
    return Runs(shop.project_dir)


def built(result: ExecuteInProcessResult | JobExecutionResult) -> list[str]:
    return [
        str(event.materialization.metadata["unique_id"].value)
        for event in result.all_events
        if event.is_step_materialization and "unique_id" in event.materialization.metadata
    ]


@asset(deps=[AssetKey(["finance", "revenue"])])
def report() -> None: ...


@pytest.fixture
def make(shop: DbtProject) -> Callable[..., AssetsDefinition]:
    """A definition of the shop whose dbt is given other variables at each attempt."""

    def made(variables: Callable[[int], Mapping[str, Any]], **options: Any) -> AssetsDefinition:
        @dbt_assets(
            manifest=shop.manifest_path,
            project=shop,
            retry_policy=RetryPolicy(max_retries=1),
            **options,
        )
        def models(context: AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
            given = json.dumps(variables(context.retry_number))
            yield from dbt.cli(["build", "--vars", given], context=context).stream()

        return models

    return made


def test_a_retry_of_the_step_runs_what_failed_or_was_skipped_and_then_what_is_downstream(
    shop: DbtProject, make: Callable[..., AssetsDefinition], runs: Runs
):
    models = make(lambda attempt: {"bad_rows": attempt == 0})

    result = materialize([models, report], resources={"dbt": DbtCliResource(shop)})

    assert result.success
    assert runs.models(0) == EVERY_MODEL
    assert runs.statuses[0]["model.shop.orders"] == "skipped"
    assert runs.models(1) == FROM_STG_ORDERS
    assert runs.tests(1) >= {"not_null_stg_orders_id", "unique_orders_id", "orders_match_customers"}
    assert "unique_stg_customers_id" not in runs.tests(1)
    told = built(result)
    twice = (EVERY_MODEL - FROM_STG_ORDERS) | {"model.shop.stg_orders"}
    assert {id_ for id_ in told if told.count(id_) == 2} == twice
    assert AssetKey("report") in {e.asset_key for e in result.get_asset_materialization_events()}


def test_what_is_not_built_again_says_which_run_built_it(
    shop: DbtProject, make: Callable[..., AssetsDefinition]
):
    models = make(lambda attempt: {"bad_rows": attempt == 0})

    result = materialize([models], resources={"dbt": DbtCliResource(shop)})

    last = result.asset_materializations_for_node("models")
    [seed] = [m for m in last if m.asset_key == AssetKey("countries")][1:]
    assert seed.metadata["dagweave/built_in_run"].value == result.run_id
    assert seed.metadata["status"].value == "success"


def test_a_resource_that_says_so_runs_everything_again(
    shop: DbtProject, make: Callable[..., AssetsDefinition], runs: Runs
):
    models = make(lambda attempt: {"bad_rows": attempt == 0})

    result = materialize(
        [models], resources={"dbt": DbtCliResource(shop, retry_only_unfinished=False)}
    )

    assert result.success
    assert runs.models(1) == EVERY_MODEL


def test_a_retry_with_nothing_left_to_do_runs_nothing(shop: DbtProject, runs: Runs):
    @dbt_assets(manifest=shop.manifest_path, project=shop, retry_policy=RetryPolicy(max_retries=1))
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()
        if context.retry_number == 0:
            raise RuntimeError("after dbt")

    result = materialize([models, report], resources={"dbt": DbtCliResource(shop)})

    assert result.success
    assert runs.models(0) == EVERY_MODEL
    assert [runs.models(at) for at in range(1, len(runs.statuses))] in ([], [set[str]()])


def test_several_commands_of_one_step_each_take_up_what_is_theirs(shop: DbtProject, runs: Runs):
    @dbt_assets(manifest=shop.manifest_path, project=shop, retry_policy=RetryPolicy(max_retries=1))
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        variables = json.dumps({"broken": context.retry_number == 0})
        for command in ("seed", "run", "snapshot", "test"):
            yield from dbt.cli([command, "--vars", variables], context=context).stream()

    result = materialize([models, report], resources={"dbt": DbtCliResource(shop)})

    assert result.success
    assert runs.models(0) == {"seed.shop.countries"}
    assert set[str]().union(*(runs.models(at) for at in range(2, 6))) == FROM_STG_ORDERS
    assert "not_null_stg_orders_id" in runs.tests(-1)


SHOP = "DAGWEAVE_TEST_SHOP"
BAD_ROWS = "DAGWEAVE_TEST_BAD_ROWS"


def shop_job() -> JobDefinition:
    """A job over the shop, as a run in another process finds it."""
    project = DbtProject(os.environ[SHOP])

    @dbt_assets(manifest=project.manifest_path, project=project)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        given = json.dumps({"bad_rows": BAD_ROWS in os.environ})
        yield from dbt.cli(["build", "--vars", given], context=context).stream()

    return Definitions(
        assets=[models, report],
        jobs=[define_asset_job("shop", AssetSelection.all())],
        resources={"dbt": DbtCliResource(project)},
        executor=in_process_executor,
    ).resolve_job_def("shop")


def shop_job_loaded_again() -> JobDefinition:
    """The same, by another name: Dagster keeps what it has once loaded in a process."""
    return shop_job()


@pytest.fixture
def failed_run(
    shop: DbtProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[DagsterInstance, str]]:
    monkeypatch.setenv(SHOP, str(shop.project_dir))
    monkeypatch.setenv(BAD_ROWS, "1")
    home = tmp_path / "home"
    home.mkdir()
    with (
        DagsterInstance.local_temp(str(home)) as instance,
        execute_job(reconstructable(shop_job), instance) as failed,
    ):
        assert not failed.success
        monkeypatch.delenv(BAD_ROWS)
        yield instance, failed.run_id


def test_a_run_that_takes_up_a_failed_one_runs_what_was_left_and_what_is_downstream(
    failed_run: tuple[DagsterInstance, str], runs: Runs
):
    instance, failed = failed_run

    options = ReexecutionOptions.from_failure(failed, instance)
    with execute_job(reconstructable(shop_job), instance, reexecution_options=options) as again:
        assert again.success
        assert runs.models(1) == FROM_STG_ORDERS
        assert set(built(again)) == EVERY_MODEL
        assert "report" in {e.step_key for e in again.all_events if e.is_step_success}
        said = {
            check.check_name: check.passed
            for event in again.all_events
            if (check := event.event_specific_data).__class__.__name__ == "AssetCheckEvaluation"
        }
    assert said["not_null_stg_orders_id"]
    assert said["unique_stg_orders_id"]


def test_a_run_that_does_all_of_another_again_builds_everything(
    failed_run: tuple[DagsterInstance, str], runs: Runs
):
    instance, failed = failed_run

    options = ReexecutionOptions(failed)
    with execute_job(reconstructable(shop_job), instance, reexecution_options=options) as again:
        assert again.success
    assert runs.models(1) == EVERY_MODEL


def test_what_changed_since_is_built_again_with_all_that_stands_on_it(
    failed_run: tuple[DagsterInstance, str], shop: DbtProject, runs: Runs
):
    instance, failed = failed_run
    changed = shop.project_dir / "models" / "staging" / "stg_customers.sql"
    changed.write_text(changed.read_text() + "\nwhere true")
    shop.preparer.prepare(shop)

    job = reconstructable(shop_job_loaded_again)
    options = ReexecutionOptions.from_failure(failed, instance)
    with execute_job(job, instance, reexecution_options=options) as again:
        assert again.success
    dimensions = {"model.shop.dim_customers.v1", "model.shop.dim_customers.v2"}
    assert runs.models(1) == {"model.shop.stg_customers"} | dimensions | FROM_STG_ORDERS
