"""Jobs of BigQuery: begun once, waited for, cancelled if nobody waits. Knows nothing of Dagster.

A job is begun under a name that we choose. Where the answer is lost, BigQuery is asked for the job
of that name, and only if there is none, it is begun again under the same: so no job runs twice. A job
that ended badly for a passing reason changed nothing, and is begun anew as another one.
"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.wait import backoff
from dagweave.bigquery.connections import retry
from dagweave.bigquery.dialect import as_labels
from dagweave.bigquery.failures import is_lost, is_missing, is_there, passes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.cloud.bigquery import Client

ATTEMPTS: Final = 6
"""How often a job is begun, at most, in about half a minute."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """Begins jobs of one client.

    `timeout_s` is how long each is waited for; `None` is without end.
    """

    client: Client
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout_s: float | None = None
    clock: Clock = SYSTEM_CLOCK

    def done(self, begin: Callable[[str], Any]) -> Any:
        """Begin a job, wait for it, and return it.

        Args:
            begin: Begins the job under the name that it is given. Called again if no job came of it,
                or if it failed for a passing reason.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: It failed.
            concurrent.futures.TimeoutError: It took too long, and was cancelled.
        """
        pauses = backoff(0.5, cap_s=10.0)
        for left in reversed(range(ATTEMPTS)):
            job = self._begun(begin, f"dagweave_{uuid.uuid4().hex}")
            try:
                self._wait(job)
            except Exception as error:
                # Only what BigQuery says of the job itself: of one that may still run there is no other.
                if not left or job.error_result is None or not passes(error):
                    self._cancel(job)
                    raise
            except BaseException:
                # The run was cancelled: nobody is left to want what the job does.
                self._cancel(job)
                raise
            else:
                return job
            self.clock.sleep(next(pauses))
        raise AssertionError

    def labelled(self, config: Any) -> Any:
        """The configuration of a job, with the labels."""
        config.labels = {**config.labels, **as_labels(self.labels)}
        return config

    def _begun(self, begin: Callable[[str], Any], name: str) -> Any:
        pauses = backoff(0.5, cap_s=10.0)
        for left in reversed(range(ATTEMPTS)):
            try:
                return begin(name)
            except Exception as error:
                if is_there(error):
                    return self.client.get_job(name, retry=retry())
                if not is_lost(error) and not passes(error):
                    raise
                known = self._known(name)
                if known is not None:
                    return known
                if not left:
                    raise
            self.clock.sleep(next(pauses))
        raise AssertionError

    def _wait(self, job: Any) -> None:
        """Wait for a job; that BigQuery could not be asked for a while says nothing of it."""
        pauses = backoff(0.5, cap_s=10.0)
        for left in reversed(range(ATTEMPTS)):
            try:
                job.result(timeout=self.timeout_s, retry=retry())
            except Exception as error:
                lost = job.error_result is None and (is_lost(error) or passes(error))
                if not left or not lost:
                    raise
            else:
                return
            self.clock.sleep(next(pauses))

    def _known(self, name: str) -> Any:
        try:
            return self.client.get_job(name, retry=retry())
        except Exception as error:
            if is_missing(error):
                return None
            raise

    def _cancel(self, job: Any) -> None:
        # Whatever this meets, the first error is the one to tell.
        with contextlib.suppress(Exception):
            if not job.done(reload=False):
                job.cancel(retry=None, timeout=10)


def console_url(job: Any) -> str:
    """The page of a job in the Cloud console."""
    return (
        f"https://console.cloud.google.com/bigquery?project={job.project}"
        f"&j=bq:{job.location}:{job.job_id}&page=queryresults"
    )
