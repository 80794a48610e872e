"""Start a run, wait for it, and cancel it where nobody waits any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dagweave._kernel.errors import InvalidInput, Unavailable
from dagweave.databricks.client import RunTookTooLong
from dagweave.databricks.failures import translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import OpExecutionContext

    from dagweave.databricks.client import DatabricksClient
    from dagweave.databricks.journal import Journal, Start


_PAUSES_S: Final = (1, 5, 15)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One run of Databricks, for one step.

    Args:
        client: The workspace.
        context: The step.
        poll_interval_s: How often to look, in seconds.
        timeout_s: Longest wait, in seconds; then the run is cancelled.
    """

    client: DatabricksClient
    context: OpExecutionContext
    poll_interval_s: float
    timeout_s: float

    def of(self, journal: Journal, start: Callable[[str], int]) -> int:
        """Start a run, or take up that of an earlier attempt; return its id when it has ended well.

        Args:
            journal: Where an earlier attempt noted what it started.
            start: Starts it under a token, or finds the run that was started under it.

        Raises:
            DatabricksError: It ended badly, or not in time.
        """
        run_id = self._taken_up(journal, start) or self._begun(journal.begin(), journal, start)
        self._tell(run_id)
        self.until_it_ends(run_id)
        return run_id

    def until_it_ends(self, run_id: int) -> None:
        """Wait for a run; cancel it if nobody waits any more.

        Raises:
            DatabricksError: It ended badly, or not in time.
        """
        try:
            self.client.wait_for_run_to_complete(
                self.context.log, run_id, self.poll_interval_s, self.timeout_s
            )
        except RunTookTooLong:
            self.cancel(run_id)
            raise
        except BaseException as error:
            # An interrupt, or Dagster's own way to say so. What Databricks said is an Exception.
            if not isinstance(error, Exception):
                self.cancel(run_id)
            raise

    def cancel(self, run_id: int) -> None:
        """Ask Databricks to cancel a run; whatever comes of it, the first error is the one to tell."""
        self.context.log.info("Cancelling run %s of Databricks.", run_id)
        try:
            self.client.workspace_client.jobs.cancel_run(run_id)
        except Exception as error:  # noqa: BLE001
            self.context.log.warning("Run %s could not be cancelled: %s", run_id, error)

    def _begun(self, start: Start, journal: Journal, begin: Callable[[str], int]) -> int:
        run_id = self._started(start.token, begin)
        journal.keep(msgspec.structs.replace(start, run_id=run_id))
        return run_id

    def _started(self, token: str, begin: Callable[[str], int]) -> int:
        """Start it, again if Databricks did not answer: under one token that is one run."""
        for pause_s in _PAUSES_S:
            try:
                return begin(token)
            except Unavailable as error:
                self.context.log.warning("%s Trying again in %s s.", error, pause_s)
            self.client.clock.sleep(pause_s)
        return begin(token)

    def _taken_up(self, journal: Journal, begin: Callable[[str], int]) -> int | None:
        earlier = journal.earlier()
        if earlier is None:
            return None
        run_id = earlier.run_id
        if run_id is None:
            # It may have been started, and nobody knows: the token does.
            return self._begun(earlier, journal, begin)
        try:
            state = self.client.get_run_state(run_id)
        except InvalidInput:
            return None
        if state.has_terminated() and not (state.is_successful() or state.is_skipped()):
            self.context.log.info(
                "Run %s of an earlier attempt is %s; starting another.", run_id, state
            )
            return None
        self.context.log.info("Taking up run %s of an earlier attempt; it is %s.", run_id, state)
        journal.keep(earlier)
        return run_id

    def _tell(self, run_id: int) -> None:
        with translated(f"Databricks did not tell of run {run_id}.", self.client.secrets):
            run: Any = self.client.workspace_client.jobs.get_run(run_id)
        said = (run_id, run.run_name, run.run_page_url)
        self.context.log.info("Run %s of Databricks (%s): %s", *said)
        self.context.add_output_metadata(
            {
                "dagweave/databricks_run": str(run_id),
                "dagweave/databricks_url": run.run_page_url or "",
            }
        )
