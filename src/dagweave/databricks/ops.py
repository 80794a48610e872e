"""Ops that run a job of Databricks, or tasks of no job, and wait for them.

Without `from __future__ import annotations`: Dagster reads the annotations of what it decorates.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from dagster import Config, In, Nothing, OpDefinition, OpExecutionContext, op
from pydantic import Field, create_model

from dagweave._dagster.failures import failures
from dagweave._kernel.errors import InvalidInput
from dagweave.databricks.client import DEFAULT_RUN_MAX_WAIT_TIME_SEC, DatabricksClient
from dagweave.databricks.failures import sdk, translated
from dagweave.databricks.journal import Journal
from dagweave.databricks.waiting import Waiting

DEFAULT_POLL_INTERVAL_SECONDS = 10

_Start = Callable[[DatabricksClient, str], int]


def create_databricks_run_now_op(
    databricks_job_id: int,
    databricks_job_configuration: Mapping[str, Any] | None = None,
    poll_interval_seconds: float = DEFAULT_POLL_INTERVAL_SECONDS,
    max_wait_time_seconds: float = DEFAULT_RUN_MAX_WAIT_TIME_SEC,
    name: str | None = None,
    databricks_resource_key: str = "databricks",
) -> OpDefinition:
    """An op that runs a job that there is, and waits until it has ended well.

    A job that is started twice is started once: a retried step takes up the run of the attempt
    before, if that goes on or has ended well. If the step is interrupted, or `max_wait_time_seconds`
    pass, the run is cancelled. A run that Databricks skips counts as one that ended well.

    Args:
        databricks_job_id: Which job.
        databricks_job_configuration: More arguments of the SDK's `jobs.run_now`:
            `{"job_parameters": {"day": "2026-01-05"}}`.
        poll_interval_seconds: How often to look, in seconds. The op's configuration may say
            otherwise; the same holds for the next one.
        max_wait_time_seconds: Longest wait, in seconds.
        name: The op's name.
        databricks_resource_key: The key of the `DatabricksClientResource`.

    Example:
        ```python
        from dagster import job
        from dagweave.databricks import create_databricks_run_now_op

        nightly = create_databricks_run_now_op(databricks_job_id=1234, name="nightly")

        @job
        def every_night():
            nightly()
        ```
    """
    more = dict(databricks_job_configuration or {})

    def start(client: DatabricksClient, token: str) -> int:
        arguments: dict[str, Any] = {"idempotency_token": token, **more}
        return _run_id(client.workspace_client.jobs.run_now(job_id=databricks_job_id, **arguments))

    return _op(
        start,
        f"job {databricks_job_id}",
        name or "_databricks_run_now_op",
        databricks_resource_key,
        (poll_interval_seconds, max_wait_time_seconds),
    )


def create_databricks_submit_run_op(
    databricks_job_configuration: Mapping[str, Any],
    poll_interval_seconds: float = DEFAULT_POLL_INTERVAL_SECONDS,
    max_wait_time_seconds: float = DEFAULT_RUN_MAX_WAIT_TIME_SEC,
    name: str | None = None,
    databricks_resource_key: str = "databricks",
) -> OpDefinition:
    """An op that runs a task of no job, and waits until it has ended well.

    Retries, interrupts and time-outs are as for `create_databricks_run_now_op`.

    Args:
        databricks_job_configuration: The task, as the API's JSON has it; a `task_key` is given to
            one that has none.
        poll_interval_seconds: How often to look, in seconds.
        max_wait_time_seconds: Longest wait, in seconds.
        name: The op's name.
        databricks_resource_key: The key of the `DatabricksClientResource`.

    Raises:
        InvalidInput: There is no task.
    """
    if not databricks_job_configuration:
        raise InvalidInput(
            "create_databricks_submit_run_op was given no task.",
            remedy='Give one: {"new_cluster": {...}, "notebook_task": {"notebook_path": "..."}}.',
        )
    task = {"task_key": "dagster", **databricks_job_configuration}

    def start(client: DatabricksClient, token: str) -> int:
        jobs = sdk("databricks.sdk.service.jobs")
        tasks = [jobs.SubmitTask.from_dict(task)]
        return _run_id(
            client.workspace_client.jobs.submit(tasks=tasks, run_name=name, idempotency_token=token)
        )

    return _op(
        start,
        "a task",
        name or "_databricks_submit_run_op",
        databricks_resource_key,
        (poll_interval_seconds, max_wait_time_seconds),
    )


def _op(
    start: _Start, what: str, name: str, resource_key: str, defaults: tuple[float, float]
) -> OpDefinition:
    poll, wait = defaults
    settings: Any = create_model(
        "DatabricksRunConfig",
        __base__=Config,
        poll_interval_seconds=(float, Field(poll, description="How often to look, in seconds.")),
        max_wait_time_seconds=(float, Field(wait, description="Longest wait, in seconds.")),
    )

    def run(context: OpExecutionContext, config: Any) -> None:
        client = cast("DatabricksClient", getattr(context.resources, resource_key))

        def begin(token: str) -> int:
            with translated(f"Databricks did not start {what}.", client.secrets):
                return start(client, token)

        waiting = Waiting(
            client, context, config.poll_interval_seconds, config.max_wait_time_seconds
        )
        with failures():
            waiting.of(Journal(context), begin)

    # Dagster makes the op's configuration of what the parameter is annotated with.
    run.__annotations__["config"] = settings
    decorate = op(
        name=name,
        ins={"start_after": In(Nothing)},
        required_resource_keys={resource_key},
        tags={"kind": "databricks"},
    )
    return decorate(run)


def _run_id(started: Any) -> int:
    return int(started.response.run_id)
