"""Runs that end at any moment: dbt is killed, or Dagster is, or Dagster is told to stop.

However it ends, no dbt goes on by itself, nothing is claimed that is not there, and a run that takes
up the failed one completes it. `DAGWEAVE_TEST_KILLS` says how many runs are ended (12 by default).
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus

from dagweave.dbt import DbtProject
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.run import DbtProcess

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc"),
    pytest.mark.xdist_group("warm"),
]

KILLS = int(os.environ.get("DAGWEAVE_TEST_KILLS", "12"))
SEED = int(os.environ.get("DAGWEAVE_TEST_SEED", "1"))

# A run as a daemon would launch it: a process of its own. `python run.py FOLDER RUNNER [FAILED_RUN]`
RUN = """
import sys

from dagster import (
    AssetExecutionContext, AssetKey, AssetSelection, DagsterInstance, Definitions,
    ReexecutionOptions, asset, define_asset_job, execute_job, in_process_executor, reconstructable,
)

from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets


def shop_job():
    project = DbtProject(sys.argv[1])

    @dbt_assets(manifest=project.manifest_path, project=project)
    def shop(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()

    @asset(deps=[AssetKey(["finance", "revenue"])])
    def report() -> None: ...

    return Definitions(
        assets=[shop, report],
        jobs=[define_asset_job("shop_job", AssetSelection.all())],
        resources={"dbt": DbtCliResource(project, runner=sys.argv[2])},
        executor=in_process_executor,
    ).resolve_job_def("shop_job")


if __name__ == "__main__":
    instance = DagsterInstance.get()
    again = sys.argv[3:] and ReexecutionOptions.from_failure(sys.argv[3], instance)
    with execute_job(
        reconstructable(shop_job), instance, reexecution_options=again or None
    ) as result:
        sys.exit(0 if result.success else 3)
"""


def within(seconds: float, holds: Callable[[], object]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def at_work_in(folder: Path) -> list[int]:
    """The processes whose folder this is, as a dbt's is its project; those that have ended apart."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@dataclass
class Shop:
    project: DbtProject
    home: Path
    runner: str

    def start(self, *failed_run: str) -> subprocess.Popen[bytes]:
        program = self.home / "run.py"
        program.write_text(RUN)
        with (self.home / "stderr").open("wb") as said:
            return subprocess.Popen(
                [sys.executable, program, self.project.project_dir, self.runner, *failed_run],
                cwd=self.home,
                env={**os.environ, "DAGSTER_HOME": str(self.home)},
                stdout=subprocess.DEVNULL,
                stderr=said,
            )

    @property
    def said(self) -> int:
        """How many lines dbt has logged, in all runs."""
        return sum(log.read_bytes().count(b"\n") for log in self.logs)

    @property
    def logs(self) -> list[Path]:
        return list(self.project.project_dir.glob("target/shop-*/dbt.log"))

    def tables(self) -> set[str]:
        with duckdb.connect(str(self.project.project_dir / "warehouse.duckdb")) as connection:
            rows = connection.execute(
                "select table_name from information_schema.tables where table_schema != 'raw'"
            ).fetchall()
        return {name for (name,) in rows}


@pytest.fixture
def make_shop(
    shop: DbtProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Shop]]:
    home, runtime = tmp_path / "home", tmp_path / "runtime"
    home.mkdir()
    runtime.mkdir(mode=0o700)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    # Nothing is built yet.
    (shop.project_dir / "warehouse.duckdb").unlink()
    yield lambda runner: Shop(shop, home, runner)
    # The warm runner's process leaves with its socket; nobody need wait for that.
    for socket in (runtime / "dagweave").glob("*.sock"):
        socket.unlink()


def materialized(instance: DagsterInstance, run_id: str) -> set[AssetKey]:
    logs = instance.all_logs(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION)
    events = [entry.dagster_event for entry in logs if entry.dagster_event]
    return {event.asset_key for event in events if event.asset_key}


def failure(instance: DagsterInstance, run_id: str) -> str:
    logs = instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE)
    return "\n".join(str(e.dagster_event.step_failure_data.error) for e in logs if e.dagster_event)


