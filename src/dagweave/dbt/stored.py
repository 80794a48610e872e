"""Keep a dbt project as the state of a component, as `dg utils refresh-defs-state` makes it.

The state is a file that names a folder beside it. It is replaced when the folder is whole, so that
there is always one that works.
"""

from __future__ import annotations

import shutil
import uuid
from typing import TYPE_CHECKING, Final

import msgspec

from dagweave._dagster.development import using_dagster_dev
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.copying import copy_project

if TYPE_CHECKING:
    from pathlib import Path

    from dagweave.dbt.project import DbtProject
    from dagweave.dbt.remote import DbtGitProject

_PREFIX: Final = "project-"


class Stored(msgspec.Struct, frozen=True):
    """What a state holds."""

    folder: str
    commit: str | None = None


def stored_folder(state_path: Path) -> Path:
    """The folder that a state names.

    Raises:
        InvalidInput: The state is not one of ours.
    """
    try:
        stored = msgspec.json.decode(state_path.read_bytes(), type=Stored)
    except msgspec.MsgspecError as error:
        raise InvalidInput(
            f"{state_path} is not the state of a DbtProjectComponent.",
            seen=str(error),
            remedy="Make it again: dg utils refresh-defs-state",
        ) from error
    return state_path.parent / stored.folder


def store_copy(project: DbtProject, state_path: Path) -> None:
    """Prepare a project where it is, and keep a copy of it, for where it is not."""
    project.preparer.prepare(project)
    state_path.parent.mkdir(parents=True, exist_ok=True)
    copy_project(project, state_path.parent / "project")
    _write(state_path, Stored("project"))


def store_clone(source: DbtGitProject, state_path: Path) -> None:
    """Fetch a project and prepare it; if it has not changed, only prepare it.

    Raises:
        DagweaveError: It cannot be fetched, or dbt cannot parse it. What was there stays.
    """
    # A dependency of Dagster's own.
    from filelock import FileLock

    place = state_path.parent
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        last, commit = _last(state_path), source.newest()
        if last and last.commit == commit:
            _prepare(source.project_in(place / last.folder))
            return
        folder = place / f"{_PREFIX}{uuid.uuid4().hex[:12]}"
        try:
            source.clone(folder)
            _prepare(source.project_in(folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _write(state_path, Stored(folder.name, commit))
        # A run may still be at work in the one before.
        kept = {folder.name, last.folder if last else ""}
        for old in place.glob(f"{_PREFIX}*"):
            if old.name not in kept:
                shutil.rmtree(old, ignore_errors=True)


def _prepare(project: DbtProject) -> None:
    if using_dagster_dev():
        project.prepare_if_dev()
    else:
        project.preparer.prepare(project)


def _last(state_path: Path) -> Stored | None:
    try:
        stored = msgspec.json.decode(state_path.read_bytes(), type=Stored)
    except (OSError, msgspec.MsgspecError):
        return None
    return stored if (state_path.parent / stored.folder).is_dir() else None


def _write(state_path: Path, stored: Stored) -> None:
    new = state_path.with_name(f"{state_path.name}.new")
    new.write_bytes(msgspec.json.encode(stored))
    new.replace(state_path)
