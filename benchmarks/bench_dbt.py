"""A dbt project of any size: loading its definitions, and running them.

`DAGWEAVE_BENCH_MODELS=1000,5000,10000` says for how many models the load is measured. The projects
are generated and parsed once, under `.home/bench/`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import OFFICIAL, OURS, ROOT, Command, compare

LOAD = """
import dagster, {package}
from pathlib import Path

@{package}.dbt_assets(manifest=Path({manifest!r}))
def models(context): ...

repository = dagster.Definitions(assets=[models]).get_repository_def()
for job in repository.get_all_jobs():
    job.get_job_snapshot()
"""
RUN = """
import dagster
from pathlib import Path
from {package} import DbtCliResource, DbtProject, dbt_assets

project = DbtProject(Path("project").absolute())

@dbt_assets(manifest=project.manifest_path, project=project)
def models(context: dagster.AssetExecutionContext, dbt: DbtCliResource):
    yield from dbt.cli(["build"], context=context).stream()

assert dagster.materialize([models], resources={{"dbt": DbtCliResource(project)}}).success
"""
BARE = """
import os, subprocess, sys
dbt = os.path.join(os.path.dirname(sys.executable), "dbt")
subprocess.run([dbt, "build"], cwd="project", check=True)
"""
OURS_PACKAGE, OFFICIAL_PACKAGE = "dagweave.dbt", "dagster_dbt"


def project(models: int, python: Path) -> Path:
    """A generated project of this many models, parsed by that environment's dbt, with its sources."""
    folder = ROOT / ".home" / "bench" / f"dbt-{models}-{python.parents[1].name}"
    if (folder / "ready").exists():
        return folder
    print(f"Generating and parsing a dbt project of {models} models ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    generator = Path(__file__).parent / "gen_dbt_project.py"
    subprocess.run([sys.executable, generator, folder, "--models", str(models)], check=True)
    for command in (["parse", "--quiet"], ["run-operation", "create_raw_tables", "--quiet"]):
        env = os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        subprocess.run([python.parent / "dbt", *command], cwd=folder, env=env, check=True)
    (folder / "ready").touch()
    return folder


def load(models: int) -> None:
    """From the start of the process to a job's snapshot, Dagster's own share included."""
    manifest = str(project(models, OURS) / "target" / "manifest.json")
    scripts = [LOAD.format(package=p, manifest=manifest) for p in (OURS_PACKAGE, OFFICIAL_PACKAGE)]
    compare(
        f"dbt: load {models:,} models",
        Command(OURS_PACKAGE, scripts[0]),
        Command(OFFICIAL_PACKAGE, scripts[1], python=OFFICIAL),
        runs=3,
    )


def run(models: int) -> None:
    """Build everything once, in a copy of a parsed project."""

    def command(label: str, script: str, python: Path) -> Command:
        copy = f"import shutil; shutil.copytree({str(project(models, python))!r}, 'project')"
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        return Command(label, script, python=python, setup=copy, env={"PATH": path})

    # The official package fails in a run of a project given by a relative path.
    ours, official = (
        command(package, RUN.format(package=package), python)
        for package, python in ((OURS_PACKAGE, OURS), (OFFICIAL_PACKAGE, OFFICIAL))
    )
    bare = command("dbt build", BARE, OURS)
    compare(f"dbt: run {models} models, over the official package", ours, official, runs=3)
    compare(f"dbt: run {models} models, over bare dbt", ours, bare, runs=3)


def main() -> None:
    """Loads of the sizes asked for, and a run of ten models."""
    for size in os.environ.get("DAGWEAVE_BENCH_MODELS", "1000").split(","):
        load(int(size))
    run(10)
