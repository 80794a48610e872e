"""Run a pipeline, and go on where an earlier attempt was interrupted."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.wait import backoff, wait_for
from dagweave.dlt.errors import ONE_WRITER, FileLocked, dlt_errors
from dagweave.dlt.folder import has_begun

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from dlt import Pipeline
    from dlt.common.pipeline import LoadInfo
    from dlt.extract import DltSource

# In the part of dlt's state that stays in the folder: what the package there was extracted for.
_REQUEST = "dagweave_request"


@dataclass(frozen=True, slots=True)
class Load:
    """What dlt says of a run.

    `info` is `None` if there was nothing to load; `rows` has the number of rows by table, if dlt
    counted.
    """

    info: LoadInfo | None
    rows: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who runs a pipeline, and for what.

    `step` is the same for all attempts at one step and partition. Two that have the same `request`
    want the same rows: what one of them extracted will do for the other.
    """

    step: str
    request: str


def load(
    pipeline: Pipeline,
    source: DltSource,
    options: Mapping[str, Any],
    *,
    attempt: Attempt,
    say: Callable[[str], None],
    lock_timeout_s: float,
    clock: Clock = SYSTEM_CLOCK,
) -> Load:
    """Run `pipeline` on `source`. Waits while another process has the DuckDB file open.

    What an earlier attempt had begun to load is loaded first. If it was extracted for the same
    request, that is all, as with dlt itself.

    Args:
        say: Gets a line for the log when it waits, or goes on where another stopped.
        lock_timeout_s: Longest wait for a DuckDB file, in seconds.

    Raises:
        DagweaveError: as `dlt_errors` has it. Nothing that was loaded is to be reported then.
    """

    def run(data: DltSource | None) -> Load:
        return _when_unlocked(pipeline, data, options, say, lock_timeout_s, clock)

    if has_begun(pipeline):
        say(
            "An earlier attempt was interrupted while it loaded; this one goes on where it stopped."
        )
        same = _request_of(pipeline) == attempt.request
        finished = run(None)
        if same and finished.info is not None:
            say("It had extracted what is asked for now, so nothing is extracted again.")
            return finished
    pipeline.set_local_state_val(_REQUEST, attempt.request)
    return run(source)


def _request_of(pipeline: Pipeline) -> str | None:
    try:
        return pipeline.get_local_state_val(_REQUEST)
    except KeyError:
        return None


def _when_unlocked(
    pipeline: Pipeline,
    data: DltSource | None,
    options: Mapping[str, Any],
    say: Callable[[str], None],
    timeout_s: float,
    clock: Clock,
) -> Load:
    locked: list[FileLocked] = []
    rows = _rows_pending(pipeline)

    def attempt() -> Load | None:
        nonlocal rows
        try:
            with dlt_errors(pipeline):
                # What an earlier attempt extracted is loaded, not extracted again.
                given = None if pipeline.has_pending_data else data
                with _no_signal_lost():
                    info = cast("LoadInfo | None", pipeline.run(given, **options))
                if info is not None:
                    info.raise_on_failed_jobs()
        except FileLocked as error:
            if not locked:
                say(f"Waiting up to {timeout_s:g} s for a DuckDB file. {error.seen}")
            locked[:] = [error]
            rows = _rows(pipeline, rows)
            return None
        return Load(info, _rows(pipeline, rows))

    return wait_for(
        attempt,
        what=f"the DuckDB file of dlt pipeline {pipeline.pipeline_name!r}",
        timeout_s=timeout_s,
        pauses=backoff(0.2, cap_s=2.0),
        last_seen=lambda: str(locked[-1].seen),
        remedy=ONE_WRITER,
        clock=clock,
    )


@contextmanager
def _no_signal_lost() -> Generator[None]:
    """Raise a signal that dlt held back and then forgot: one that came as its load ended.

    Raises:
        SignalReceivedException: There was one.
    """
    from dlt.common.runtime import signals

    with signals.intercepted_signals():
        yield
        signals.raise_if_signalled()


def _rows(pipeline: Pipeline, before: Mapping[str, int] | None) -> Mapping[str, int] | None:
    """The rows that the last attempt normalized; those of the one `before`, if it did not."""
    trace = pipeline.last_trace
    normalized = trace.last_normalize_info if trace else None
    return dict(normalized.row_counts) if normalized else before


def _rows_pending(pipeline: Pipeline) -> Mapping[str, int] | None:
    """The rows of what waits to be loaded, if dlt could still write down that it normalized it."""
    trace = pipeline.last_trace
    normalized = trace.last_normalize_info if trace else None
    if normalized is None or not set(pipeline.list_normalized_load_packages()).issubset(
        normalized.loads_ids
    ):
        return None
    return dict(normalized.row_counts)
