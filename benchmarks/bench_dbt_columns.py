"""What it costs to add columns and their lineage to a run: CPU time per model, over the run without.

`DAGWEAVE_BENCH_MODELS=200` says for how many models. Ours is measured twice: with nothing known, and
with the lineage that an earlier run left on disk. The official package keeps none.
"""

from __future__ import annotations

import os

from benchmarks.bench_dbt_run import OFFICIAL_PACKAGE, OURS_PACKAGE
from benchmarks.dbt_projects import project
from benchmarks.measure import OFFICIAL, OURS, Command, run

RUN = """
import dagster
from pathlib import Path
from {package} import DbtCliResource, DbtProject, dbt_assets

project = DbtProject(Path("project").absolute())

@dbt_assets(manifest=project.manifest_path, project=project)
def models(context: dagster.AssetExecutionContext, dbt: DbtCliResource):
    yield from dbt.cli(["run"], context=context).stream(){added}

result = dagster.materialize([models], resources={{"dbt": DbtCliResource(project)}})
told = [e.materialization.metadata for e in result.get_asset_materialization_events()]
assert result.success and told
if {added!r}:
    with_lineage = sum("dagster/column_lineage" in metadata for metadata in told)
    assert with_lineage > 0.9 * len(told), (with_lineage, len(told))
"""
COLUMNS = ".fetch_column_metadata()"
QUIET = """
import os
null = os.open(os.devnull, os.O_WRONLY)
os.dup2(null, 1)
os.dup2(null, 2)
"""


def main() -> None:
    """One run each: the differences are far larger than what a busy machine adds."""
    models = int(os.environ.get("DAGWEAVE_BENCH_MODELS", "200").split(",")[0])
    print(f"\ndbt: columns and lineage of {models:,} models, beyond the run itself  (one run each)")
    costs = [
        cost(label, package, again=again, models=models)
        for label, package, again in (
            (f"{OURS_PACKAGE}, first run", OURS_PACKAGE, False),
            (f"{OURS_PACKAGE}, second run", OURS_PACKAGE, True),
            (f"{OFFICIAL_PACKAGE}", OFFICIAL_PACKAGE, False),
        )
    ]
    print(f"  ratio, first run             {costs[0] / costs[2]:8.2f} CPU")
    print(f"  ratio, second run            {costs[1] / costs[2]:8.2f} CPU")


def cost(label: str, package: str, *, again: bool, models: int) -> float:
    """The CPU time that columns and lineage add to a run, in ms per model."""
    python = OURS if package == OURS_PACKAGE else OFFICIAL
    copy = f"import shutil; shutil.copytree({str(project(models, python))!r}, 'project')\n"
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"

    def measured(added: str, setup: str) -> float:
        script = RUN.format(package=package, added=added)
        command = Command(label, script, python=python, setup=setup, env={"PATH": path})
        return run(command).cpu_s

    once = QUIET + RUN.format(package=package, added=COLUMNS)
    before = copy + once if again else copy
    bare = measured("", before)
    full = measured(COLUMNS, before)
    each_ms = (full - bare) / models * 1000
    print(f"  {label:<28} {each_ms:8.1f} CPU ms per model  ({bare:.1f} s -> {full:.1f} s)")
    return each_ms
