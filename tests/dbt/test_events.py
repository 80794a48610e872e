from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    Definitions,
    OpExecutionContext,
    Output,
    asset,
    job,
    materialize,
    op,
)

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliEventMessage,
    DbtCliResource,
    dbt_assets,
)

ORDERS = "model.shop.orders"
CUSTOMERS = "model.shop.customers"
UNIQUE = "test.shop.unique_orders"
RELATED = "test.shop.related"


@pytest.fixture
def manifest(write_manifest: Callable[..., Path]) -> Path:
    return write_manifest(
        {"unique_id": ORDERS},
        {"unique_id": CUSTOMERS, "depends_on": {"nodes": [ORDERS]}},
        {"unique_id": "model.shop.view", "config": {"materialized": "ephemeral"}},
        {"unique_id": UNIQUE, "depends_on": {"nodes": [ORDERS]}, "attached_node": ORDERS},
        {"unique_id": RELATED, "depends_on": {"nodes": [ORDERS, CUSTOMERS]}},
    )


@pytest.fixture
def dbt(fake_dbt: Any, tmp_path: Path) -> DbtCliResource:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dbt_project.yml").write_text("name: shop")
    return DbtCliResource(project_dir=str(folder))


def test_each_node_has_one_result_event_whatever_else_dbt_logs_of_it(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints(
        [
            log.version(),
            log.event("LogStartLine", node_info=log.node_info(ORDERS, "started")),
            log.event("LogBatchResult", execution_time=1, node_info=log.node_info(ORDERS, None)),
            log.finished(ORDERS, level="debug"),  # of a batch, with --debug
            log.built(ORDERS),
            log.finished(ORDERS, level="debug"),
            log.tested(UNIQUE),
            log.tested("unit_test.shop.orders.adds_up"),
            log.event(
                "LogNodeNoOpResult",
                execution_time=0.0,
                node_info=log.node_info("exposure.shop.board", "no-op"),
            ),
            log.event(
                "LogFreshnessResult",
                status="pass",
                execution_time=0.1,
                node_info=log.node_info("source.shop.raw.o", "pass"),
            ),
            log.event(
                "LogFunctionResult",
                status="success",
                execution_time=0.1,
                node_info=log.node_info("function.shop.f", "success"),
            ),
            log.event("RunResultWarning", node_info=log.node_info(UNIQUE, "warn")),
            log.event("CommandCompleted"),
        ]
    )
    events = list(dbt.cli(["build"]).stream_raw_events())

    results = [event for event in events if event.event_type_value == "RunResultEvent"]
    assert [event.raw_event["data"]["node_info"]["unique_id"] for event in results] == [
        ORDERS,
        UNIQUE,
        "unit_test.shop.orders.adds_up",
        "exposure.shop.board",
        "source.shop.raw.o",
        "function.shop.f",
    ]
    assert [event.raw_event["data"]["execution_time"] for event in results] == [
        1.25,
        0.5,
        0.5,
        0,
        0.1,
        0.1,
    ]
    others = [event.event_type_value for event in events if event not in results]
    assert others == [
        "MainReportVersion",
        "LogStartLine",
        "LogBatchResult",
        "NodeFinished",
        "NodeFinished",
        "RunResultWarning",
        "CommandCompleted",
    ]


@pytest.mark.parametrize("level", ["info", "debug"])
@pytest.mark.parametrize("says_both", [False, True])
def test_fusions_results_are_told_once_and_say_the_same(
    level: str, says_both: bool, dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path
):
    both = [log.built(ORDERS)] if says_both else []
    fake_dbt.prints([log.version("2.0.0"), *both, log.finished(ORDERS, level=level)])

    events = list(dbt.cli(["build"], manifest=manifest).stream_raw_events())

    [result] = [event for event in events if event.event_type_value == "RunResultEvent"]
    assert result.raw_event["data"]["node_info"]["unique_id"] == ORDERS
    assert result.raw_event["data"]["execution_time"] == (1.25 if says_both else 2.5)
    [materialization] = result.to_default_asset_events()
    assert isinstance(materialization, AssetMaterialization)
    assert materialization.metadata["status"].value == "success"


def test_outside_of_assets_results_are_materializations_and_evaluations(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path
):
    fake_dbt.prints(
        [
            log.version(),
            log.built(ORDERS),
            log.tested(UNIQUE, "fail", failures=3),
            log.tested(RELATED),
            log.event("CommandCompleted"),
        ],
        exit_code=1,
    )
    told = list(dbt.cli(["build"], manifest=manifest, raise_on_error=False).stream())

    [built, checked, *observed] = told
    assert isinstance(built, AssetMaterialization)
    assert built.asset_key == AssetKey("orders")
    assert {name: value.value for name, value in built.metadata.items()} == {
        "unique_id": ORDERS,
        "invocation_id": "i-1",
        "Execution Duration": 1.5,
        "status": "success",
    }
    assert isinstance(checked, AssetCheckEvaluation)
    assert checked.asset_check_key == AssetCheckKey(AssetKey("orders"), "unique_orders")
    assert not checked.passed
    assert checked.metadata["dagster_dbt/failed_row_count"].value == 3
    assert [type(each) for each in observed] == [AssetObservation, AssetObservation]
    assert {each.asset_key for each in observed} == {AssetKey("orders"), AssetKey("customers")}


def run_in_step(dbt: DbtCliResource, manifest: Path, **settings: bool) -> list[Any]:
    """Materialize all of the manifest's assets, and return what the step yielded."""
    yielded: list[Any] = []
    translator = DagsterDbtTranslator(DagsterDbtTranslatorSettings(**settings))

    @dbt_assets(manifest=manifest, dagster_dbt_translator=translator)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        for event in dbt.cli(["run"], context=context).stream():
            yielded.append(event)
            yield event

    assert materialize([models], resources={"dbt": dbt}).success
    return yielded


def test_in_a_step_of_dbt_assets_results_are_outputs_and_check_results(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path
):
    fake_dbt.prints([log.version(), log.built(ORDERS), log.tested(UNIQUE), log.built(CUSTOMERS)])

    built, checked, _ = run_in_step(dbt, manifest)

    assert isinstance(built, Output)
    assert built.output_name == "orders"
    assert isinstance(checked, AssetCheckResult)
    assert (checked.asset_key, checked.check_name, checked.passed) == (
        AssetKey("orders"),
        "unique_orders",
        True,
    )


@pytest.mark.parametrize(
    ("status", "passed", "severity"),
    [
        ("pass", True, AssetCheckSeverity.ERROR),
        ("success", True, AssetCheckSeverity.ERROR),
        ("warn", False, AssetCheckSeverity.WARN),
    ],
)
def test_a_test_that_warns_does_not_pass_and_weighs_less(
    status: str,
    passed: bool,
    severity: AssetCheckSeverity,
    dbt: DbtCliResource,
    fake_dbt: Any,
    log: Any,
    manifest: Path,
):
    fake_dbt.prints([log.version(), log.tested(UNIQUE, status)])

    [checked] = run_in_step(dbt, manifest)

    assert (checked.passed, checked.severity) == (passed, severity)


@pytest.mark.parametrize("status", ["success", "no-op", "reused", "warn"])
def test_a_node_that_is_up_to_date_is_materialized(
    status: str, dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path
):
    fake_dbt.prints([log.version("2.0.0"), log.finished(ORDERS, status)])

    [built] = run_in_step(dbt, manifest)

    assert built.metadata["status"].value == status


def test_what_was_skipped_failed_or_is_no_table_tells_nothing(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path
):
    fake_dbt.prints(
        [
            log.version("2.0.0"),
            log.finished(ORDERS, "skipped"),
            log.finished(CUSTOMERS, "error"),
            log.finished("model.shop.view"),
            log.finished(UNIQUE, "skipped"),
            log.event(
                "LogHookEndLine",
                execution_time=1,
                node_info=log.node_info("operation.shop.hook", "success"),
            ),
        ]
    )
    assert run_in_step(dbt, manifest) == []


def test_tests_are_observations_where_checks_are_turned_off(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path
):
    fake_dbt.prints([log.version(), log.tested(UNIQUE, "warn", failures=2)])

    [observed] = run_in_step(dbt, manifest, enable_asset_checks=False)

    assert isinstance(observed, AssetObservation)
    assert observed.asset_key == AssetKey("orders")
    assert observed.metadata["status"].value == "warn"


def test_a_test_of_several_parents_says_why_it_is_no_check(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path
):
    fake_dbt.prints([log.version(), log.tested(RELATED)])

    told = run_in_step(dbt, manifest)

    assert {event.asset_key for event in told} == {AssetKey("orders"), AssetKey("customers")}
    assert "related is no asset check: it has several parents" in told[0].description


def test_a_node_that_the_manifest_does_not_know_is_a_warning(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path, capfd: pytest.CaptureFixture[str]
):
    fake_dbt.prints([log.version(), log.built("model.shop.brand_new")])

    assert run_in_step(dbt, manifest) == []
    assert "model.shop.brand_new, which is not in the manifest" in capfd.readouterr().err


def test_an_event_of_a_microbatch_model_has_its_times_in_other_places(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path
):
    batch = log.built(ORDERS)
    batch["data"]["node_info"] |= {
        "node_status": "None",
        "node_started_at": "",
        "node_finished_at": "",
    }
    batch["data"]["status"] = "SUCCESS"
    fake_dbt.prints([log.version(), batch])

    [built] = run_in_step(dbt, manifest)

    assert built.metadata["Execution Duration"].value == 1.25
    assert built.metadata["status"].value == "success"


def test_an_event_alone_needs_a_manifest(log: Any, manifest: Path):
    event = DbtCliEventMessage(log.built(ORDERS), event_history_metadata={})

    with pytest.raises(InvalidInput, match="none is known"):
        list(event.to_default_asset_events())

    [told] = event.to_default_asset_events(manifest=manifest)
    assert isinstance(told, AssetMaterialization)
    assert list(DbtCliEventMessage(log.version(), {}).to_default_asset_events()) == []


def test_an_op_tells_of_assets_by_a_manifest_that_it_is_given(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path
):
    fake_dbt.prints([log.version(), log.built(ORDERS)])

    @op
    def run_dbt(context: OpExecutionContext, dbt: DbtCliResource):
        for event in dbt.cli(["run"], manifest=manifest, context=context).stream():
            context.log_event(event)

    @job
    def nightly():
        run_dbt()

    result = (
        Definitions(jobs=[nightly], resources={"dbt": dbt})
        .get_job_def("nightly")
        .execute_in_process()
    )

    keys = [event.asset_key for event in result.get_asset_materialization_events()]
    assert keys == [AssetKey("orders")]
    assert fake_dbt.calls[0]["argv"] == ["run"]


def test_an_asset_of_another_kind_may_run_dbt_too(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, manifest: Path
):
    @asset
    def mine(context: AssetExecutionContext, dbt: DbtCliResource):
        dbt.cli(["run-operation", "vacuum"], context=context).wait()

    assert materialize([mine], resources={"dbt": dbt}).success
    assert fake_dbt.calls[0]["argv"] == ["run-operation", "vacuum"]
