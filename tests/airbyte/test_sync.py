"""What a sync does in a run: how it begins, goes on, ends, and what is said of it."""

from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetSelection,
    DagsterInstance,
    Definitions,
    RetryPolicy,
    RunConfig,
    build_sensor_context,
    define_asset_job,
    materialize,
)

from connector_watching import watched
from dagweave.airbyte import (
    AirbyteSyncConfig,
    AirbyteWorkspace,
    AirbyteWorkspaceComponent,
    airbyte_assets,
    build_airbyte_assets_definitions,
    build_airbyte_health_checks,
    build_airbyte_polling_sensor,
)
from dagweave.connector.model import Handle, Wish
from dagweave.testing import AirbyteConnection, AirbyteServer, AirbyteStream, AirbyteSync, HttpFault


@pytest.fixture
def shop(airbyte_server: AirbyteServer) -> AirbyteConnection:
    return airbyte_server.add_connection("shop", streams=["orders", "customers"])


def sync(workspace: AirbyteWorkspace, **given: Any) -> Any:
    assets = build_airbyte_assets_definitions(workspace=workspace)
    resources = {"airbyte": workspace}
    return materialize(assets, resources=resources, raise_on_error=False, **given)


def materialized(result: Any) -> list[str]:
    return sorted(
        event.asset_key.to_user_string() for event in result.get_asset_materialization_events()
    )


def failure(result: Any) -> str:
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    return str(event.event_specific_data.error)


def warned(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelname == "WARNING")


def test_a_sync_says_its_job_and_how_much_it_wrote_of_each_stream(
    airbyte_server: AirbyteServer, shop: AirbyteConnection, make: Any
):
    airbyte_server.script("shop_id", AirbyteSync(rows=7))

    result = sync(make())

    assert materialized(result) == ["customers", "orders"]
    for event in result.get_asset_materialization_events():
        said = event.materialization.metadata
        assert said["dagster-airbyte/job_id"].value == "1"
        assert said["dagster-airbyte/rows_synced"].value == 7
        assert said["dagster-airbyte/bytes_synced"].value == 700
        assert said["dagster/table_name"].value.startswith("RAW.PUBLIC.")


@pytest.mark.parametrize(
    "states", [(), ("pending", "queued", "running", "incomplete", "running"), ("thawing",)]
)
def test_a_job_is_seen_to_end_whatever_its_states_were(
    airbyte_server: AirbyteServer,
    shop: AirbyteConnection,
    make: Any,
    states: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
):
    airbyte_server.script("shop_id", AirbyteSync(states=states))

    assert sync(make()).success
    assert airbyte_server.begun("shop_id") == ["sync"]
    assert airbyte_server.called("DELETE") == 0
    assert ("'thawing', which Dagweave does not know" in warned(caplog)) is ("thawing" in states)


@pytest.mark.parametrize("partial", [False, True])
def test_a_failed_job_says_what_airbyte_tells_users(
    airbyte_server: AirbyteServer, shop: AirbyteConnection, make: Any, partial: bool
):
    airbyte_server.script(
        "shop_id", AirbyteSync("failed", message="Password expired.", partial=partial)
    )

    text = failure(sync(make()))

    assert "Airbyte sync of connection 'shop_id' failed" in text
    assert "Job 1 failed. Password expired." in text
    assert ("Some of the streams were written" in text) is partial


def test_a_job_that_was_cancelled_at_airbyte_fails_the_step(
    airbyte_server: AirbyteServer, shop: AirbyteConnection, make: Any
):
    airbyte_server.script("shop_id", AirbyteSync("cancelled"))

    assert "was cancelled" in failure(sync(make()))


def test_a_storm_while_waiting_neither_fails_the_step_nor_cancels_the_job(
    airbyte_server: AirbyteServer, shop: AirbyteConnection, make: Any
):
    airbyte_server.inject(HttpFault.status(502), times=5, on="GET .*/jobs/1$")

    assert sync(make(request_max_retries=0)).success
    assert airbyte_server.called("DELETE") == 0
    assert airbyte_server.begun("shop_id") == ["sync"]


def test_an_answer_that_is_lost_begins_no_second_job(
    airbyte_server: AirbyteServer, shop: AirbyteConnection, make: Any
):
    airbyte_server.inject(HttpFault.reply_lost(), on="POST .*/jobs$")

    assert sync(make()).success
    assert airbyte_server.begun("shop_id") == ["sync"]


