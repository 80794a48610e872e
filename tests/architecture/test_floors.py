from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, to break at will."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    env = os.environ | {"PYTHONPATH": str(root / "src")}
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)


def test_the_floors_hold(copy: Path):
    result = lint(copy)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("_kernel/clock.py", "import dagweave.weaving"),
        ("_kernel/clock.py", "import dagster"),
        ("slack/__init__.py", "import dagweave.dbt"),
        ("warehouse/__init__.py", "import dagweave.duckdb"),
        ("cli/main.py", "import dagweave.testing"),
        ("stray.py", "x = 1"),
    ],
)
def test_a_step_over_a_floor_is_caught(copy: Path, module: str, line: str):
    with (copy / "src" / "dagweave" / module).open("a") as source:
        source.write(f"\n{line}\n")

    assert lint(copy).returncode != 0
