"""Run the demo's two jobs, in this process, on a Dagster instance that the UI opens later."""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from rich.text import Text

from dagweave.demo.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console

_LOOK_EVERY_S = 0.2
# Dagster's own lines would drown what the demo says; they are kept for the UI.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# On the runs of this command, to tell them from those that the UI starts.
_OURS = {"dagweave/demo": "run"}


@dataclass
class Outcome:
    """What came out of a run of the demo."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    """By part, in the order they ran."""
    success: bool = True


def run_pipeline(console: Console) -> Outcome:
    """Load, transform, test and compute; print progress; return what came out.

    Reads the environment, as any Dagster process does: `Home.environment()` must be in it. What
    the tools print themselves goes to `run.log` in the demo's folder, so `console` must not write
    to the process's own standard output. The second job is not started when the first one fails.
    No other process may do the same at the time: `Home.occupied()`.
    """
    outcome = Outcome(Progress(console))
    console.print("reading the definitions, dbt parse ...", style="dim")
    with _timed(outcome, "reading the definitions, dbt parse"):
        # Not earlier: definitions read the environment when they are imported.
        from dagweave.demo.definitions import defs
        from dagweave.demo.delays import MONTHS

    months = MONTHS.get_partition_keys()
    slices = {
        "dagster/asset_partition_range_start": months[0],
        "dagster/asset_partition_range_end": months[-1],
    }
    with DagsterInstance.get() as instance:
        _end_what_was_killed(instance)
        for job, tags in (("flights", {}), ("delays", slices)):
            about = f"  {len(months)} months in one run" if tags else ""
            console.print(Text.assemble((job, "bold"), about))
            with _timed(outcome, f"job {job}"):
                run_id = str(uuid.uuid4())
                with _followed(instance, run_id, outcome.progress):
                    result = defs.resolve_job_def(job).execute_in_process(
                        instance=instance,
                        run_config=_QUIET,
                        tags=tags | _OURS,
                        run_id=run_id,
                        raise_on_error=False,
                    )
            outcome.success = result.success
            if not result.success:
                break
    return outcome


def _end_what_was_killed(instance: DagsterInstance) -> None:
    """Say of runs whose process is gone that they failed; nobody else would."""
    going_on = RunsFilter(statuses=[DagsterRunStatus.STARTED], tags=_OURS)
    for run in instance.get_runs(going_on):
        instance.report_run_failed(run, "The process of this run was killed.")


@contextmanager
def _timed(outcome: Outcome, part: str) -> Generator[None]:
    started = time.perf_counter()
    yield
    outcome.seconds[part] = time.perf_counter() - started


@contextmanager
def _followed(instance: DagsterInstance, run_id: str, progress: Progress) -> Generator[None]:
    """Read the events of the run as they are written, in a thread; all of them by the end."""
    ended = threading.Event()
    cursor: str | None = None

    def read_on() -> None:
        nonlocal cursor
        found = instance.get_records_for_run(run_id, cursor)
        cursor = found.cursor
        for record in found.records:
            progress.hear(record.event_log_entry)

    def follow() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            read_on()

    follower = threading.Thread(target=follow, name="progress", daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()
        read_on()
