"""The local servers of Fivetran and Airbyte, held against clients that the vendors wrote."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

from dagweave.testing import AirbyteServer, FivetranServer

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "emulators" / "vendor-clients"


def drive(script: str, *arguments: str) -> Any:
    python = ROOT / ".venvs" / "emulator-vendor-clients" / "bin" / "python"
    done = subprocess.run(
        [python, CLIENTS / script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_sdk_of_airbyte_takes_all_that_the_server_says(airbyte_server: AirbyteServer):
    airbyte_server.add_connection("shop", streams=["orders"], connection_id="shop_id")

    got = drive(
        "airbyte.py",
        airbyte_server.rest_api_base_url,
        airbyte_server.workspace_id,
        airbyte_server.client_id,
        airbyte_server.client_secret,
        "shop_id",
    )

    assert got == {
        "connections": ["shop_id"],
        "streams": ["orders"],
        "destinations": ["snowflake"],
        "states": ["pending", "running", "succeeded"],
        "jobs": [1],
        "cancelled": "cancelled",
    }


def test_the_command_line_of_fivetran_finds_its_way_about_the_server(
    fivetran_server: FivetranServer,
):
    fivetran_server.add_connection("shop", tables={"shop": ["orders"]})
    fivetran_server.add_connection("books", tables={"books": ["titles"]})
    pair = f"{fivetran_server.api_key}:{fivetran_server.api_secret}"
    key = base64.b64encode(pair.encode()).decode()

    got = drive("fivetran.py", fivetran_server.url, key, "name_of_group", "shop")

    assert got["group"] == ["group", "name_of_group"]
    assert got["found"] == ["shop_id", "postgres"]
    assert got["detail"]["status"]["setup_state"] == "connected"
