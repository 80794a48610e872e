"""The resources of an Airbyte workspace: at home, and in Airbyte's cloud."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dagster import Config
from pydantic import Field

from dagweave.airbyte.client import (
    CLOUD_CONFIGURATION_URL,
    CLOUD_REST_URL,
    AirbyteClient,
    Credentials,
)
from dagweave.airbyte.service import AirbyteSyncs
from dagweave.airbyte.translator import AIRBYTE
from dagweave.connector.model import Wish
from dagweave.connector.runner import Manner
from dagweave.connector.workspace import SyncWorkspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import AssetExecutionContext, AssetSpec

    from dagweave.airbyte.models import AirbyteWorkspaceData, ConnectionSelectorFn
    from dagweave.airbyte.translator import DagsterAirbyteTranslator
    from dagweave.connector.events import SyncEventIterator
    from dagweave.connector.runner import WhenRunning
    from dagweave.connector.vendor import Vendor


class AirbyteSyncConfig(Config):
    """How to sync, as configuration of a run.

    Example:
        ```yaml
        ops:
          airbyte_shop:
            config: {resync: true, resync_streams: {public: [orders]}}
        ```
    """

    resync: bool = Field(
        default=False, description="Load the history again, instead of what is new."
    )
    resync_mode: Literal["refresh", "truncate", "clear"] = Field(
        default="refresh",
        description="How: load again beside what is there, load again and then remove what was "
        "there before, or only remove what is there, so that the next sync loads it again.",
    )
    resync_streams: dict[str, list[str]] | None = Field(
        default=None,
        description='Only these streams, by their namespace, which may be empty: {"": [orders]}.',
    )


class _Workspace(SyncWorkspace):
    """What both kinds of workspace have in common."""

    vendor: ClassVar[Vendor[Any]] = AIRBYTE

    workspace_id: str = Field(description="The workspace's id.")
    request_timeout: int = Field(
        default=15, description="Longest wait for each part of an answer, in seconds."
    )
    max_items_per_page: int = Field(
        default=100, description="How many items a page of a list has; at most 100."
    )
    cancel_on_termination: bool = Field(
        default=True,
        description="When a person cancels the run, stop the job. That a worker is lost stops none.",
    )
    poll_previous_running_sync: bool = Field(
        default=False,
        description="If a sync runs already that this step did not begin: wait for that one. "
        "Otherwise the step fails, unless wait_then_sync is set.",
    )

    @property
    def account(self) -> str:
        """The workspace's id."""
        return self.workspace_id

    @property
    def host(self) -> str | None:
        """`base_url`, else `DAGWEAVE_AIRBYTE_BASE_URL`: what stands in for the Airbyte that is meant."""
        given = self.base_url or os.environ.get("DAGWEAVE_AIRBYTE_BASE_URL")
        return given.rstrip("/") if given else None

    @property
    def manner(self) -> Manner:
        """How its syncs are run."""
        when: WhenRunning = "join" if self.poll_previous_running_sync else "fail"
        return Manner(
            poll_interval_s=self.poll_interval,
            poll_timeout_s=self.poll_timeout,
            on_paused=self.on_paused,
            when_running="wait" if self.wait_then_sync else when,
            cancel_on_termination=self.cancel_on_termination,
        )

    @property
    def credentials(self) -> Credentials:
        """Who asks."""
        raise NotImplementedError

    @property
    def configuration_address(self) -> str | None:
        """Where the Configuration API is, if it is to be used."""
        raise NotImplementedError

    def get_client(self) -> AirbyteClient:
        """A client of Airbyte's two APIs.

        Raises:
            InvalidInput: The credentials are half given, or given twice.
        """
        return self.kept_client(
            lambda: AirbyteClient(
                self.credentials,
                workspace_id=self.workspace_id,
                rest_api_base_url=self.address,
                configuration_api_base_url=self.configuration_address,
                attempts=self.request_max_retries + 1,
                first_pause_s=self.request_retry_delay,
                timeout_s=self.request_timeout,
                page_size=self.max_items_per_page,
            )
        )

    def service(self) -> AirbyteSyncs:
        """The workspace, spoken to with five verbs."""
        return AirbyteSyncs(self.get_client())

    def fetch_airbyte_workspace_data(self) -> AirbyteWorkspaceData:
        """All of the workspace as it is now."""
        return self.resolved().service().snapshot()

    def load_asset_specs(
        self,
        dagster_airbyte_translator: DagsterAirbyteTranslator | None = None,
        connection_selector_fn: ConnectionSelectorFn | None = None,
    ) -> Sequence[AssetSpec]:
        """The assets of all streams of the workspace, or of the connections that are selected.

        Raises:
            InvalidInput: The translator gives two streams one key, or fails; names them.
        """
        return self.specs(dagster_airbyte_translator, connection_selector_fn)

    def sync_and_poll(
        self, context: AssetExecutionContext, config: AirbyteSyncConfig | None = None
    ) -> SyncEventIterator:
        """Sync the connection of the step's assets; yield an event per stream once it has ended.

        A step that is tried again takes up the job that it began, and begins no other. What is
        done about a job that somebody else began, `poll_previous_running_sync` and
        `wait_then_sync` say. A connection that is inactive yields nothing, unless `on_paused` says
        otherwise.

        Raises:
            Failure: The job failed or was cancelled, or Airbyte refused. Says what Airbyte says.
        """
        wish = Wish()
        if config is not None and config.resync:
            wish = Wish(resync=True, tables=config.resync_streams, mode=config.resync_mode)
        return self.run_sync(context, wish)


