"""A step whose process is killed in mid-sync, and what its retry does; runs that are cancelled."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from dagweave.testing import FivetranServer, FivetranSync

PIPELINE = """
from dagster import Definitions, EnvVar, define_asset_job
from dagweave.fivetran import FivetranWorkspace, build_fivetran_assets_definitions

fivetran = FivetranWorkspace(
    account_id="acme", api_key=EnvVar("FIVETRAN_API_KEY"), poll_interval=0.1,
    api_secret=EnvVar("FIVETRAN_API_SECRET"), cancel_on_termination=True,
)
defs = Definitions(
    assets=build_fivetran_assets_definitions(workspace=fivetran),
    jobs=[define_asset_job("sync")],
    resources={"fivetran": fivetran},
)
"""
RUN = """
import sys
from dagster import DagsterInstance, ReexecutionOptions, execute_job, reconstructable
from pipeline import defs

def sync():
    return defs.resolve_job_def("sync")

if __name__ == "__main__":
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    options = ReexecutionOptions.from_failure(parent, DagsterInstance.get()) if parent else None
    with execute_job(
        reconstructable(sync), instance=DagsterInstance.get(), reexecution_options=options
    ) as result:
        print(result.success, flush=True)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "runs.py").write_text(RUN)
    return tmp_path


def until(true: Callable[[], Any], *, process: subprocess.Popen[str] | None = None) -> Any:
    end = time.monotonic() + 120
    while not (found := true()):
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)
    return found


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "runs.py", *arguments],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_run_after_a_killed_one_takes_up_its_sync(fivetran_server: FivetranServer, home: Path):
    shop = fivetran_server.add_connection("shop", tables={"shop": ["orders"]})
    fivetran_server.script("shop_id", FivetranSync("endless"))
    killed = start(home)
    until(lambda: shop.begun, process=killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert shop.running is not None
    with DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        instance.report_run_failed(run)

    again = start(home, run.run_id)
    polls = fivetran_server.called("GET .*/shop_id$")
    until(lambda: fivetran_server.called("GET .*/shop_id$") > polls, process=again)
    fivetran_server.finish("shop_id")
    out, err = again.communicate(timeout=120)

    assert "True" in out, err
    assert shop.begun == ["sync"]
    assert "Taking up the sync of an earlier attempt" in err


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_sync_is_stopped_when_a_person_cancels_the_run_and_not_when_a_worker_is_lost(
    fivetran_server: FivetranServer, home: Path, cancelled: bool
):
    shop = fivetran_server.add_connection("shop", tables={"shop": ["orders"]})
    fivetran_server.script("shop_id", FivetranSync("endless"))
    process = start(home)
    until(lambda: shop.begun, process=process)
    with DagsterInstance.get() as instance:
        (run,) = until(instance.get_runs)
        if cancelled:
            instance.report_run_canceling(run)
            status = instance.get_run_by_id(run.run_id)
            assert status is not None
            assert status.status is DagsterRunStatus.CANCELING
    # A launcher terminates the run's own process, and that one its steps.
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    print(err)

    assert (shop.running is None) is cancelled
    assert shop.paused is False
    assert fivetran_server.called("PATCH") == (3 if cancelled else 1)
