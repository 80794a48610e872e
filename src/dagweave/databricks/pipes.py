"""Run code on Databricks and hear of it while it runs: Dagster Pipes.

https://docs.dagster.io/guides/build/external-pipelines
"""

from __future__ import annotations

import contextlib
import sys
import uuid
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final, cast

from dagster import (
    AssetExecutionContext,
    MetadataValue,
    OpExecutionContext,
    PipesClient,
    PipesContextInjector,
    PipesMessageReader,
    open_pipes_session,
)

from dagweave._dagster.private import (
    DagsterPipesExecutionError,
    PipesClientCompletedInvocation,
    TreatAsResourceParam,
)
from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave._kernel.wait import wait_for
from dagweave.databricks.failures import sdk, translated
from dagweave.databricks.pipes_dbfs import (
    PipesDbfsContextInjector,
    PipesDbfsLogReader,
    PipesDbfsMessageReader,
)
from dagweave.databricks.pipes_volumes import (
    PipesUnityCatalogVolumesContextInjector,
    PipesUnityCatalogVolumesMessageReader,
)
from dagweave.databricks.run_state import DatabricksRunState, failures_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagster import PipesSession
    from dagster_pipes import PipesExtras
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import SubmitTask

    Context = OpExecutionContext | AssetExecutionContext

_CANCELLED_WITHIN_S: Final = 60.0
_WITH_PARAMETERS: Final = ("spark_python_task", "python_wheel_task")


