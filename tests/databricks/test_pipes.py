"""Code on Databricks that talks to Dagster while it runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, MaterializeResult, asset, materialize
from databricks.sdk.service import jobs

from dagweave._kernel.errors import InvalidInput
from dagweave.databricks import (
    PipesDatabricksClient,
    PipesDatabricksServerlessClient,
    PipesDbfsContextInjector,
    PipesDbfsLogReader,
    PipesDbfsMessageReader,
    PipesUnityCatalogVolumesMessageReader,
)
from dagweave.testing import FakeClock
from emulators.at_databricks import Emulator

pytestmark = [
    pytest.mark.xdist_group("databricks"),
    # Dagster's own session of Pipes asks for these.
    pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]

# On a real cluster these are PipesDbfs* and PipesUnityCatalogVolumes*; here /dbfs and /Volumes are
# elsewhere.
TASK = """
import os
from contextlib import contextmanager

import dagster_pipes as dp

ROOT = os.environ["EMULATOR_DBFS"]


def here(params):
    return {**params, "path": ROOT + params["path"]}


class Loader(dp.PipesUnityCatalogVolumesContextLoader):
    @contextmanager
    def load_context(self, params):
        with super().load_context(here(params)) as context:
            yield context


class Writer(dp.PipesUnityCatalogVolumesMessageWriter):
    def make_channel(self, params):
        return super().make_channel(here(params))
"""

FROM_ENVIRONMENT = """
with dp.open_dagster_pipes(context_loader=Loader(), message_writer=Writer()) as pipes:
    pipes.log.info("hello from " + pipes.get_extra("who"))
    pipes.report_asset_materialization(metadata={"rows": 3}, asset_key=pipes.get_extra("asset"))
