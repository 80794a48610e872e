"""A client of a workspace: the SDK's own, and waiting for runs of jobs. Knows nothing of Dagster."""

from __future__ import annotations

import base64
import time
from typing import IO, TYPE_CHECKING, Any, Final

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.errors import WorkFailed
from dagweave._kernel.wait import wait_for
from dagweave.databricks.failures import translated
from dagweave.databricks.run_state import DatabricksRunState, failures_of
from dagweave.databricks.workspace import Login, opened

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from databricks.sdk import WorkspaceClient

    Logger = logging.Logger | logging.LoggerAdapter[Any]

DEFAULT_RUN_MAX_WAIT_TIME_SEC: Final = 24 * 60 * 60
_BLOCK: Final = 1024**2


class DatabricksError(WorkFailed):
    """A run of Databricks ended badly, or did not end in time."""


class RunTookTooLong(DatabricksError):
    """A run did not end in time, and may still go on."""


class DatabricksClient:
    """The SDK's client of a workspace, and what it lacks.

    Without credentials the SDK looks for them in the environment and in `~/.databrickscfg`.

    Raises:
        InvalidInput: There is no host, or only a part of some credentials.
        Refused: The credentials were refused.
        MissingExtra: `databricks-sdk` is not installed.
    """

    def __init__(
        self,
        host: str | None = None,
        token: str | None = None,
        oauth_client_id: str | None = None,
        oauth_client_secret: str | None = None,
        azure_client_id: str | None = None,
        azure_client_secret: str | None = None,
        azure_tenant_id: str | None = None,
        workspace_id: str | None = None,
        credentials_strategy: Any = None,
    ) -> None:
        self.workspace_id = workspace_id
        self.clock: Clock = SYSTEM_CLOCK
        self._login = Login(
            host=host,
            token=token,
            client_id=oauth_client_id,
            client_secret=oauth_client_secret,
            azure_client_id=azure_client_id,
            azure_client_secret=azure_client_secret,
            azure_tenant_id=azure_tenant_id,
            strategy=credentials_strategy,
        )
        self._workspace = opened(self._login)

    @classmethod
    def of(cls, login: Login) -> DatabricksClient:
        """The client for a login."""
        return cls(
            login.host,
            login.token,
            login.client_id,
            login.client_secret,
            login.azure_client_id,
            login.azure_client_secret,
            login.azure_tenant_id,
            credentials_strategy=login.strategy,
        )

    @property
    def host(self) -> str | None:
        """Where the workspace is."""
        return self._workspace.config.host

    @property
    def workspace_client(self) -> WorkspaceClient:
        """The SDK's client: https://databricks-sdk-py.readthedocs.io."""
        return self._workspace

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be shown nowhere."""
        return self._login.secrets

    def get_run_state(self, databricks_run_id: int) -> DatabricksRunState:
        """The state of a run.

        Raises:
            InvalidInput: There is no such run.
            Refused, Unavailable: Databricks did not tell.
        """
        with translated(f"Databricks did not tell of run {databricks_run_id}.", self.secrets):
            return DatabricksRunState.of(self._workspace.jobs.get_run(databricks_run_id))

    def poll_run_state(
        self,
        logger: Logger,
        start_poll_time: float,
        databricks_run_id: int,
        max_wait_time_sec: float,
        verbose_logs: bool = True,  # noqa: FBT001, FBT002
    ) -> bool:
        """Whether a run has ended well; a run that was skipped has.

        Args:
            logger: Gets a line for each look, and a warning for a state that is not known.
            start_poll_time: When the waiting began, as `time.time()` tells it.
            databricks_run_id: Which run.
            max_wait_time_sec: Longest wait, in seconds.
            verbose_logs: Whether each look that changes nothing is logged.

        Raises:
            DatabricksError: It ended badly, or did not end in time. It is not cancelled.
        """
        state = self.get_run_state(databricks_run_id)
        if _ended_well(state, databricks_run_id, logger):
            return True
        if state.has_terminated():
            raise self._failed(databricks_run_id, state)
        if verbose_logs:
            logger.debug("Run %s of Databricks is %s.", databricks_run_id, state)
        if time.time() - start_poll_time > max_wait_time_sec:
            raise _too_long(databricks_run_id, max_wait_time_sec, state)
        return False

    def wait_for_run_to_complete(
        self,
        logger: Logger,
        databricks_run_id: int,
        poll_interval_sec: float,
        max_wait_time_sec: float,
        verbose_logs: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        """Wait until a run has ended well; a run that was skipped has.

        A state that is not known is waited through, with a warning.

        Args:
            logger: See `poll_run_state`.
            databricks_run_id: Which run.
            poll_interval_sec: How often to look, in seconds.
            max_wait_time_sec: Longest wait, in seconds.
            verbose_logs: Whether each look that changes nothing is logged.

        Raises:
            DatabricksError: It ended badly, or did not end in time. It is not cancelled.
        """
        logger.info("Waiting for run %s of Databricks.", databricks_run_id)
        start = time.time()

        def look() -> bool | None:
            ended = self.poll_run_state(
                logger, start, databricks_run_id, max_wait_time_sec, verbose_logs
            )
            return ended or None

        wait_for(
            look,
            what=f"run {databricks_run_id} of Databricks",
            timeout_s=float("inf"),
            pauses=_every(poll_interval_sec),
            clock=self.clock,
        )

    def _failed(self, run_id: int, state: DatabricksRunState) -> DatabricksError:
        try:
            tasks = failures_of(self._workspace, run_id)
        except Exception as error:  # noqa: BLE001 -- that it failed is known, and is what counts
            tasks = f"What its tasks say is not known: {error}"
        return DatabricksError(f"Run {run_id} of Databricks failed.", seen=f"{state}\n{tasks}")

    def read_file(self, dbfs_path: str, block_size: int = _BLOCK) -> bytes:
        """The content of a file of DBFS."""
        path = _dbfs(dbfs_path)
        found: list[bytes] = []
        offset = 0
        with translated(f"{dbfs_path} was not read.", self.secrets):
            while True:
                part = self._workspace.dbfs.read(path, offset=offset, length=block_size)
                found.append(base64.b64decode(part.data or ""))
                offset += part.bytes_read or 0
                if (part.bytes_read or 0) < block_size:
                    return b"".join(found)

    def put_file(
        self,
        file_obj: IO[bytes],
        dbfs_path: str,
        overwrite: bool = False,  # noqa: FBT001, FBT002
        block_size: int = _BLOCK,
    ) -> None:
        """Write a file of DBFS, of any size."""
        dbfs = self._workspace.dbfs
        with translated(f"{dbfs_path} was not written.", self.secrets):
            handle = dbfs.create(_dbfs(dbfs_path), overwrite=overwrite).handle or 0
            while block := file_obj.read(block_size):
                dbfs.add_block(handle, base64.b64encode(block).decode())
            dbfs.close(handle)


def _ended_well(state: DatabricksRunState, run_id: int, logger: Logger) -> bool:
    if not state.is_known():
        logger.warning(
            "Run %s of Databricks is in a state that is not known here: %s. Waiting on.",
            run_id,
            state,
        )
    if not state.has_terminated():
        return False
    if state.is_skipped():
        logger.info("Run %s of Databricks was skipped.", run_id)
        return True
    if not state.is_successful():
        return False
    if state.result_state != "SUCCESS":
        logger.warning("Run %s of Databricks ended with %s.", run_id, state)
    return True


def _too_long(run_id: int, limit_s: float, state: DatabricksRunState) -> RunTookTooLong:
    return RunTookTooLong(
        f"Run {run_id} of Databricks took more than {limit_s:g} s.",
        seen=f"It was {state}.",
        remedy="Wait longer (max_wait_time_seconds), or see what it does.",
    )


def _every(seconds: float) -> Iterator[float]:
    while True:
        yield seconds


def _dbfs(path: str) -> str:
    return path.removeprefix("dbfs://").removeprefix("dbfs:")
