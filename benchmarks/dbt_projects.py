"""dbt projects to measure on: generated, parsed and given their sources once, under `.home/bench/`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT


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


def sizes(default: str) -> list[int]:
    """How many models: `DAGWEAVE_BENCH_MODELS`, by commas, else `default`."""
    return [int(size) for size in os.environ.get("DAGWEAVE_BENCH_MODELS", default).split(",")]
