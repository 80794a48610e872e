"""Every example runs whole, as `dagster dev -f examples/<name>.py` would run it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from snippets import ROOT, Prelude, run

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.stem for example in EXAMPLES])
def test_an_example_materializes_all_its_assets(example: Path, tmp_path: Path):
    for beside in example.parent.iterdir():
        if beside.is_dir() and beside.name != "__pycache__":
            shutil.copytree(beside, tmp_path / beside.name)

    assert run(example.read_text(), Prelude(materialize=True), tmp_path).strip()
