"""Runs of jobs: started once, waited for, taken up again, cancelled."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from dagster import (
    Failure,
    OpDefinition,
    ResourceDefinition,
    RetryPolicy,
    job,
    op,
)
from databricks.sdk.service import jobs

from dagweave._kernel.errors import InvalidInput
from dagweave.databricks import (
    AzureServicePrincipalCredentials,
    DatabricksClient,
    DatabricksClientResource,
    DatabricksError,
    DatabricksJobRunner,
    OauthCredentials,
    create_databricks_run_now_op,
    create_databricks_submit_run_op,
    databricks_client,
)
from emulators.at_databricks import Emulator

pytestmark = pytest.mark.xdist_group("databricks")

LOG = logging.getLogger("test")


@pytest.fixture
def resource(emulator: Emulator) -> DatabricksClientResource:
    return DatabricksClientResource(host=emulator.host, token=emulator.token)


def _runs(emulator: Emulator) -> list[Any]:
    return list(emulator.workspace.jobs.list_runs())


def _execute(each: OpDefinition, resource: DatabricksClientResource, **how: Any) -> Any:
    @job(resource_defs={"databricks": resource})
    def runs() -> None:
        each()

    return runs.execute_in_process(**how)


def test_a_task_is_run_and_waited_for(
    emulator: Emulator, resource: DatabricksClientResource, script: Any
) -> None:
    before = len(_runs(emulator))
    task = create_databricks_submit_run_op(script("print('hello')"), 0.1, name="hello")

    done = _execute(task, resource)

    assert done.success
    assert len(_runs(emulator)) == before + 1
    [output] = [e for e in done.all_events if e.event_type_value == "STEP_OUTPUT"]
    metadata = output.step_output_data.metadata
    assert metadata["dagweave/databricks_url"].value.startswith(emulator.host)


def test_a_job_is_run_by_its_id_and_may_be_skipped(
    emulator: Emulator, resource: DatabricksClientResource, script: Any
) -> None:
    workspace = emulator.workspace
    skipped = jobs.Task(task_key="dbt", dbt_task=jobs.DbtTask(commands=["dbt run"]))
    made = workspace.jobs.create(name="nightly", tasks=[skipped])

    done = _execute(create_databricks_run_now_op(made.job_id, None, 0.1), resource)

    assert done.success


def test_a_run_that_fails_fails_the_op_with_what_databricks_says(
    resource: DatabricksClientResource, script: Any
) -> None:
    task = create_databricks_submit_run_op(script("raise SystemExit(3)"), 0.1)

    with pytest.raises(Failure, match=r"(?s)DatabricksError.*FAILED.*code 3"):
        _execute(task, resource)


def test_a_job_that_is_not_there_is_said_so(resource: DatabricksClientResource) -> None:
    with pytest.raises(Failure, match=r"(?s)did not start job 987654.*not found"):
        _execute(create_databricks_run_now_op(987654, None, 0.1), resource)


def test_a_run_that_takes_too_long_is_cancelled(
    emulator: Emulator, resource: DatabricksClientResource, script: Any
) -> None:
    slow = script("import time; time.sleep(2)")
    task = create_databricks_submit_run_op(slow, 0.1, max_wait_time_seconds=0.3, name="slow")

    with pytest.raises(Failure, match=r"more than 0\.3 s"):
        _execute(task, resource)

    assert max(run.run_id for run in _runs(emulator)) in emulator.ask("cancelled")


def test_an_interrupt_cancels_the_run_and_goes_on(
    emulator: Emulator, script: Any, resource: DatabricksClientResource
) -> None:
    class Interrupting:
        def monotonic(self) -> float:
            return 0.0

        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    task = create_databricks_submit_run_op(script("import time; time.sleep(2)"), 0.1)
    client = resource.get_client()
    client.clock = Interrupting()

    @job(resource_defs={"databricks": _given(client)})
    def runs() -> None:
        task()

    with pytest.raises(KeyboardInterrupt):
        runs.execute_in_process()

    assert max(run.run_id for run in _runs(emulator)) in emulator.ask("cancelled")


def _given(client: DatabricksClient) -> Any:
    return ResourceDefinition.hardcoded_resource(client)


def test_a_retried_step_takes_up_the_run_of_the_attempt_before(
    emulator: Emulator, resource: DatabricksClientResource, script: Any
) -> None:
    class Dying(DatabricksClient):
        """Loses its worker once, while it waits."""

        lost = False

        def wait_for_run_to_complete(self, *args: Any, **more: Any) -> None:
            if not Dying.lost:
                Dying.lost = True
                raise RuntimeError("the worker is lost")
            super().wait_for_run_to_complete(*args, **more)

    before = len(_runs(emulator))
    task = create_databricks_submit_run_op(script("import time; time.sleep(0.5)"), 0.1)
    retried = task.with_retry_policy(RetryPolicy(max_retries=1))

    @job(resource_defs={"databricks": _given(Dying(emulator.host, emulator.token))})
    def runs() -> None:
        retried()

    assert runs.execute_in_process(raise_on_error=False).success
    assert len(_runs(emulator)) == before + 1


def test_a_start_whose_answer_was_lost_does_not_start_twice(
    emulator: Emulator, resource: DatabricksClientResource, script: Any
) -> None:
    before = len(_runs(emulator))
    task = create_databricks_submit_run_op(script("print(1)"), 0.1)
    emulator.ask("faults", lose_runs="1")

    assert _execute(task, resource).success
    assert len(_runs(emulator)) == before + 1


def test_a_state_that_is_not_known_is_waited_through_with_a_warning(
    emulator: Emulator,
    resource: DatabricksClientResource,
    script: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = resource.get_client()
    task = jobs.SubmitTask.from_dict({"task_key": "t", **script("print(1)")})
    run = client.workspace_client.jobs.submit(tasks=[task]).response
    emulator.ask("faults", unknown_state="1")

    client.wait_for_run_to_complete(LOG, run.run_id, 0.1, 60)

    assert "not known here" in caplog.text


def test_the_client_reads_and_writes_files_of_any_size(resource: DatabricksClientResource) -> None:
    client = resource.get_client()
    content = bytes(range(256)) * 6000

    client.put_file(io.BytesIO(content), "dbfs:/tmp/large.bin", overwrite=True)

    assert client.read_file("dbfs:/tmp/large.bin") == content
    with pytest.raises(InvalidInput, match="nowhere"):
        client.read_file("/nowhere")


def test_a_runner_submits_what_the_official_one_does(emulator: Emulator, script: Any) -> None:
    runner = DatabricksJobRunner(emulator.host, emulator.token, poll_interval_sec=0.1)
    task = {"spark_python_task": script("print(1)")["spark_python_task"]}
    cluster = {
        "new": {
            "size": {"num_workers": 1},
            "spark_version": "15.4.x-scala2.12",
            "nodes": {"node_types": {"node_type_id": "i3.xlarge"}},
            "custom_tags": [{"key": "team", "value": "data"}],
        }
    }

    run_id = runner.submit_run({"cluster": cluster, "run_name": "one"}, task)
    runner.client.wait_for_run_to_complete(LOG, run_id, 0.1, 60)

    with pytest.raises(InvalidInput, match="one task"):
        runner.submit_run({"cluster": cluster}, {})
    with pytest.raises(InvalidInput, match="cluster"):
        runner.submit_run({}, task)


def test_an_op_without_a_task_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no task"):
        create_databricks_submit_run_op({})


@pytest.mark.parametrize(
    "two",
    [
        {"token": "t", "oauth_credentials": OauthCredentials(client_id="i", client_secret="s")},
        {"token": "t", "credentials_strategy": object()},
        {
            "oauth_credentials": OauthCredentials(client_id="i", client_secret="s"),
            "azure_credentials": AzureServicePrincipalCredentials(
                azure_client_id="i", azure_client_secret="s", azure_tenant_id="t"
            ),
        },
    ],
)
def test_a_resource_takes_one_way_to_log_in(two: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="more than one way"):
        DatabricksClientResource(host="https://here", **two)


def test_a_resource_needs_a_way_to_log_in() -> None:
    with pytest.raises(InvalidInput, match="no way to log in"):
        DatabricksClientResource(host="https://here").get_client()


def test_a_strategy_of_the_sdk_logs_in(emulator: Emulator) -> None:
    from databricks.sdk.credentials_provider import CredentialsStrategy

    class Own(CredentialsStrategy):
        def auth_type(self) -> str:
            return "own"

        def __call__(self, cfg: Any) -> Any:
            return lambda: {"Authorization": f"Bearer {emulator.token}"}

    resource = DatabricksClientResource(host=emulator.host, credentials_strategy=Own())

    assert resource.get_client().workspace_client.warehouses.get(emulator.warehouse_id).id


def test_a_resource_shows_no_secret() -> None:
    resource = DatabricksClientResource(host="https://here", token="dapi-look-for-me")

    assert "look-for-me" not in repr(resource)


def test_the_resource_of_old_is_the_client(emulator: Emulator) -> None:
    seen: list[DatabricksClient] = []

    @op(required_resource_keys={"databricks"})
    def look(context) -> None:
        seen.append(context.resources.databricks)

    settings = {"host": emulator.host, "token": emulator.token}

    @job(resource_defs={"databricks": databricks_client.configured(settings)})
    def runs() -> None:
        look()

    with pytest.warns(DeprecationWarning, match="old spelling"):
        runs.execute_in_process()

    assert isinstance(seen[0], DatabricksClient)
    assert issubclass(DatabricksError, Exception)