class AirbyteWorkspace(_Workspace):
    """A workspace of an Airbyte that you run.

    With `client_id` and `client_secret`, with `username` and `password`, or with neither.

    Example:
        ```python
        airbyte = AirbyteWorkspace(
            rest_api_base_url="http://localhost:8000/api/public/v1",
            configuration_api_base_url="http://localhost:8000/api/v1",
            workspace_id=EnvVar("AIRBYTE_WORKSPACE_ID"),
            client_id=EnvVar("AIRBYTE_CLIENT_ID"),
            client_secret=EnvVar("AIRBYTE_CLIENT_SECRET"),
        )
        ```
    """

    rest_api_base_url: str = Field(
        description="Where the public API is: http://<host>/api/public/v1."
    )
    configuration_api_base_url: str | None = Field(
        default=None,
        description="Where the Configuration API is: http://<host>/api/v1. Without it, only the "
        "public API is used.",
    )
    client_id: str | None = Field(default=None, description="The id of a client.")
    client_secret: str | None = Field(default=None, description="Its secret.", repr=False)
    username: str | None = Field(default=None, description="The name of a user.")
    password: str | None = Field(default=None, description="The user's password.", repr=False)
    public_api_only: bool = Field(
        default=False,
        description="Do without the Configuration API: no types of columns, no rows by stream, no "
        "reasons of failures, no resync.",
    )

    @property
    def address(self) -> str:
        """Where the public API is."""
        return f"{self.host}/api/public/v1" if self.host else self.rest_api_base_url

    @property
    def configuration_address(self) -> str | None:
        """Where the Configuration API is, if it is to be used."""
        if self.public_api_only or not self.configuration_api_base_url:
            return None
        return f"{self.host}/api/v1" if self.host else self.configuration_api_base_url

    @property
    def credentials(self) -> Credentials:
        """Who asks."""
        return Credentials(self.client_id, self.client_secret, self.username, self.password)


class AirbyteCloudWorkspace(_Workspace):
    """A workspace of Airbyte's cloud.

    Example:
        ```python
        airbyte = AirbyteCloudWorkspace(
            workspace_id=EnvVar("AIRBYTE_CLOUD_WORKSPACE_ID"),
            client_id=EnvVar("AIRBYTE_CLOUD_CLIENT_ID"),
            client_secret=EnvVar("AIRBYTE_CLOUD_CLIENT_SECRET"),
        )
        ```
    """

    client_id: str = Field(description="The id of a client.")
    client_secret: str = Field(description="Its secret.", repr=False)
    public_api_only: bool = Field(
        default=False, description="Do without the Configuration API, as in AirbyteWorkspace."
    )

    @property
    def address(self) -> str:
        """Where the public API is."""
        return f"{self.host}/api/public/v1" if self.host else CLOUD_REST_URL

    @property
    def configuration_address(self) -> str | None:
        """Where the Configuration API is, if it is to be used."""
        if self.public_api_only:
            return None
        return f"{self.host}/api/v1" if self.host else CLOUD_CONFIGURATION_URL

    @property
    def credentials(self) -> Credentials:
        """Who asks."""
        return Credentials(self.client_id, self.client_secret)


def load_airbyte_asset_specs(
    workspace: AirbyteWorkspace | AirbyteCloudWorkspace,
    dagster_airbyte_translator: DagsterAirbyteTranslator | None = None,
    connection_selector_fn: ConnectionSelectorFn | None = None,
) -> Sequence[AssetSpec]:
    """The assets of all streams of a workspace, as specs alone: for tables that Airbyte syncs.

    Arguments and errors are those of `load_asset_specs` of the workspace.
    """
    return workspace.load_asset_specs(dagster_airbyte_translator, connection_selector_fn)


def load_airbyte_cloud_asset_specs(
    workspace: AirbyteCloudWorkspace,
    dagster_airbyte_translator: DagsterAirbyteTranslator | None = None,
    connection_selector_fn: ConnectionSelectorFn | None = None,
) -> Sequence[AssetSpec]:
    """The same as `load_airbyte_asset_specs`."""
    return load_airbyte_asset_specs(workspace, dagster_airbyte_translator, connection_selector_fn)
