"""The account as a component: YAML, state, sensor, health, overrides."""

from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, Definitions

from dagweave.fivetran import FivetranAccountComponent
from dagweave.testing import FivetranServer

ATTRIBUTES = {
    "workspace": {
        "account_id": "acme",
        "api_key": "{{ env.FIVETRAN_API_KEY }}",
        "api_secret": "{{ env.FIVETRAN_API_SECRET }}",
        "poll_interval": 0.02,
    },
    "connector_selector": {"by_name": ["shop"]},
    "polling_sensor": True,
    "include_metadata": ["column_metadata"],
    "translation": {"key": "raw/{{ props.table_name }}"},
}


@pytest.fixture
def server(fivetran_server: FivetranServer) -> FivetranServer:
    fivetran_server.add_connection("shop", tables={"shop": ["orders"]}, columns=["id"])
    fivetran_server.add_connection("books", tables={"books": ["titles"]})
    return fivetran_server


def load(attributes: Any, folder: Path) -> tuple[FivetranAccountComponent, Definitions]:
    component = FivetranAccountComponent.from_attributes_dict(attributes=attributes)
    state = folder / "state.json"
    component.write_state_to_path(state)
    context: Any = None
    return component, component.build_defs_from_state(context, state)


def test_yaml_becomes_assets_a_sensor_and_checks_that_run(server: FivetranServer, tmp_path: Path):
    component, defs = load(ATTRIBUTES, tmp_path)

    assert component.defs_state_config.key == "FivetranAccountComponent[acme]"
    (sensor,) = defs.sensors or ()
    assert sensor.name == "fivetran_acme__sync_status_sensor"
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process()
    (event,) = result.get_asset_materialization_events()
    assert event.asset_key == AssetKey(["raw", "orders"])
    assert "dagster/column_schema" in event.materialization.metadata
    (check,) = result.get_asset_check_evaluations()
    assert check.asset_key == AssetKey(["raw", "orders"])


def test_without_state_there_are_no_definitions(server: FivetranServer, tmp_path: Path):
    component, _ = load(ATTRIBUTES, tmp_path)
    context: Any = None

    assert not component.build_defs_from_state(context, None).assets


def test_state_that_is_not_ours_is_named_with_what_to_do(server: FivetranServer, tmp_path: Path):
    component, _ = load(ATTRIBUTES, tmp_path)
    state = tmp_path / "other.json"
    state.write_text('{"__class__": "FivetranWorkspaceData"}')
    context: Any = None

    with pytest.raises(Exception, match="refresh-defs-state"):
        component.build_defs_from_state(context, state)
