"""What a sync does in a run: how it begins, goes on, ends, and what is said of it."""

import threading
import time
from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetSelection,
    AssetSpec,
    DagsterInstance,
    Definitions,
    Failure,
    RetryPolicy,
    RunConfig,
    materialize,
)

from connector_watching import watched
from dagweave._kernel.errors import InvalidInput
from dagweave.connector.model import Handle, Wish
from dagweave.fivetran import (
    DagsterFivetranTranslator,
    FivetranConnectorTableProps,
    FivetranMetadataSet,
    FivetranSyncConfig,
    FivetranWorkspace,
    build_fivetran_assets_definitions,
    fivetran_assets,
)
from dagweave.testing import FivetranConnection, FivetranServer, FivetranSync, HttpFault
from dagweave.weaving import TableRef

SHOP = {"shop": ["orders", "customers"]}


@pytest.fixture
def shop(fivetran_server: FivetranServer) -> FivetranConnection:
    return fivetran_server.add_connection("shop", tables=SHOP, columns=["Id", "Name"])


def materialized(result: Any) -> list[str]:
    return sorted(
        event.asset_key.to_user_string() for event in result.get_asset_materialization_events()
    )


def failure(result: Any) -> str:
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    return str(event.event_specific_data.error)


def logged(caplog: pytest.LogCaptureFixture, level: str = "WARNING") -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelname == level)


def test_a_sync_materializes_each_table_and_says_when_it_ended(
    shop: FivetranConnection, sync: Any, caplog: pytest.LogCaptureFixture
):
    result = sync()

    assert materialized(result) == ["shop/customers", "shop/orders"]
    assert shop.begun == ["sync"]
    for event in result.get_asset_materialization_events():
        said = FivetranMetadataSet.extract(event.materialization.metadata)
        assert said.connector_id == "shop_id"
        assert said.sync_completed_at is not None
        assert abs(said.sync_completed_at - time.time()) < 60
        assert "dagster/table_name" in event.materialization.metadata
    assert shop.schedule_type == "manual"
    assert "set to the manual schedule" in logged(caplog)


def test_the_schedule_is_left_alone_where_that_is_wanted(shop: FivetranConnection, sync: Any):
    assert sync(disable_schedule_on_trigger=False).success
    assert shop.schedule_type == "auto"


@pytest.mark.parametrize("looks", [0, 3])
def test_a_sync_is_seen_to_end_however_short_or_long_it_is(
    fivetran_server: FivetranServer, shop: FivetranConnection, sync: Any, looks: int
):
    fivetran_server.script("shop_id", FivetranSync(looks=looks))

    assert sync().success
    assert shop.begun == ["sync"]


def test_only_what_was_selected_is_a_result_and_the_rest_is_reported_as_well(
    shop: FivetranConnection, sync: Any
):
    result = sync(selection=AssetSelection.assets(["shop", "orders"]))

    outputs = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    assert len(outputs) == 1
    assert materialized(result) == ["shop/customers", "shop/orders"]


def test_keys_made_of_the_database_and_the_service_are_found_again_when_it_runs(
    shop: FivetranConnection, make: Any
):
    class Deep(DagsterFivetranTranslator):
        def get_asset_spec(self, props: FivetranConnectorTableProps) -> AssetSpec:
            spec = super().get_asset_spec(props)
            return AssetSpec(AssetKey([str(props.service), str(props.database), *spec.key.path]))

    workspace = make()
    assets = build_fivetran_assets_definitions(
        workspace=workspace, dagster_fivetran_translator=Deep()
    )
    moved = [each.with_attributes(asset_key_replacements={
        AssetKey(["snowflake", "RAW", "shop", "orders"]): AssetKey("moved")
    }) for each in assets]  # fmt: skip

    result = materialize(moved, resources={"fivetran": workspace})

    assert materialized(result) == ["moved", "snowflake/RAW/shop/customers"]


def test_a_table_that_is_new_is_reported_and_one_that_is_gone_is_named(
    shop: FivetranConnection, make: Any, caplog: pytest.LogCaptureFixture
):
    workspace = make()
    assets = build_fivetran_assets_definitions(workspace=workspace)
    shop.tables = {"shop": {"orders": ["id"], "refunds": ["id"]}}

    result = materialize(assets, resources={"fivetran": workspace})

    assert materialized(result) == ["shop/orders", "shop/refunds"]
    assert "synced shop.refunds, which no asset of this definition is" in logged(caplog)
    assert "synced no table for: shop/customers" in logged(caplog)


