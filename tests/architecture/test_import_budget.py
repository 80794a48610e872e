"""Importing an integration is safe and cheap, in an environment that has none of the extras."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BARE = ROOT / ".venvs" / "bare" / "bin" / "python"
INTEGRATIONS = (
    "bigquery",
    "airbyte",
    "databricks",
    "dbt",
    "dlt",
    "duckdb",
    "fivetran",
    "pagerduty",
    "slack",
    "snowflake",
)
BUDGET = 1.1
HEAVY = (
    "adbc_driver_manager", "apprise", "databricks", "dbt", "dlt", "duckdb", "google.cloud", "matplotlib", "numpy",
    "pandas", "polars", "pyarrow", "requests", "slack_sdk", "snowflake", "sqlglot",
)  # fmt: skip


def bare(script: str) -> str:
    # Bytecode is cached, as at a user's: without it every import compiles.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [BARE, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def calls(statement: str) -> int:
    """How many function calls a statement makes: the same number on any machine, however busy."""
    return int(
        bare(
            "import sys; n = 0\n"
            "def count(*_):\n    global n; n += 1\n"
            f"sys.setprofile(count); {statement}; sys.setprofile(None); print(n)"
        )
    )


@pytest.mark.parametrize("name", INTEGRATIONS)
def test_an_integration_imports_without_its_extra_and_brings_nothing_heavy(name: str):
    found = bare(f"import dagweave.{name}, sys; print(*(set({HEAVY!r}) & set(sys.modules)))")

    assert found.split() == []


def test_the_bare_environment_has_no_extra():
    found = bare(f"import importlib.util as u; print(*(m for m in {HEAVY!r} if u.find_spec(m)))")

    # Dagster itself brings requests.
    assert found.split() == ["requests"]


@pytest.mark.parametrize("name", INTEGRATIONS)
def test_an_integration_costs_at_most_a_tenth_more_than_dagster_alone(name: str):
    # In calls, which noise cannot change; `python -m benchmarks imports` measures the time.
    assert calls(f"import dagweave.{name}") <= BUDGET * calls("import dagster")
