from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ASKING = """
import os
from dagster import Definitions, asset
from dagweave._dagster.snapshots import obtain
from dagweave._kernel.errors import Unavailable
from dagweave._kernel.state import StateFile

def take() -> list[str]:
    if "TABLES" not in os.environ:
        raise Unavailable("The vendor did not answer.")
    return os.environ["TABLES"].split()

tables = obtain(StateFile("vendor", "shop", list[str], 1), take).data
defs = Definitions([asset(name=table)(lambda: None) for table in tables])
"""


def refresh(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [Path(sys.executable).with_name("dagweave"), "refresh", *arguments]
    return subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, check=False
    )


def test_it_says_what_is_new_what_changed_and_what_could_not_be_renewed(tmp_path: Path):
    Path("pipeline.py").write_text(ASKING)

    new = refresh("-f", "pipeline.py", TABLES="orders")
    changed = refresh("-f", "pipeline.py", "--json", TABLES="orders lines")
    stale = refresh("-f", "pipeline.py")

    assert new.returncode == 0, new.stderr
    assert "vendor 'shop': new" in new.stdout
    assert f"1 snapshots in {tmp_path / '.dagweave'}" in new.stdout
    (said,) = json.loads(changed.stdout)
    assert (said["changed"], said["error"]) == (True, None)
    assert said["file"] == str(tmp_path / ".dagweave" / "vendor" / "shop.json")
    assert stale.returncode == 3
    assert "stays that of" in stale.stdout
    assert "The vendor did not answer." in stale.stdout


def test_where_nothing_can_be_asked_and_nothing_is_kept_the_definitions_do_not_load():
    Path("pipeline.py").write_text(ASKING)

    failed = refresh("-f", "pipeline.py")

    assert failed.returncode == 1
    assert "The vendor did not answer." in failed.stderr


def test_definitions_without_a_snapshot_say_so():
    Path("pipeline.py").write_text("import dagster\ndefs = dagster.Definitions()\n")

    done = refresh("-f", "pipeline.py")

    assert done.returncode == 0, done.stderr
    assert "Nothing in these definitions is made of a snapshot." in done.stdout