class _PipesClient(PipesClient, TreatAsResourceParam):
    """What both clients have in common: submit, wait, cancel, report."""

    def __init__(
        self,
        client: WorkspaceClient,
        context_injector: PipesContextInjector | None = None,
        message_reader: PipesMessageReader | None = None,
        poll_interval_seconds: float = 5,
        forward_termination: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        self.client = client
        self.context_injector = context_injector
        self.message_reader = message_reader
        self.poll_interval_seconds = poll_interval_seconds
        self.forward_termination = forward_termination
        self.clock: Clock = SYSTEM_CLOCK

    def run(  # pyright: ignore[reportIncompatibleMethodOverride] -- a task more than PipesClient has
        self,
        *,
        context: Context,
        extras: PipesExtras | None = None,
        task: SubmitTask,
        submit_args: Mapping[str, Any] | None = None,
    ) -> PipesClientCompletedInvocation:
        """Run a task, and wait until it has ended well.

        If the step is interrupted, the run is cancelled (`forward_termination`), and the step ends
        as interrupted.

        Args:
            context: The context of the op or asset.
            extras: What the task gets with Dagster's context.
            task: The task, as the SDK has it.
            submit_args: More arguments of the SDK's `jobs.submit`.

        Raises:
            DagsterPipesExecutionError: The run ended badly; says what Databricks says.
        """
        reader = self.message_reader or self.get_default_message_reader(task)
        return self._carried_out(context, extras, [task], submit_args, reader)

    def run_multi_task(
        self,
        *,
        context: Context,
        extras: PipesExtras | None = None,
        tasks: Sequence[SubmitTask],
        submit_args: Mapping[str, Any] | None = None,
    ) -> PipesClientCompletedInvocation:
        """Run several tasks as one run, and wait until it has ended well: see `run`.

        Without a `message_reader` of one's own, each task has its own place for messages.

        Raises:
            InvalidInput: There are no tasks.
            DagsterPipesExecutionError: The run ended badly.
        """
        if not tasks:
            raise InvalidInput("run_multi_task() was given no tasks.")
        reader = self.message_reader
        if reader is None:
            # Dagster has it since 1.13.
            from dagster import PipesCompositeMessageReader

            readers = [self.get_default_message_reader(task) for task in tasks]
            reader = PipesCompositeMessageReader(readers)
        return self._carried_out(context, extras, tasks, submit_args, reader)

    @abstractmethod
    def get_default_message_reader(self, task: SubmitTask) -> PipesMessageReader:
        """What reads the messages of a task, where the client was given no reader."""

    @abstractmethod
    def _default_injector(self) -> PipesContextInjector: ...

    @abstractmethod
    def _told(
        self, task: dict[str, Any], arguments: Mapping[str, str], variables: Mapping[str, str]
    ) -> None:
        """Tell a task where its context is: by arguments, or by variables."""

    def _carried_out(
        self,
        context: Context,
        extras: PipesExtras | None,
        tasks: Sequence[SubmitTask],
        submit_args: Mapping[str, Any] | None,
        reader: PipesMessageReader,
    ) -> PipesClientCompletedInvocation:
        with open_pipes_session(
            context=context,
            extras=extras,
            context_injector=self.context_injector or self._default_injector(),
            message_reader=reader,
        ) as session:
            jobs = sdk("databricks.sdk.service.jobs")
            places = _places(session, several=len(tasks) > 1)
            # A reader of the user's own may have one place for all tasks.
            at = [min(n, len(places) - 1) for n in range(len(tasks))]
            given = [
                jobs.SubmitTask.from_dict(self._with_pipes(task, *places[n]))
                for n, task in zip(at, tasks, strict=True)
            ]
            # If the answer is lost, the SDK asks again, and gets the same run.
            arguments: dict[str, Any] = {
                "idempotency_token": uuid.uuid4().hex,
                **(submit_args or {}),
            }
            with translated("Databricks did not start the run."):
                started: Any = self.client.jobs.submit(tasks=given, **arguments)
            run_id = int(started.response.run_id)
            self._wait(context, run_id)
        return PipesClientCompletedInvocation(session, metadata=self._metadata(run_id))

    def _with_pipes(
        self, task: SubmitTask, arguments: Mapping[str, str], variables: Mapping[str, str]
    ) -> dict[str, Any]:
        found = cast("dict[str, Any]", task.as_dict())
        self._told(found, arguments, variables)
        return found

    def _wait(self, context: Context, run_id: int) -> None:
        seen: DatabricksRunState | None = None

        def look() -> DatabricksRunState | None:
            nonlocal seen
            state = self._state(run_id)
            if state != seen:
                tell = context.log.info if state.is_known() else context.log.warning
                tell("[pipes] Run %s of Databricks is %s.", run_id, state)
            seen = state
            return state if state.has_terminated() else None

        try:
            ended = wait_for(
                look,
                what=f"run {run_id} of Databricks",
                timeout_s=float("inf"),
                pauses=self._pauses(),
                clock=self.clock,
            )
        except BaseException as error:
            if self.forward_termination and not isinstance(error, Exception):
                context.log.info("[pipes] Interrupted: cancelling run %s of Databricks.", run_id)
                self._cancel(run_id)
            raise
        if not ended.is_successful():
            said = ""
            with contextlib.suppress(Exception):
                said = failures_of(self.client, run_id)
            raise DagsterPipesExecutionError(
                f"Run {run_id} of Databricks ended badly: {ended}\n{said}"
            )

    def _cancel(self, run_id: int) -> None:
        """Cancel a run, and give it some time to end; whatever comes of it, the interrupt goes on."""
        with contextlib.suppress(Exception):
            self.client.jobs.cancel_run(run_id)
            wait_for(
                lambda: self._state(run_id).has_terminated() or None,
                what=f"run {run_id} of Databricks",
                timeout_s=_CANCELLED_WITHIN_S,
                pauses=self._pauses(),
                clock=self.clock,
            )

    def _state(self, run_id: int) -> DatabricksRunState:
        with translated(f"Databricks did not tell of run {run_id}."):
            return DatabricksRunState.of(self.client.jobs.get_run(run_id))

    def _metadata(self, run_id: int) -> dict[str, Any]:
        found: dict[str, Any] = {"Databricks Job Run ID": str(run_id)}
        try:
            with translated(f"Databricks did not tell of run {run_id}."):
                url = self.client.jobs.get_run(run_id).run_page_url
        except DagweaveError:
            # The run ended well; what it lacks is a link.
            return found
        return {**found, "Databricks Job Run URL": MetadataValue.url(url)} if url else found

    def _pauses(self) -> Iterator[float]:
        while True:
            yield self.poll_interval_seconds


def _places(
    session: PipesSession, *, several: bool
) -> Sequence[tuple[Mapping[str, str], Mapping[str, str]]]:
    """By what arguments and variables each task finds its context, and its place for messages."""
    if not several:
        return [(session.get_bootstrap_cli_arguments(), session.get_bootstrap_env_vars())]
    arguments = session.get_per_writer_bootstrap_cli_arguments()
    return list(zip(arguments, session.get_per_writer_bootstrap_env_vars(), strict=True))


class PipesDatabricksClient(_PipesClient):
    """Runs code on clusters of Databricks, and hears of it while it runs.

    On a new cluster the task finds Dagster's context by environment variables, without further ado.
    On one that exists (`existing_cluster_id`) it gets arguments, and has to read them:
    `open_dagster_pipes(params_loader=PipesCliArgsParamsLoader(), ...)`.

    Args:
        client: The SDK's client: `DatabricksClientResource(...).get_client().workspace_client`.
        env: More environment variables, for new clusters.
        context_injector: How the task gets Dagster's context; by default a file of DBFS.
        message_reader: How its messages come; by default through files of DBFS.
        poll_interval_seconds: How often to look for the state of the run, in seconds.
        forward_termination: Whether an interrupt of the step cancels the run.

    Example:
        ```python
        from dagster import AssetExecutionContext, asset
        from dagweave.databricks import PipesDatabricksClient

        @asset
        def trained(context: AssetExecutionContext, pipes: PipesDatabricksClient):
            from databricks.sdk.service import jobs

            task = jobs.SubmitTask.from_dict(
                {
                    "task_key": "train",
                    "new_cluster": {"spark_version": "15.4.x-scala2.12", "num_workers": 2},
                    "spark_python_task": {"python_file": "dbfs:/train.py"},
                    "libraries": [{"pypi": {"package": "dagster-pipes"}}],
                }
            )
            return pipes.run(context=context, task=task).get_materialize_result()
        ```
    """

    def __init__(
        self,
        client: WorkspaceClient,
        env: Mapping[str, str] | None = None,
        context_injector: PipesContextInjector | None = None,
        message_reader: PipesMessageReader | None = None,
        poll_interval_seconds: float = 5,
        forward_termination: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        self.env = env
        super().__init__(
            client, context_injector, message_reader, poll_interval_seconds, forward_termination
        )

    def get_default_message_reader(self, task: SubmitTask) -> PipesDbfsMessageReader:
        """Messages through DBFS; and what the cluster logs, where its logs go to DBFS."""
        cluster: Any = task.new_cluster
        if task.existing_cluster_id is not None:
            with translated(f"Databricks did not tell of cluster {task.existing_cluster_id}."):
                cluster = self.client.clusters.get(task.existing_cluster_id)
        logs = cluster.cluster_log_conf if cluster is not None else None
        if logs is None or logs.dbfs is None:
            return PipesDbfsMessageReader(client=self.client)
        readers = [
            PipesDbfsLogReader(client=self.client, remote_log_name=name, target_stream=stream)
            for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr))
        ]
        return PipesDbfsMessageReader(client=self.client, log_readers=readers)

    def _default_injector(self) -> PipesContextInjector:
        return PipesDbfsContextInjector(client=self.client)

    def _told(
        self, task: dict[str, Any], arguments: Mapping[str, str], variables: Mapping[str, str]
    ) -> None:
        if "new_cluster" in task:
            given = task["new_cluster"].get("spark_env_vars", {})
            task["new_cluster"]["spark_env_vars"] = {**given, **(self.env or {}), **variables}
        else:
            # Nobody can set variables of a cluster that exists.
            tell_by_arguments(task, arguments, variables)