@pytest.mark.parametrize(
    ("given", "success", "begun"),
    [
        ({}, False, 1),
        ({"poll_previous_running_sync": True}, True, 1),
        ({"wait_then_sync": True}, True, 2),
    ],
)
def test_a_job_that_somebody_else_began_fails_the_step_or_is_waited_for(
    airbyte_server: AirbyteServer,
    shop: AirbyteConnection,
    make: Any,
    given: dict[str, bool],
    success: bool,
    begun: int,
):
    airbyte_server.begin("shop_id")

    result = sync(make(**given))

    assert result.success is success
    assert len(airbyte_server.jobs) == begun
    if not success:
        assert "syncs already (job 1)" in failure(result)
        assert "poll_previous_running_sync" in failure(result)


def test_a_step_that_is_tried_again_takes_up_its_job(
    airbyte_server: AirbyteServer, shop: AirbyteConnection, make: Any
):
    airbyte_server.script("shop_id", AirbyteSync("endless"))
    workspace = make(poll_timeout=0.1)

    @airbyte_assets(connection_id="shop_id", workspace=workspace, name="shop")
    def assets(context: AssetExecutionContext, airbyte: AirbyteWorkspace):
        if context.op_execution_context.retry_number == 1:
            airbyte_server.finish("shop_id")
        yield from airbyte.sync_and_poll(context)

    job = define_asset_job("all", op_retry_policy=RetryPolicy(max_retries=2))
    defs = Definitions(assets=[assets], jobs=[job], resources={"airbyte": workspace})
    result = defs.resolve_job_def("all").execute_in_process(raise_on_error=False)

    assert result.success
    assert len(airbyte_server.jobs) == 1


@pytest.mark.parametrize(
    ("config", "kind", "streams"),
    [
        (AirbyteSyncConfig(resync=True), "refresh", None),
        (
            AirbyteSyncConfig(resync=True, resync_streams={"": ["orders"]}),
            "refresh",
            [{"streamName": "orders"}],
        ),
        (AirbyteSyncConfig(resync=True, resync_mode="clear"), "clear", None),
        (
            AirbyteSyncConfig(resync=True, resync_mode="clear", resync_streams={"": ["orders"]}),
            "clear",
            [{"streamName": "orders"}],
        ),
    ],
)
def test_history_is_loaded_again_or_cleared_where_the_run_says_so(
    airbyte_server: AirbyteServer,
    shop: AirbyteConnection,
    make: Any,
    config: AirbyteSyncConfig,
    kind: str,
    streams: Any,
):
    result = _configured(make(), config)

    assert result.success
    (job,) = airbyte_server.jobs.values()
    assert (job.kind, job.streams) == (kind, streams)


def _configured(workspace: AirbyteWorkspace, config: AirbyteSyncConfig) -> Any:
    @airbyte_assets(connection_id="shop_id", workspace=workspace, name="shop")
    def assets(
        context: AssetExecutionContext, airbyte: AirbyteWorkspace, config: AirbyteSyncConfig
    ):
        yield from airbyte.sync_and_poll(context, config)

    return materialize(
        [assets],
        resources={"airbyte": workspace},
        run_config=RunConfig({"shop": config}),
        raise_on_error=False,
    )


def test_a_stream_that_there_is_not_is_named(
    airbyte_server: AirbyteServer, shop: AirbyteConnection, make: Any
):
    config = AirbyteSyncConfig(resync=True, resync_streams={"": ["order"]})

    assert "has no stream order" in failure(_configured(make(), config))
    assert airbyte_server.jobs == {}


@pytest.mark.parametrize(
    ("on_paused", "success", "begun"), [("skip", True, 0), ("fail", False, 0), ("unpause", True, 1)]
)
def test_an_inactive_connection_is_skipped_failed_or_activated(
    airbyte_server: AirbyteServer,
    shop: AirbyteConnection,
    make: Any,
    on_paused: str,
    success: bool,
    begun: int,
):
    shop.status = "inactive"

    assert sync(make(on_paused=on_paused)).success is success
    assert len(airbyte_server.jobs) == begun