def test_a_failed_sync_says_what_fivetran_says(
    fivetran_server: FivetranServer, shop: FivetranConnection, sync: Any
):
    fivetran_server.script("shop_id", FivetranSync("failed", message="refresh token expired"))

    text = failure(sync())

    assert "WorkFailed: Fivetran sync of connection 'shop_id' failed" in text
    assert "refresh token expired" in text
    assert "https://fivetran.com/dashboard/connections/shop_id" in text


def test_a_broken_connection_is_not_begun(shop: FivetranConnection, sync: Any):
    shop.setup_state = "broken"
    shop.tasks = [{"code": "reconnect", "message": "Log in again."}]

    text = failure(sync())

    assert "'shop' cannot be synced" in text
    assert "It is broken. reconnect: Log in again." in text
    assert shop.begun == []


@pytest.mark.parametrize(
    ("on_paused", "success", "begun"), [("skip", True, 0), ("fail", False, 0), ("unpause", True, 1)]
)
def test_a_paused_connection_is_skipped_failed_or_unpaused(
    shop: FivetranConnection, sync: Any, on_paused: str, success: bool, begun: int
):
    shop.paused, shop.sync_state = True, "paused"

    result = sync(on_paused=on_paused)

    assert result.success is success
    assert len(shop.begun) == begun
    assert len(materialized(result)) == 2 * begun


@pytest.mark.parametrize(
    ("config", "begun"),
    [
        (FivetranSyncConfig(resync=True), "resync"),
        (
            FivetranSyncConfig(resync=True, resync_parameters={"shop": ["orders"]}),
            "resync {'shop': ['orders']}",
        ),
        (FivetranSyncConfig(), "sync"),
    ],
)
def test_history_is_loaded_again_where_the_run_says_so(
    shop: FivetranConnection, make: Any, config: FivetranSyncConfig, begun: str
):
    workspace = make()

    @fivetran_assets(connector_id="shop_id", workspace=workspace, name="shop")
    def assets(
        context: AssetExecutionContext, fivetran: FivetranWorkspace, config: FivetranSyncConfig
    ):
        yield from fivetran.sync_and_poll(context=context, config=config)

    materialize([assets], resources={"fivetran": workspace}, run_config=RunConfig({"shop": config}))

    assert shop.begun == [begun]


def test_trouble_while_waiting_neither_fails_the_step_nor_stops_the_sync(
    fivetran_server: FivetranServer,
    shop: FivetranConnection,
    make: Any,
    caplog: pytest.LogCaptureFixture,
):
    workspace = make(request_max_retries=0)
    assets = build_fivetran_assets_definitions(workspace=workspace)
    fivetran_server.script("shop_id", FivetranSync(lasts_s=0.3))
    storm = threading.Timer(
        0.15, lambda: fivetran_server.inject(HttpFault.status(502), times=4, on="GET .*/shop_id$")
    )
    shop.schedule_type = "manual"
    started = fivetran_server.called("/sync$")
    storm_begins = threading.Thread(
        target=lambda: (_until(lambda: fivetran_server.called("/sync$") > started), storm.start())
    )
    storm_begins.start()

    assert materialize(assets, resources={"fivetran": workspace}).success
    storm_begins.join()
    assert shop.begun == ["sync"]
    assert not shop.paused


def _until(true: Any) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_state_that_is_not_known_is_waited_on_with_a_warning(
    fivetran_server: FivetranServer,
    shop: FivetranConnection,
    make: Any,
    caplog: pytest.LogCaptureFixture,
):
    fivetran_server.script("shop_id", FivetranSync("endless"))
    workspace = make()
    assets = build_fivetran_assets_definitions(workspace=workspace)

    def later() -> None:
        _until(lambda: shop.begun)
        shop.sync_state = "quiescing"
        _until(lambda: "'quiescing'" in logged(caplog))
        fivetran_server.finish("shop_id")

    thread = threading.Thread(target=later)
    thread.start()
    assert materialize(assets, resources={"fivetran": workspace}).success
    thread.join()
    assert logged(caplog).count("'quiescing', which Dagweave does not know") == 1


