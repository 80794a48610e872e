from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dagweave.airbyte import AirbyteWorkspace
from dagweave.testing import AirbyteServer


@pytest.fixture
def make(airbyte_server: AirbyteServer) -> Callable[..., AirbyteWorkspace]:
    """A workspace at the server, which is asked as often as one likes."""

    def made(server: AirbyteServer = airbyte_server, **given: Any) -> AirbyteWorkspace:
        standard = {
            "base_url": server.url,
            "rest_api_base_url": server.rest_api_base_url,
            "configuration_api_base_url": server.configuration_api_base_url,
            "workspace_id": server.workspace_id,
            "client_id": server.client_id,
            "client_secret": server.client_secret,
            "poll_interval": 0.02,
            "request_retry_delay": 0.01,
        }
        return AirbyteWorkspace(**(standard | given))

    return made