def test_the_public_api_alone_syncs(make: Any):
    with AirbyteServer(with_configuration_api=False) as server:
        server.add_connection("shop", streams=[AirbyteStream("orders", "eu")])
        server.script("shop_id", AirbyteSync(), AirbyteSync("failed"))
        workspace = make(server, public_api_only=True)

        assert materialized(sync(workspace)) == ["orders"]
        assert "Job 2 failed." in failure(sync(workspace))
        config = AirbyteSyncConfig(resync=True)
        assert "Configuration API is needed" in failure(_configured(workspace, config))


def test_many_jobs_are_watched_by_one_call_per_interval(airbyte_server: AirbyteServer, make: Any):
    for n in range(8):
        airbyte_server.add_connection(f"c{n}", streams=["t"])
        airbyte_server.script(f"c{n}_id", AirbyteSync(lasts_s=1.2))
    service = make().service()
    handles = [service.start(Handle(f"c{n}_id"), Wish()) for n in range(8)]
    calls = len(airbyte_server.calls)

    took_s = watched(service, handles, interval_s=0.3)

    assert len(airbyte_server.calls) - calls <= took_s / 0.3 + 1


def tick(sensor: Any, cursor: str | None = None) -> Any:
    # An instance that is left to the collector of garbage warns in whatever test it is collected.
    with DagsterInstance.ephemeral() as instance:
        return sensor(build_sensor_context(cursor=cursor, instance=instance))


def test_syncs_that_airbyte_runs_by_itself_are_reported_once(
    airbyte_server: AirbyteServer, shop: AirbyteConnection, make: Any
):
    airbyte_server.add_connection("books", streams=["titles"])
    sensor = build_airbyte_polling_sensor(workspace=make())
    before = tick(sensor)
    airbyte_server.begin("shop_id")
    airbyte_server.finish("shop_id")
    airbyte_server.begin("books_id")
    airbyte_server.finish("books_id", "failed")
    calls = len(airbyte_server.calls)

    first = tick(sensor, before.cursor)
    second = tick(sensor, first.cursor)

    kinds = {event.asset_key.path[0]: type(event) for event in first.asset_events}
    assert kinds == {
        "orders": AssetMaterialization,
        "customers": AssetMaterialization,
        "titles": AssetObservation,
    }
    assert (before.asset_events, second.asset_events) == ([], [])
    lists = [call for call in airbyte_server.calls[calls:] if call.endswith("/v1/jobs")]
    assert len(lists) == 2


def test_health_says_of_each_connection_whether_it_is_well(
    airbyte_server: AirbyteServer, shop: AirbyteConnection, make: Any
):
    airbyte_server.add_connection("books", streams=["titles"], status="inactive")
    airbyte_server.begin("shop_id")
    airbyte_server.finish("shop_id", "failed")
    workspace = make()

    defs = Definitions(
        assets=build_airbyte_assets_definitions(workspace=workspace),
        asset_checks=build_airbyte_health_checks(workspace=workspace),
        jobs=[define_asset_job("health", AssetSelection.all_asset_checks())],
        resources={"airbyte": workspace},
    )
    result = defs.resolve_job_def("health").execute_in_process()

    found = {e.asset_key.path[0]: e for e in result.get_asset_check_evaluations()}
    assert not found["orders"].passed
    assert "The source refused" in str(found["orders"].description)
    assert found["titles"].description == "It is paused."


def test_yaml_becomes_assets_and_a_sensor_that_run(
    airbyte_server: AirbyteServer, shop: AirbyteConnection, tmp_path: Any
):
    airbyte_server.add_connection("books", streams=["titles"])
    component = AirbyteWorkspaceComponent.from_attributes_dict(
        attributes={
            "workspace": {
                "workspace_id": "{{ env.AIRBYTE_WORKSPACE_ID }}",
                "client_id": "{{ env.AIRBYTE_CLIENT_ID }}",
                "client_secret": "{{ env.AIRBYTE_CLIENT_SECRET }}",
                "poll_interval": 0.02,
            },
            "connection_selector": {"by_id": ["shop_id"]},
            "polling_sensor": True,
            "translation": {"key": "raw/{{ props.table_name }}"},
        }
    )
    state = tmp_path / "state.json"
    component.write_state_to_path(state)
    context: Any = None
    defs = component.build_defs_from_state(context, state)

    assert component.defs_state_config.key.startswith("AirbyteWorkspaceComponent[")
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process()
    assert {e.asset_key for e in result.get_asset_materialization_events()} == {
        AssetKey(["raw", "orders"]),
        AssetKey(["raw", "customers"]),
    }
    assert len(list(defs.sensors or ())) == 1
