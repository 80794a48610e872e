"""Copy a dbt project to where it stands by itself."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Set

    from dagweave.dbt.project import DbtProject

_NOT_PACKAGED: Final = shutil.ignore_patterns(
    "*.git*", "*partial_parse.msgpack", ".dagweave_*", ".local_defs_state"
)
# The artifacts of one command of a run: `DbtCliResource` gives each a folder of its own.
_OF_A_RUN: Final = re.compile(r".+-[0-9a-f]{7,8}-[0-9a-f]{7}|[0-9a-f]{7}")


def copy_project(project: DbtProject, to: Path) -> None:
    """Replace what is there by a copy of the project; only once the copy is whole."""
    new, old = to.with_name(f".{to.name}.new"), to.with_name(f".{to.name}.old")
    left_out = {to.resolve(), new.resolve(), old.resolve()}

    def ignored(folder: str, names: list[str]) -> Set[str]:
        inside = {name for name in names if Path(folder, name).resolve() in left_out}
        if Path(folder) == project.manifest_path.parent:
            inside |= {name for name in names if _OF_A_RUN.fullmatch(name)}
        return inside | _NOT_PACKAGED(folder, names)

    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(project.project_dir, new, ignore=ignored)
    if to.exists():
        shutil.rmtree(old, ignore_errors=True)
        to.rename(old)
    new.rename(to)
    shutil.rmtree(old, ignore_errors=True)