def test_a_sync_that_somebody_pauses_is_reported_as_cancelled(
    fivetran_server: FivetranServer, shop: FivetranConnection, sync: Any
):
    fivetran_server.script("shop_id", FivetranSync("endless"))

    def later() -> None:
        _until(lambda: shop.begun)
        shop.paused, shop.sync_state = True, "paused"

    thread = threading.Thread(target=later)
    thread.start()
    text = failure(sync())
    thread.join()
    assert "was paused while it synced" in text


def test_a_sync_that_does_not_end_in_time_goes_on(
    fivetran_server: FivetranServer, shop: FivetranConnection, sync: Any
):
    fivetran_server.script("shop_id", FivetranSync("endless"))

    text = failure(sync(poll_timeout=0.2))

    assert "WaitTimeout: Waited 0.2 s for the Fivetran sync" in text
    assert shop.running is not None


def test_a_step_that_is_tried_again_takes_up_its_sync_and_begins_no_other(
    fivetran_server: FivetranServer, shop: FivetranConnection, make: Any
):
    fivetran_server.script("shop_id", FivetranSync("endless"))
    workspace = make(poll_timeout=0.2)

    @fivetran_assets(connector_id="shop_id", workspace=workspace, name="shop")
    def assets(context: AssetExecutionContext, fivetran: FivetranWorkspace):
        if context.op_execution_context.retry_number == 1:
            fivetran_server.finish("shop_id")
        try:
            yield from fivetran.sync_and_poll(context)
        except Failure as error:
            raise RetryPolicyNeeded(error) from error

    result = _with_retries(assets, workspace)

    assert result.success
    assert shop.begun == ["sync"]
    assert materialized(result) == ["shop/customers", "shop/orders"]


class RetryPolicyNeeded(Exception):
    """Any error, as of a lost worker."""


def _with_retries(assets: Any, workspace: Any, instance: DagsterInstance | None = None) -> Any:
    from dagster import define_asset_job

    job = define_asset_job("all", op_retry_policy=RetryPolicy(max_retries=2))
    defs = Definitions(assets=[assets], jobs=[job], resources={"fivetran": workspace})
    return defs.resolve_job_def("all").execute_in_process(instance=instance, raise_on_error=False)


def test_a_retry_after_a_failed_sync_begins_another(
    fivetran_server: FivetranServer, shop: FivetranConnection, make: Any
):
    fivetran_server.script("shop_id", FivetranSync("failed"))
    workspace = make()
    (assets,) = build_fivetran_assets_definitions(workspace=workspace)

    assert _with_retries(assets, workspace).success
    assert shop.begun == ["sync", "sync"]


def test_a_run_that_does_another_one_all_again_begins_a_sync_of_its_own(
    fivetran_server: FivetranServer, shop: FivetranConnection, make: Any
):
    fivetran_server.script("shop_id", FivetranSync("endless"))
    workspace = make(poll_timeout=0.2)
    (assets,) = build_fivetran_assets_definitions(workspace=workspace)
    defs = Definitions(assets=[assets], resources={"fivetran": workspace})
    job = defs.resolve_implicit_global_asset_job_def()
    with DagsterInstance.ephemeral() as instance:
        first = job.execute_in_process(instance=instance, raise_on_error=False)
        assert not first.success
        run = instance.get_run_by_id(first.run_id)
        assert run is not None
        assert "shop_id" in run.tags["dagweave/sync/shop_id"]
        fivetran_server.finish("shop_id")

        # The tag of another run, as a re-execution of everything copies it, is not taken up.
        again = job.execute_in_process(instance=instance, raise_on_error=False, tags=dict(run.tags))

    assert again.success
    assert shop.begun == ["sync", "sync"]


def test_a_sync_that_somebody_else_began_is_waited_for(
    fivetran_server: FivetranServer, shop: FivetranConnection, sync: Any
):
    fivetran_server.script("shop_id", FivetranSync(looks=4))
    fivetran_server.begin("shop_id")

    assert sync().success
    assert shop.begun == ["schedule"]


def test_another_sync_follows_one_that_ran_already_where_that_is_wanted(
    fivetran_server: FivetranServer, shop: FivetranConnection, sync: Any
):
    fivetran_server.script("shop_id", FivetranSync(looks=4))
    fivetran_server.begin("shop_id")

    assert sync(wait_then_sync=True).success
    assert shop.begun == ["schedule", "sync"]