def kills() -> list[tuple[str, str, int]]:
    """Who is ended and how, by which runner dbt runs, and a seed for the moment."""
    ways = ["kill dbt", "kill Dagster", "terminate Dagster", "interrupt Dagster"]
    return [
        (ways[at % len(ways)], ("subprocess", "warm")[at // len(ways) % 2], SEED * 1000 + at)
        for at in range(KILLS)
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("how", "runner", "seed"), kills())
def test_whenever_a_run_ends_nothing_goes_on_nothing_is_made_up_and_a_retry_completes_it(
    how: str, runner: str, seed: int, make_shop: Callable[[str], Shop]
):
    shop = make_shop(runner)
    folder = shop.project.project_dir
    moment = random.Random(seed).randint(0, 70)

    dagster = shop.start()
    assert within(120, lambda: at_work_in(folder) or dagster.poll() is not None)
    within(120, lambda: shop.said >= moment or dagster.poll() is not None)
    if how == "kill dbt":
        for pid in at_work_in(folder):
            os.kill(pid, signal.SIGKILL)
    elif how == "kill Dagster":
        dagster.kill()
    else:
        dagster.send_signal(signal.SIGTERM if how.startswith("term") else signal.SIGINT)
    dagster.wait(120)

    assert within(60, lambda: not at_work_in(folder)), "dbt goes on"
    with DagsterInstance.from_config(str(shop.home)) as instance:
        [run] = instance.get_runs()
        if run.status is DagsterRunStatus.STARTED:
            # What Dagster's monitoring daemon does with a run whose process is gone.
            assert how == "kill Dagster"
            instance.report_run_failed(run, "The process of the run is gone.")
        elif run.status is not DagsterRunStatus.SUCCESS:
            assert_says_why(how, run, failure(instance, run.run_id))
        claimed = materialized(instance, run.run_id)
        names = {key.path[-1] for key in claimed} - {"report"}
        assert names <= shop.tables()
        if instance.get_runs()[0].status is DagsterRunStatus.SUCCESS:
            # It had ended before the signal came.
            return

        again = shop.start(run.run_id)
        assert again.wait(240) == 0, (shop.home / "stderr").read_text()[-3000:]
        [last] = instance.get_runs(limit=1)
        manifest = Manifest.of(shop.project.manifest_path)
        nodes = [manifest.node(id_) for id_ in manifest.ids("nodes")]
        made = {key.path[-1] for key in materialized(instance, last.run_id)}
        assert {"report", "revenue", "orders", "countries", "order_history"} <= made
        assert len(made) == 1 + len([node for node in nodes if node.is_asset])
        assert made - {"report"} <= shop.tables()


def assert_says_why(how: str, run: DagsterRun, said: str) -> None:
    if how == "kill dbt":
        assert "was killed by SIGKILL" in said
    else:
        assert run.status in (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
        assert "Interrupt" in said


def test_what_stands_by_a_dbt_leaves_with_it(tmp_path: Path):
    process = DbtProcess([sys.executable, "-c", ""], cwd=tmp_path, env=dict(os.environ))
    process.wait()

    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    ours = [Path("/proc", child, "cmdline").read_bytes() for child in children]
    assert not [line for line in ours if f"\0{process.popen.pid}\0".encode() in line]


NEVER_ENDS = "select sum(a.i * b.i) as id from range(10000000) a(i), range(10000000) b(i)"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("runner", ["subprocess", "warm"])
def test_a_killed_dagster_leaves_no_dbt_behind_that_goes_on_with_its_query(
    runner: str, make_shop: Callable[[str], Shop]
):
    shop = make_shop(runner)
    (shop.project.project_dir / "seeds" / "countries.csv").unlink()
    (shop.project.project_dir / "models" / "countries.sql").write_text(
        '{{ config(materialized="table") }} ' + NEVER_ENDS
    )

    dagster = shop.start()
    started = "START sql table model main.countries"
    assert within(180, lambda: any(started in log.read_text() for log in shop.logs))
    assert at_work_in(shop.project.project_dir)
    dagster.kill()
    dagster.wait(60)

    assert within(60, lambda: not at_work_in(shop.project.project_dir))
