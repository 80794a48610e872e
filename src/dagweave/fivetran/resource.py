"""The resource of a Fivetran account."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from dagster import Config
from pydantic import Field

from dagweave.connector.model import Wish
from dagweave.connector.runner import Manner
from dagweave.connector.workspace import SyncWorkspace
from dagweave.fivetran.client import BASE_URL, FivetranClient
from dagweave.fivetran.service import FivetranSyncs
from dagweave.fivetran.translator import FIVETRAN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import AssetExecutionContext, AssetSpec

    from dagweave.connector.events import SyncEventIterator
    from dagweave.connector.vendor import Vendor
    from dagweave.fivetran.models import ConnectorSelectorFn, FivetranWorkspaceData
    from dagweave.fivetran.translator import DagsterFivetranTranslator


class FivetranSyncConfig(Config):
    """How to sync, as configuration of a run.

    Example:
        ```yaml
        ops:
          fivetran_shop:
            config: {resync: true, resync_parameters: {shop: [orders]}}
        ```
    """

    resync: bool = Field(
        default=False, description="Load the history again, instead of what is new."
    )
    resync_parameters: dict[str, Any] | None = Field(
        default=None,
        description="Load the history of these tables only, by schema: {shop: [orders]}. The names "
        "are those of the source.",
    )


class FivetranWorkspace(SyncWorkspace):
    """A Fivetran account.

    Example:
        ```python
        fivetran = FivetranWorkspace(
            account_id=EnvVar("FIVETRAN_ACCOUNT_ID"),
            api_key=EnvVar("FIVETRAN_API_KEY"),
            api_secret=EnvVar("FIVETRAN_API_SECRET"),
        )
        ```
    """

    vendor: ClassVar[Vendor[Any]] = FIVETRAN

    account_id: str = Field(description="The account, as you call it: snapshots are kept by it.")
    api_key: str = Field(description="The key of Fivetran's API.", repr=False)
    api_secret: str = Field(description="The secret of the key.", repr=False)
    request_backoff_factor: float = Field(
        default=2.0, description="How much longer each further pause between requests is."
    )
    disable_schedule_on_trigger: bool = Field(
        default=True,
        description="Set a connection to the manual schedule when it is synced from here.",
    )
    retry_on_reschedule: bool = Field(
        default=True,
        description="If Fivetran puts a sync off, give the step up and try it again then; else "
        "the step waits.",
    )
    cancel_on_termination: bool = Field(
        default=False,
        description="When a person cancels the run, pause the connection until its sync has "
        "stopped, and let it sync again. Fivetran has no other way.",
    )

    @property
    def account(self) -> str:
        """The account's id."""
        return self.account_id

    @property
    def address(self) -> str:
        """`base_url`, else `DAGWEAVE_FIVETRAN_BASE_URL`, else Fivetran."""
        return self.base_url or os.environ.get("DAGWEAVE_FIVETRAN_BASE_URL") or BASE_URL

    @property
    def manner(self) -> Manner:
        """How its syncs are run."""
        return Manner(
            poll_interval_s=self.poll_interval,
            poll_timeout_s=self.poll_timeout,
            on_paused=self.on_paused,
            when_running="wait" if self.wait_then_sync else "join",
            cancel_on_termination=self.cancel_on_termination,
            retry_on_reschedule=self.retry_on_reschedule,
        )

    def get_client(self) -> FivetranClient:
        """A client of Fivetran's API."""
        return self.kept_client(
            lambda: FivetranClient(
                self.api_key,
                self.api_secret,
                base_url=self.address,
                attempts=self.request_max_retries + 1,
                first_pause_s=self.request_retry_delay,
                pause_factor=self.request_backoff_factor,
            )
        )

    def service(self) -> FivetranSyncs:
        """The account, spoken to with five verbs."""
        return FivetranSyncs(
            self.get_client(), self.account_id, disable_schedule=self.disable_schedule_on_trigger
        )

    def fetch_fivetran_workspace_data(self) -> FivetranWorkspaceData:
        """All of the account as it is now."""
        return self.resolved().service().snapshot()

    def get_or_fetch_workspace_data(self) -> FivetranWorkspaceData:
        """All of the account as of the last snapshot, which is taken if there is none."""
        return self.data()

    def load_asset_specs(
        self,
        dagster_fivetran_translator: DagsterFivetranTranslator | None = None,
        connector_selector_fn: ConnectorSelectorFn | None = None,
    ) -> Sequence[AssetSpec]:
        """The assets of all tables of the account, or of the connections that are selected.

        Raises:
            InvalidInput: The translator gives two tables one key, or fails; names them.
        """
        return self.specs(dagster_fivetran_translator, connector_selector_fn)

    def sync_and_poll(
        self, context: AssetExecutionContext, config: FivetranSyncConfig | None = None
    ) -> SyncEventIterator:
        """Sync the connection of the step's assets; yield an event per table once it has ended.

        A step that is tried again takes up the sync that it began, and begins no other. A sync
        that somebody else began is waited for, unless `wait_then_sync` is set. A connection that is
        paused yields nothing, unless `on_paused` says otherwise.

        Raises:
            Failure: The sync failed, or Fivetran refused. Says what Fivetran says.
            RetryRequested: Fivetran put the sync off.
        """
        wish = Wish()
        if config is not None and config.resync:
            wish = Wish(resync=True, tables=config.resync_parameters)
        return self.run_sync(context, wish)


def load_fivetran_asset_specs(
    workspace: FivetranWorkspace,
    dagster_fivetran_translator: DagsterFivetranTranslator | None = None,
    connector_selector_fn: ConnectorSelectorFn | None = None,
) -> Sequence[AssetSpec]:
    """The assets of all tables of an account, as specs alone: for tables that Fivetran syncs.

    Arguments and errors are those of `FivetranWorkspace.load_asset_specs`.
    """
    return workspace.load_asset_specs(dagster_fivetran_translator, connector_selector_fn)
