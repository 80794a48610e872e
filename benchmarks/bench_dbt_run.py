"""Running a dbt project in Dagster: over bare `dbt build`, and over the official package.

- CPU seconds above bare `dbt build` of ten and of a hundred models, ours over the official's;
- ten models with `runner="warm"`, on the clock, over `dbt build` from the command line;
- dbt's part of materializing one model of thousands (`DAGWEAVE_BENCH_MODELS=1000`), warm over not.
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
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bench_dbt_warm import warm_pid
from benchmarks.dbt_projects import project, sizes
from benchmarks.measure import OFFICIAL, OURS, Command, run

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import dagster

    from dagweave.dbt import DbtCliResource, DbtProject

OURS_PACKAGE, OFFICIAL_PACKAGE = "dagweave.dbt", "dagster_dbt"
RUNS = 3
# The official package fails in a run of a project given by a relative path.
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


def in_a_copy(label: str, script: str, models: int, python: Path) -> Command:
    """A process in a copy of a parsed project."""
    copy = f"import shutil; shutil.copytree({str(project(models, python))!r}, 'project')"
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return Command(label, script, python=python, setup=copy, env={"PATH": path})


def excess(models: int) -> None:
    """CPU seconds of a run above those of dbt alone."""
    commands = [
        in_a_copy("dbt build", BARE, models, OURS),
        in_a_copy(OURS_PACKAGE, RUN.format(package=OURS_PACKAGE), models, OURS),
        in_a_copy(OFFICIAL_PACKAGE, RUN.format(package=OFFICIAL_PACKAGE), models, OFFICIAL),
    ]
    rounds = [[run(command) for command in commands] for _ in range(RUNS)]
    print(f"\ndbt: run {models} models  (medians of {RUNS} rounds)")
    for place, command in enumerate(commands):
        cpu_s, wall_s = (
            statistics.median(getattr(each[place], name) for each in rounds)
            for name in ("cpu_s", "wall_s")
        )
        print(f"  {command.label:<28} {cpu_s:8.2f} CPU s {wall_s:8.2f} s")
    ratio = statistics.median(
        (ours.cpu_s - bare.cpu_s) / (official.cpu_s - bare.cpu_s) for bare, ours, official in rounds
    )
    print(f"  above dbt build, ratio       {ratio:8.2f} CPU")


@dataclass
class Step:
    """A definition of all models, whose dbt command is timed."""

    project: DbtProject
    runner: str
    dbt_s: list[float] = field(default_factory=list)

    @property
    def dbt(self) -> DbtCliResource:
        """What runs dbt."""
        from dagweave.dbt import DbtCliResource

        return DbtCliResource(
            self.project, runner=self.runner, dbt_executable=OURS.with_name("dbt")
        )

    def definition(self) -> dagster.AssetsDefinition:
        """The definition."""
        import dagster

        from dagweave.dbt import DbtCliResource, dbt_assets

        def models(context: dagster.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
            started = time.perf_counter()
            yield from dbt.cli(["build"], context=context).stream()
            self.dbt_s.append(time.perf_counter() - started)

        models.__annotations__ = {
            "context": dagster.AssetExecutionContext,
            "dbt": DbtCliResource,
        }
        return dbt_assets(manifest=self.project.manifest_path, project=self.project)(models)

    def run(self, model: str | None = None) -> float:
        """Materialize all, or one model; return how long it took on the clock."""
        import dagster

        quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
        definition = self.definition()
        started = time.perf_counter()
        with redirect_stdout(io.StringIO()):
            done = dagster.materialize(
                [definition],
                selection=[model] if model else None,
                resources={"dbt": self.dbt},
                run_config=quiet,
            )
        if not done.success:
            sys.exit("The run failed.")
        return time.perf_counter() - started


@contextmanager
def copied(models: int) -> Generator[DbtProject]:
    """A copy of a parsed project, with dbt in memory."""
    from dagweave.dbt import DbtProject

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_RUNTIME_DIR"] = scratch
        folder = shutil.copytree(project(models, OURS), Path(scratch, "project"))
        step = Step(DbtProject(folder), "warm")
        with redirect_stdout(io.StringIO()):
            step.dbt.cli(["ls", "--quiet"]).wait()
        parent = warm_pid(Path(scratch))
        try:
            yield step.project
        finally:
            os.kill(parent, signal.SIGTERM)


def warm_over_bare(models: int) -> None:
    """On the clock: a run with all its events, in a process that has loaded its definitions."""
    bare = in_a_copy("dbt build", BARE, models, OURS)
    with copied(models) as parsed:
        step = Step(parsed, "warm")
        pairs = [(step.run(), run(bare).wall_s) for _ in range(RUNS)]
    print(f"\ndbt: run {models} models, warm, over bare dbt  (medians of {RUNS} pairs)")
    print(f"  the run, warm                {statistics.median(a for a, _ in pairs):8.2f} s")
    print(f"  of that, its dbt             {statistics.median(step.dbt_s):8.2f} s")
    print(f"  dbt build                    {statistics.median(b for _, b in pairs):8.2f} s")
    print(f"  ratio                        {statistics.median(a / b for a, b in pairs):8.2f} wall")


def one_of(models: int) -> None:
    """One model with its tests, as from the UI."""
    with copied(models) as parsed:
        model = min(each.stem for each in parsed.project_dir.glob("models/staging/**/*.sql"))
        warm, plain = Step(parsed, "warm"), Step(parsed, "subprocess")
        for step in (warm, plain) * RUNS:
            step.run(model)
    print(f"\ndbt: one model of {models:,}, its dbt in a run  (medians of {RUNS} pairs)")
    print(f"  warm                         {statistics.median(warm.dbt_s):8.2f} s")
    print(f"  subprocess                   {statistics.median(plain.dbt_s):8.2f} s")


def main() -> None:
    """All three."""
    excess(10)
    excess(100)
    warm_over_bare(10)
    for models in sizes("1000"):
        one_of(models)


if __name__ == "__main__":
    main()
