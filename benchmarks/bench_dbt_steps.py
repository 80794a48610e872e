"""One definition of dbt assets as many steps, over the same as one step.

Loading it, for each of the sizes in `DAGWEAVE_BENCH_MODELS=1000,5000`, and running ten models over
the warm runner in one process.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bench_dbt_warm import cpu_of, warm_pid
from benchmarks.dbt_projects import project
from benchmarks.measure import OURS, Command, compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import dagster

    from dagweave.dbt import DbtCliResource

RUNS = 3

LOAD = """
import dagster
from pathlib import Path
from dagweave.dbt import dbt_assets, split_dbt_assets

@dbt_assets(manifest=Path({manifest!r}))
def models(context): ...

repository = dagster.Definitions(assets={assets}).get_repository_def()
for job in repository.get_all_jobs():
    job.get_job_snapshot()
"""
WAYS = {
    "one step": "[models]",
    "per model": "split_dbt_assets(models, per='model')",
    "per group": "split_dbt_assets(models, per='group')",
}


def load(models: int) -> None:
    """From the start of the process to a job's snapshot."""
    manifest = str(project(models, OURS) / "target" / "manifest.json")
    one, *ways = (
        Command(label, LOAD.format(manifest=manifest, assets=assets))
        for label, assets in WAYS.items()
    )
    for way in ways:
        compare(f"dbt: load {models:,} models {way.label}", way, one, runs=3)


def run(models: int) -> None:
    """All steps in this process, once dbt is in memory."""
    import dagster

    from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets, split_dbt_assets

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_RUNTIME_DIR"] = scratch
        dbt_project = DbtProject(shutil.copytree(project(models, OURS), Path(scratch, "project")))
        dbt = DbtCliResource(dbt_project, runner="warm", dbt_executable=OURS.with_name("dbt"))

        def build(context: dagster.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
            yield from dbt.cli(["build"], context=context).stream()

        build.__annotations__ = {
            "context": dagster.AssetExecutionContext,
            "dbt": DbtCliResource,
        }
        whole = dbt_assets(manifest=dbt_project.manifest_path, project=dbt_project)(build)
        ways = {"per model": split_dbt_assets(whole, per="model"), "one step": [whole]}
        dbt.cli(["ls"]).wait()
        parent = warm_pid(Path(scratch))

        def cost(assets: Sequence[dagster.AssetsDefinition]) -> tuple[float, float]:
            pids = (os.getpid(), parent)
            start, before = time.perf_counter(), sum(map(cpu_of, pids))
            logging = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
            with redirect_stdout(io.StringIO()):
                done = dagster.materialize(assets, resources={"dbt": dbt}, run_config=logging)
            if not done.success:
                sys.exit("The run failed.")
            wall_s = time.perf_counter() - start
            # Until the parent has taken note of its child's end.
            time.sleep(0.2)
            return sum(map(cpu_of, pids)) - before, wall_s

        try:
            runs = [{label: cost(assets) for label, assets in ways.items()} for _ in range(RUNS)]
        finally:
            os.kill(parent, signal.SIGTERM)
    print(f"\ndbt: run {models:,} models, warm, in one process  (medians of {RUNS} pairs)")
    for label, assets in ways.items():
        cpu_s, wall_s = (statistics.median(each[label][at] for each in runs) for at in (0, 1))
        print(f"  {label:<12} {len(assets):3} steps {cpu_s:6.2f} CPU s {wall_s:6.2f} s")
    cpu, wall = (
        statistics.median(each["per model"][at] / each["one step"][at] for each in runs)
        for at in (0, 1)
    )
    print(f"  ratio                  {cpu:6.2f} CPU   {wall:6.2f} wall")


def main() -> None:
    """Loads of the sizes asked for, and a run of ten models."""
    for size in os.environ.get("DAGWEAVE_BENCH_MODELS", "1000").split(","):
        load(int(size))
    run(10)


if __name__ == "__main__":
    main()
