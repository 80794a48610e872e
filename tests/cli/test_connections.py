"""`dagweave connections`, as a user runs it, against the local servers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dagweave.testing import AirbyteServer, FivetranServer

PIPELINE = """
from dagster import Definitions, EnvVar
from dagweave.airbyte import AirbyteCloudWorkspace, build_airbyte_assets_definitions
from dagweave.fivetran import FivetranWorkspace, build_fivetran_assets_definitions

fivetran = FivetranWorkspace(
    account_id="acme",
    api_key=EnvVar("FIVETRAN_API_KEY"),
    api_secret=EnvVar("FIVETRAN_API_SECRET"),
)
airbyte = AirbyteCloudWorkspace(
    workspace_id=EnvVar("AIRBYTE_WORKSPACE_ID"),
    client_id=EnvVar("AIRBYTE_CLIENT_ID"),
    client_secret=EnvVar("AIRBYTE_CLIENT_SECRET"),
)
defs = Definitions(
    assets=[
        *build_fivetran_assets_definitions(workspace=fivetran),
        *build_airbyte_assets_definitions(workspace=airbyte),
    ],
    resources={"fivetran": fivetran, "airbyte": airbyte},
)
"""


@pytest.fixture
def account(fivetran_server: FivetranServer, airbyte_server: AirbyteServer) -> FivetranServer:
    Path("pipeline.py").write_text(PIPELINE)
    fivetran_server.add_connection("shop", tables={"shop": ["orders"]})
    fivetran_server.add_connection("off", tables={"off": ["t"]}, paused=True)
    airbyte_server.add_connection("books", streams=["titles"])
    return fivetran_server


def dagweave(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("dagweave"), "connections", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_connections_are_listed_with_how_they_are(account: FivetranServer):
    account.finish("shop_id", failed=True)

    shown = dagweave("list", "-f", "pipeline.py", "--json")

    assert shown.returncode == 0, shown.stderr
    found = {each["id"]: each for each in json.loads(shown.stdout)}
    assert found["shop_id"]["state"].startswith("failed: reconnect: The source refused")
    assert found["off_id"]["state"] == "paused"
    assert found["books_id"] == {
        "vendor": "Airbyte",
        "id": "books_id",
        "name": "books",
        "state": "well",
        "last_sync": None,
        "tables": 1,
    }


def test_a_preview_names_keys_and_requests_and_makes_none(
    account: FivetranServer, airbyte_server: AirbyteServer
):
    dagweave("preview", "-f", "pipeline.py")
    calls = len(account.calls) + len(airbyte_server.calls)

    shown = dagweave("preview", "-f", "pipeline.py", "--connection", "shop", "--json")

    (found,) = json.loads(shown.stdout)
    assert found["assets"] == ["shop/orders"]
    assert "POST /v1/connections/shop_id/sync force=false" in found["requests"]
    assert len(account.calls) + len(airbyte_server.calls) == calls
    unknown = dagweave("preview", "-f", "pipeline.py", "--connection", "shup")
    assert unknown.returncode == 1
    assert "is called 'shup'" in unknown.stderr


def test_drift_is_told_until_a_refresh_takes_it_over(account: FivetranServer):
    assert dagweave("drift", "-f", "pipeline.py").returncode == 0
    account.add_connection("new", tables={"new": ["t"]})
    account.connections["shop_id"].tables = {"shop": {"refunds": ["id"]}}

    shown = dagweave("drift", "-f", "pipeline.py", "--json")

    assert shown.returncode == 3
    assert sorted((each["change"], each["what"]) for each in json.loads(shown.stdout)) == [
        ("gone", "table shop.orders of shop (shop_id)"),
        ("new", "connection new (new_id)"),
        ("new", "table new.t of new (new_id)"),
        ("new", "table shop.refunds of shop (shop_id)"),
    ]
    command = [Path(sys.executable).with_name("dagweave"), "refresh", "-f", "pipeline.py"]
    subprocess.run(command, check=True, capture_output=True)
    assert dagweave("drift", "-f", "pipeline.py").returncode == 0
    assert not [call for call in account.calls if not call.startswith("GET")]


def test_a_snapshot_is_written_for_the_account_that_is_named(account: FivetranServer):
    several = dagweave("snapshot", "-f", "pipeline.py", "-o", "kept.json")
    assert several.returncode == 1
    assert "--account" in several.stderr

    written = dagweave("snapshot", "-f", "pipeline.py", "-o", "kept.json", "--account", "acme")

    assert written.returncode == 0, written.stderr
    assert "shop_id" in Path("kept.json").read_text()
