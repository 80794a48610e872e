"""Importing an integration is safe and cheap, in an environment that has none of the extras."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BARE = ROOT / ".venvs" / "bare" / "bin" / "python"
INTEGRATIONS = ("dbt", "dlt", "duckdb", "slack")
ROUNDS = 8
BUDGET = 1.1
HEAVY = (
    "adbc_driver_manager", "dbt", "dlt", "duckdb", "matplotlib", "numpy", "pandas", "polars",
    "pyarrow", "requests", "slack_sdk", "sqlglot",
)  # fmt: skip


def bare(script: str) -> str:
    # Bytecode is cached, as at a user's: without it every import compiles.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [BARE, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def cpu_s(statement: str) -> float:
    # Without the garbage collector: whether its next full pass falls just before or just after the
    # last import is chance, and the pass is over what Dagster made, not we.
    return float(bare(f"import gc, time; gc.disable(); {statement}; print(time.process_time())"))


@pytest.mark.parametrize("name", INTEGRATIONS)
def test_an_integration_imports_without_its_extra_and_brings_nothing_heavy(name: str):
    found = bare(f"import dagweave.{name}, sys; print(*(set({HEAVY!r}) & set(sys.modules)))")

    assert found.split() == []


def test_the_bare_environment_has_no_extra():
    found = bare(f"import importlib.util as u; print(*(m for m in {HEAVY!r} if u.find_spec(m)))")

    # Dagster itself brings requests.
    assert found.split() == ["requests"]


def test_an_integration_costs_at_most_a_tenth_more_than_dagster_alone():
    statements = {"dagster": "import dagster"} | {n: f"import dagweave.{n}" for n in INTEGRATIONS}
    for statement in statements.values():
        cpu_s(statement)

    # In turn, so that the machine's speed drifts for all; the least is what the noise spared.
    rounds = [
        {name: cpu_s(statement) for name, statement in statements.items()} for _ in range(ROUNDS)
    ]
    least = {name: min(costs[name] for costs in rounds) for name in statements}

    over = {name: least[name] / least["dagster"] for name in INTEGRATIONS}
    assert {name: ratio for name, ratio in over.items() if ratio > BUDGET} == {}
