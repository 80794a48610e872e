"""What is reported of syncs that Fivetran runs by itself, and of connections that are not well."""

import json
from typing import Any

import pytest
from dagster import (
    AssetCheckSeverity,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetSelection,
    DagsterInstance,
    DefaultSensorStatus,
    Definitions,
    EnvVar,
    Failure,
    build_sensor_context,
    define_asset_job,
    materialize,
)

from dagweave.fivetran import (
    FivetranWorkspace,
    build_fivetran_assets_definitions,
    build_fivetran_health_checks,
    build_fivetran_polling_sensor,
)
from dagweave.testing import FivetranServer, HttpFault


@pytest.fixture
def server(fivetran_server: FivetranServer) -> FivetranServer:
    for name in ("shop", "books"):
        fivetran_server.add_connection(name, tables={name: ["t"]})
    return fivetran_server


def tick(sensor: Any, cursor: str | None = None, **given: Any) -> Any:
    # An instance that is left to the collector of garbage warns in whatever test it is collected.
    with DagsterInstance.ephemeral() as own:
        return sensor(build_sensor_context(cursor=cursor, **{"instance": own, **given}))


def test_each_sync_is_reported_once_by_one_call_for_all_connections(
    server: FivetranServer, make: Any
):
    sensor = build_fivetran_polling_sensor(workspace=make())
    make().load_asset_specs()
    calls = len(server.calls)

    nothing = tick(sensor)
    server.finish("shop_id")
    first = tick(sensor, nothing.cursor)
    second = tick(sensor, first.cursor)

    assert nothing.asset_events == []
    (event,) = first.asset_events
    assert isinstance(event, AssetMaterialization)
    assert event.asset_key == AssetKey(["shop", "t"])
    assert event.metadata["dagster-fivetran/sync_completed_at"].value
    assert event.metadata["dagster/table_name"].value == "RAW.shop.t"
    assert second.asset_events == []
    assert server.calls[calls:] == ["GET /v1/connections"] * 3


def test_the_sensor_runs_and_is_called_as_the_official_one(server: FivetranServer, make: Any):
    sensor = build_fivetran_polling_sensor(workspace=make())

    assert sensor.name == "fivetran_acme__sync_status_sensor"
    assert sensor.default_status is DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 30


def test_the_cursor_of_the_official_sensor_is_understood(server: FivetranServer, make: Any):
    server.finish("shop_id")
    ended = make().get_client().connection("shop_id").last_sync_completed_at.timestamp()
    official = {
        "__class__": "FivetranPollingSensorCursor",
        "effective_timestamp_by_connector_id": {"shop_id": ended},
    }

    sensor = build_fivetran_polling_sensor(workspace=make())

    assert tick(sensor, json.dumps(official)).asset_events == []
    assert len(tick(sensor, "not a cursor").asset_events) == 1


def test_a_sync_that_a_run_recorded_is_not_reported_again(server: FivetranServer, make: Any):
    workspace = make()
    assets = build_fivetran_assets_definitions(
        workspace=workspace, connector_selector_fn=lambda connector: connector.id == "shop_id"
    )
    sensor = build_fivetran_polling_sensor(workspace=workspace)
    with DagsterInstance.ephemeral() as instance:
        materialize(assets, resources={"fivetran": workspace}, instance=instance)

        assert tick(sensor, instance=instance).asset_events == []


def test_a_sync_that_failed_is_reported_with_what_fivetran_says(server: FivetranServer, make: Any):
    server.finish("shop_id", failed=True)

    (event,) = tick(build_fivetran_polling_sensor(workspace=make())).asset_events

    assert isinstance(event, AssetObservation)
    assert "The source refused" in event.metadata["dagweave/sync_failed"].value


def test_keys_are_those_of_the_assets_whatever_became_of_them(server: FivetranServer, make: Any):
    workspace = make()
    moved = [
        each.with_attributes(
            asset_key_replacements={key: key.with_prefix("moved") for key in each.keys}
        )
        for each in build_fivetran_assets_definitions(workspace=workspace)
    ]
    defs = Definitions(assets=moved, resources={"fivetran": workspace})
    server.finish("shop_id")

    sensor = build_fivetran_polling_sensor(workspace=workspace)
    (event,) = tick(sensor, definitions=defs).asset_events

    assert event.asset_key == AssetKey(["moved", "shop", "t"])


def test_credentials_of_the_environment_are_used_by_the_sensor(
    server: FivetranServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FIVETRAN_ACCOUNT", "from-env")
    workspace = FivetranWorkspace(
        account_id=EnvVar("FIVETRAN_ACCOUNT"),
        api_key=EnvVar("FIVETRAN_API_KEY"),
        api_secret=EnvVar("FIVETRAN_API_SECRET"),
    )
    server.finish("shop_id")

    sensor = build_fivetran_polling_sensor(workspace=workspace)
    assert sensor.name == "fivetran_from_env__sync_status_sensor"
    assert len(tick(sensor).asset_events) == 1


def test_a_tick_that_fivetran_does_not_answer_fails_and_loses_nothing(
    server: FivetranServer, make: Any
):
    workspace = make(request_max_retries=0)
    workspace.load_asset_specs()
    sensor = build_fivetran_polling_sensor(workspace=workspace)
    server.finish("shop_id")
    server.inject(HttpFault.status(503))

    with pytest.raises(Failure, match="did not answer"):
        tick(sensor)
    assert len(tick(sensor).asset_events) == 1


def test_health_says_of_each_connection_whether_it_is_well(server: FivetranServer, make: Any):
    server.connections["shop_id"].setup_state = "broken"
    server.add_connection("paused", tables={"paused": ["t", "u"]}, paused=True)
    server.add_connection("failed", tables={"failed": ["t"]})
    server.finish("failed_id", failed=True)
    workspace = make()
    checks = build_fivetran_health_checks(workspace=workspace)
    calls = len(server.calls)
    job = define_asset_job("health", AssetSelection.all_asset_checks())
    defs = Definitions(
        assets=build_fivetran_assets_definitions(workspace=workspace),
        asset_checks=checks,
        jobs=[job],
        resources={"fivetran": workspace},
    )

    result = defs.resolve_job_def("health").execute_in_process()

    found = {
        each.asset_key.path[0]: (each.passed, each.severity, each.description)
        for each in result.get_asset_check_evaluations()
    }
    assert found["books"][0]
    assert found["shop"] == (False, AssetCheckSeverity.ERROR, "It is broken.")
    assert found["paused"] == (False, AssetCheckSeverity.WARN, "It is paused.")
    assert found["failed"][:2] == (False, AssetCheckSeverity.ERROR)
    assert "The source refused" in str(found["failed"][2])
    assert server.calls[calls:] == ["GET /v1/connections"]
