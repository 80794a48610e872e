"""What Dagster knows of earlier attempts of a step: in its run, and in the run that it takes up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import AssetExecutionContext, DagsterError, DagsterEventType, OpExecutionContext

from dagweave._dagster.private import run_taken_up

if TYPE_CHECKING:
    from collections.abc import Iterator


def step_of(context: OpExecutionContext | AssetExecutionContext) -> OpExecutionContext:
    """The context of the step behind a context of assets."""
    return context if isinstance(context, OpExecutionContext) else context.op_execution_context


def earlier_runs(step: OpExecutionContext) -> Iterator[str]:
    """The runs with earlier attempts of this step, the oldest first.

    A run that does all of another one again is no later attempt.
    """
    if parent := run_taken_up(step):
        ended_well = events_of(step, parent, DagsterEventType.STEP_SUCCESS)
        if str(step.op_handle) not in {event.step_key for event in ended_well}:
            yield parent
    if _attempt(step) > 0:
        yield step.run.run_id


def events_of(step: OpExecutionContext, run_id: str, kind: DagsterEventType) -> Iterator[Any]:
    """The events of one kind that a run recorded."""
    for entry in step.instance.all_logs(run_id, of_type=kind):
        if entry.dagster_event is not None:
            yield entry.dagster_event


def _attempt(step: OpExecutionContext) -> int:
    try:
        return step.retry_number
    except (AttributeError, DagsterError):
        # A function that is called directly, with a context of build_asset_context().
        return 0