"""

FROM_ARGUMENTS = FROM_ENVIRONMENT.replace(
    "open_dagster_pipes(", "open_dagster_pipes(params_loader=dp.PipesCliArgsParamsLoader(), "
)


def _task(key: str, given: dict[str, Any]) -> jobs.SubmitTask:
    return jobs.SubmitTask.from_dict({"task_key": key, **given})


def _client(emulator: Emulator, **how: Any) -> PipesDatabricksClient:
    reader = PipesDbfsMessageReader(interval=0.1, client=emulator.workspace)
    how = {"message_reader": reader, **how}
    return PipesDatabricksClient(emulator.workspace, poll_interval_seconds=0.1, **how)


def test_a_task_on_a_new_cluster_reports_to_dagster(emulator: Emulator, script: Any) -> None:
    given = script(TASK + FROM_ENVIRONMENT)
    instance = DagsterInstance.ephemeral()

    @asset
    def trained(context):
        extras = {"who": "a cluster", "asset": "trained"}
        task = _task("train", given)
        return (
            _client(emulator)
            .run(context=context, task=task, extras=extras)
            .get_materialize_result()
        )

    run = materialize([trained], instance=instance)

    [written] = run.asset_materializations_for_node("trained")
    assert written.metadata["rows"].value == 3
    assert written.metadata["Databricks Job Run URL"].value.startswith(emulator.host)
    messages = [each.user_message for each in instance.all_logs(run.run_id)]
    assert "hello from a cluster" in messages
    assert list(Path(emulator.dbfs, "tmp").glob("dagster_pipes_*")) == []


def test_a_task_on_serverless_compute_reports_through_a_volume(
    emulator: Emulator, script: Any, catalog: str
) -> None:
    given = {"spark_python_task": script(TASK + FROM_ARGUMENTS)["spark_python_task"]}
    volume = f"/Volumes/{catalog}/default/pipes"

    @asset
    def trained(context):
        client = PipesDatabricksServerlessClient(
            emulator.workspace,
            volume,
            message_reader=PipesUnityCatalogVolumesMessageReader(
                interval=0.1, client=emulator.workspace, volume_path=volume
            ),
            poll_interval_seconds=0.1,
        )
        extras = {"who": "serverless", "asset": "trained"}
        task = _task("train", given)
        return client.run(context=context, task=task, extras=extras).get_materialize_result()

    run = materialize([trained])

    [written] = run.asset_materializations_for_node("trained")
    assert written.metadata["rows"].value == 3
    assert list(Path(emulator.dbfs + volume, "dagster_pipes").iterdir()) == []


def test_a_run_that_fails_fails_the_step_with_what_databricks_says(
    emulator: Emulator, script: Any
) -> None:
    given = script("raise SystemExit(4)")

    @asset
    def trained(context) -> None:
        _client(emulator).run(context=context, task=_task("train", given))

    with pytest.raises(Exception, match=r"(?s)ended badly: TERMINATED, FAILED.*code 4"):
        materialize([trained])


@pytest.mark.parametrize("forward", [True, False], ids=["forwarded", "not forwarded"])
def test_an_interrupt_cancels_the_run_and_is_raised_again(
    emulator: Emulator, script: Any, forward: bool
) -> None:
    class Interrupting(FakeClock):
        times = 0

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            self.times += 1
            if self.times == 1:
                raise KeyboardInterrupt

    given = script("import time; time.sleep(1)")
    client = _client(emulator, forward_termination=forward)
    client.clock = Interrupting()

    @asset
    def trained(context) -> None:
        client.run(context=context, task=_task("train", given))

    with pytest.raises(KeyboardInterrupt):
        materialize([trained])

    latest = max(run.run_id for run in emulator.workspace.jobs.list_runs())
    assert (latest in emulator.ask("cancelled")) is forward


def test_several_tasks_report_each_in_its_own_place(emulator: Emulator, script: Any) -> None:
    given = [
        script(
            TASK
            + "with dp.open_dagster_pipes(context_loader=Loader(), message_writer=Writer()) as pipes:\n"
            + f"    pipes.report_custom_message({at})\n"
        )
        for at in range(2)
    ]

    class Client(PipesDatabricksClient):
        def get_default_message_reader(self, task: jobs.SubmitTask) -> PipesDbfsMessageReader:
            return PipesDbfsMessageReader(interval=0.1, client=self.client)

    client = Client(emulator.workspace, poll_interval_seconds=0.1)
    seen: list[Any] = []

    @asset
    def trained(context):
        tasks = [_task(f"train{at}", each) for at, each in enumerate(given)]
        seen.extend(client.run_multi_task(context=context, tasks=tasks).get_custom_messages())
        return MaterializeResult()

    assert materialize([trained]).success
    assert sorted(seen) == [0, 1]
    with pytest.raises(InvalidInput, match="no tasks"):
        client.run_multi_task(context=None, tasks=[])  # type: ignore[arg-type]


def test_context_of_more_than_a_block_reaches_the_task(emulator: Emulator) -> None:
    injector = PipesDbfsContextInjector(client=emulator.workspace)
    large = {"extras": {"text": "x" * 1_500_000}}

    with injector.inject_context(large) as params:  # type: ignore[arg-type]
        written = Path(emulator.dbfs + params["path"]).read_text()

    assert len(written) > 1_500_000


def test_a_log_of_more_than_a_block_is_read_to_its_end_as_it_grows(emulator: Emulator) -> None:
    folder = Path(emulator.dbfs, "logs", "driver")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "stdout"
    text = "Ünïcode line\n" * 100_000
    data = text.encode()
    log.write_bytes(data[: 1024 * 1024 + 1])
    seen = io.StringIO()
    reader = PipesDbfsLogReader(
        client=emulator.workspace, remote_log_name="stdout", target_stream=seen, interval=0.1
    )
    params = {"extras": {"cluster_driver_log_root": "/logs/driver"}}

    found = [reader.download_log_chunk(params)]
    log.write_bytes(data)
    found += [reader.download_log_chunk(params), reader.download_log_chunk(params)]

    assert "".join(each or "" for each in found) == text
    assert found[-1] is None
    assert reader.target_is_readable({"extras": {}}) is True


def test_a_cluster_s_logs_are_read_where_they_go_to_dbfs(emulator: Emulator) -> None:
    client = PipesDatabricksClient(emulator.workspace)
    logged = {
        "new_cluster": {
            "num_workers": 1,
            "cluster_log_conf": {"dbfs": {"destination": "dbfs:/logs"}},
        }
    }

    assert len(client.get_default_message_reader(_task("t", logged)).log_readers) == 2
    plain = client.get_default_message_reader(_task("t", {"new_cluster": {"num_workers": 1}}))
    assert not plain.log_readers


def test_nobody_who_reads_an_existing_cluster_misses_its_arguments(emulator: Emulator) -> None:
    made = emulator.workspace.clusters.create(
        spark_version="15.4.x-scala2.12", cluster_name="there", num_workers=1
    ).response
    client = PipesDatabricksClient(emulator.workspace)
    task = {"existing_cluster_id": made.cluster_id, "spark_python_task": {"parameters": ["a"]}}
    notebook = {"existing_cluster_id": made.cluster_id, "notebook_task": {}}

    client._told(task, {"--key": "value"}, {"KEY": "value"})
    client._told(notebook, {"--key": "value"}, {"KEY": "value"})

    assert task["spark_python_task"]["parameters"] == ["a", "--key", "value"]
    assert notebook["notebook_task"]["base_parameters"] == {"KEY": "value"}
    assert client.get_default_message_reader(_task("t", {"existing_cluster_id": made.cluster_id}))
