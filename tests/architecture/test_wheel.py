from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_the_package_the_demo_and_nothing_else(tmp_path: Path):
    for name in ("src", "README.md", "LICENSE", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)

    (wheel,) = (tmp_path / "dist").iterdir()
    held = set(zipfile.ZipFile(wheel).namelist())

    assert {name.split("/")[0] for name in held if ".dist-info/" not in name} == {"dagweave"}
    assert "dagweave/py.typed" in held
    assert "dagweave/demo/dbt_project/models/marts/fct_flights.sql" in held
    sources = {
        f"dagweave/{path.relative_to(ROOT / 'src' / 'dagweave')}"
        for path in (ROOT / "src" / "dagweave").rglob("*.py")
    }
    assert sources <= held
    assert not [name for name in held if "__pycache__" in name or name.endswith(".duckdb")]