def test_a_sync_that_is_put_off_is_begun_again_by_the_retry_once_its_time_has_come(
    fivetran_server: FivetranServer, shop: FivetranConnection, sync: Any
):
    fivetran_server.script("shop_id", FivetranSync("rescheduled", rescheduled_s=0.5))

    result = sync()

    assert result.success
    assert [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    assert shop.begun == ["sync", "sync"]


def test_a_step_may_wait_for_a_sync_that_is_put_off(
    fivetran_server: FivetranServer,
    shop: FivetranConnection,
    sync: Any,
    caplog: pytest.LogCaptureFixture,
):
    fivetran_server.script("shop_id", FivetranSync("rescheduled", rescheduled_s=0.5))

    result = sync(retry_on_reschedule=False)

    assert result.success
    assert not [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    assert shop.begun == ["sync", "sync"]
    assert "put off the sync of connection 'shop_id'" in logged(caplog)


def test_columns_are_added_by_the_names_of_the_source(
    fivetran_server: FivetranServer, make: Any, caplog: pytest.LogCaptureFixture
):
    fivetran_server.add_connection("shop", tables={"Shop": ["Orders", "Gone"]}, columns=["Id", "A"])
    workspace = make()

    @fivetran_assets(connector_id="shop_id", workspace=workspace, name="shop")
    def assets(context: AssetExecutionContext, fivetran: FivetranWorkspace):
        yield from fivetran.sync_and_poll(context).fetch_column_metadata()

    fivetran_server.inject(HttpFault.status(400), on="Gone/columns")
    result = materialize([assets], resources={"fivetran": workspace})

    found = {
        event.asset_key.path[-1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    columns = found["orders"]["dagster/column_schema"].value.columns  # type: ignore[union-attr]
    assert [column.name for column in columns] == ["a", "id"]
    assert "dagster/column_schema" not in found["gone"]
    assert "columns of shop.gone could not be fetched" in logged(caplog)


def test_rows_are_counted_by_whom_the_user_names(shop: FivetranConnection, make: Any):
    workspace = make()
    asked: list[TableRef] = []

    def rows(table: TableRef) -> int:
        asked.append(table)
        return 12

    @fivetran_assets(connector_id="shop_id", workspace=workspace, name="shop")
    def assets(context: AssetExecutionContext, fivetran: FivetranWorkspace):
        with pytest.raises(InvalidInput, match="does not know how many rows"):
            fivetran.sync_and_poll(context).fetch_row_count()
        yield from fivetran.sync_and_poll(context).fetch_row_count(rows)

    result = materialize([assets], resources={"fivetran": workspace})

    (event, _) = result.get_asset_materialization_events()
    assert event.materialization.metadata["dagster/row_count"].value == 12
    assert TableRef("ORDERS", "SHOP", "RAW", "snowflake") in asked


def test_a_connection_that_is_gone_is_reported_at_once_with_what_to_do(
    fivetran_server: FivetranServer, shop: FivetranConnection, make: Any
):
    workspace = make()
    assets = build_fivetran_assets_definitions(workspace=workspace)
    fivetran_server.connections = {"shop_ic": shop}
    shop.id = "shop_ic"

    result = materialize(assets, resources={"fivetran": workspace}, raise_on_error=False)

    assert "has no connection 'shop_id'" in failure(result)
    assert "Nearest: shop_ic" in failure(result)


def test_a_key_that_is_refused_fails_the_step_at_once_and_is_not_shown(
    fivetran_server: FivetranServer, shop: FivetranConnection, make: Any
):
    assets = build_fivetran_assets_definitions(workspace=make())
    calls = len(fivetran_server.calls)
    wrong = make(api_secret="my-secret-1")

    result = materialize(
        assets,
        resources={"fivetran": wrong},
        raise_on_error=False,
    )

    assert len(fivetran_server.calls) == calls + 1
    assert "Invalid authorization credentials" in failure(result)
    assert "my-secret-1" not in repr(result.all_events)


def test_many_syncs_are_watched_by_one_call_per_interval(
    fivetran_server: FivetranServer, make: Any
):
    for n in range(8):
        fivetran_server.add_connection(f"c{n}", tables={f"c{n}": ["t"]}, schedule_type="manual")
        fivetran_server.script(f"c{n}_id", FivetranSync(lasts_s=1.2))
    service = make().service()
    handles = [service.start(Handle(f"c{n}_id"), Wish()) for n in range(8)]
    calls = len(fivetran_server.calls)

    took_s = watched(service, handles, interval_s=0.3)

    assert len(fivetran_server.calls) - calls <= took_s / 0.3 + 1
