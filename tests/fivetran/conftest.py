from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dagster import AssetsDefinition, DagsterInstance, ExecuteInProcessResult, materialize

from dagweave.fivetran import FivetranWorkspace, build_fivetran_assets_definitions
from dagweave.testing import FivetranServer

Workspace = Callable[..., FivetranWorkspace]


@pytest.fixture
def make(fivetran_server: FivetranServer) -> Workspace:
    """A workspace at the server, which is asked as often as one likes."""

    def made(**given: Any) -> FivetranWorkspace:
        standard = {
            "account_id": "acme",
            "api_key": fivetran_server.api_key,
            "api_secret": fivetran_server.api_secret,
            "poll_interval": 0.02,
            "request_retry_delay": 0.01,
        }
        return FivetranWorkspace(**(standard | given))

    return made


@pytest.fixture
def sync(make: Workspace) -> Callable[..., ExecuteInProcessResult]:
    """Sync all connections once, in process."""

    def synced(
        *,
        assets: list[AssetsDefinition] | None = None,
        instance: DagsterInstance | None = None,
        selection: Any = None,
        **given: Any,
    ) -> ExecuteInProcessResult:
        workspace = make(**given)
        return materialize(
            assets or list(build_fivetran_assets_definitions(workspace=workspace)),
            resources={"fivetran": workspace},
            instance=instance,
            selection=selection,
            raise_on_error=False,
        )

    return synced