class PipesDatabricksServerlessClient(_PipesClient):
    """Runs code on serverless compute of Databricks, and hears of it while it runs.

    The task gets arguments, and has to read them:
    `open_dagster_pipes(params_loader=PipesCliArgsParamsLoader(), ...)`; a notebook gets parameters.

    Args:
        client: The SDK's client: `DatabricksClientResource(...).get_client().workspace_client`.
        volume_path: The volume that context and messages pass through: `/Volumes/main/etl/pipes`.
        context_injector: How the task gets Dagster's context; by default a file of the volume.
        message_reader: How its messages come; by default through files of the volume.
        poll_interval_seconds: How often to look for the state of the run, in seconds.
        forward_termination: Whether an interrupt of the step cancels the run.
    """

    def __init__(
        self,
        client: WorkspaceClient,
        volume_path: str,
        context_injector: PipesContextInjector | None = None,
        message_reader: PipesMessageReader | None = None,
        poll_interval_seconds: float = 5,
        forward_termination: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        self.volume_path = volume_path
        super().__init__(
            client, context_injector, message_reader, poll_interval_seconds, forward_termination
        )

    def get_default_message_reader(self, task: SubmitTask) -> PipesMessageReader:  # noqa: ARG002
        """Messages through the volume."""
        return PipesUnityCatalogVolumesMessageReader(
            client=self.client, volume_path=self.volume_path
        )

    def _default_injector(self) -> PipesContextInjector:
        return PipesUnityCatalogVolumesContextInjector(
            client=self.client, volume_path=self.volume_path
        )

    def _told(
        self, task: dict[str, Any], arguments: Mapping[str, str], variables: Mapping[str, str]
    ) -> None:
        tell_by_arguments(task, arguments, variables)


def tell_by_arguments(
    task: dict[str, Any], arguments: Mapping[str, str], variables: Mapping[str, str]
) -> None:
    """Add arguments to those of a task of Python, or parameters to those of a notebook."""
    if "notebook_task" in task:
        given = task["notebook_task"].get("base_parameters", {})
        task["notebook_task"]["base_parameters"] = {**given, **variables}
        return
    for kind in _WITH_PARAMETERS:
        if kind in task:
            more = [each for pair in arguments.items() for each in pair]
            task[kind]["parameters"] = [*task[kind].get("parameters", []), *more]
            return
