"""What YAML may say of where a dbt project is: a path, arguments, a git repository.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from dagster import ResolutionContext, Resolvable

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.project import DbtProject
from dagweave.dbt.remote import DbtGitProject
from dagweave.dbt.stored import store_clone, store_copy, stored_folder


@dataclass
class DbtProjectArgs(Resolvable):
    """The arguments of `DbtProject`, in YAML."""

    project_dir: str
    target_path: str | None = None
    profiles_dir: str | None = None
    profile: str | None = None
    target: str | None = None
    packaged_project_dir: str | None = None
    state_path: str | None = None
    prepare_project_cli_args: list[str] | None = None

    def to_project(self, folder: Path) -> DbtProject:
        """The project in a folder, which `project_dir` names in its own way."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        given["project_dir"] = folder
        return DbtProject(**{name: value for name, value in given.items() if value is not None})

    @property
    def is_there(self) -> bool:
        """Whether the project is on this machine."""
        copies = (self.project_dir, self.packaged_project_dir)
        return any(Path(copy).exists() for copy in copies if copy)


def resolve_project(context: ResolutionContext, model: Any) -> "Whereabouts":
    """What was said in YAML. A path is relative to the file that says it."""
    if isinstance(model, DbtGitProject.model()):
        return DbtGitProject.resolve_from_model(context, model)
    args = (
        DbtProjectArgs(context.resolve_value(model, as_type=str))
        if isinstance(model, str)
        else DbtProjectArgs.resolve_from_model(context, model)
    )
    folder = context.resolve_source_relative_path(args.project_dir)
    args = replace(args, project_dir=str(folder))
    return args.to_project(folder) if args.is_there else args


Whereabouts = DbtProject | DbtProjectArgs | DbtGitProject


def identity(where: Whereabouts) -> str:
    """What tells the project from another, with no secret."""
    if isinstance(where, DbtGitProject):
        return where.identity
    return Path(where.project_dir).stem


def project_at(where: Whereabouts, state_path: Path | None) -> DbtProject:
    """The project itself; where it is not on this machine, the one that was stored.

    Raises:
        InvalidInput: There is neither.
    """
    if isinstance(where, DbtProject):
        return where
    if state_path is not None:
        folder = stored_folder(state_path)
        is_clone = isinstance(where, DbtGitProject)
        return where.project_in(folder) if is_clone else where.to_project(folder)
    if isinstance(where, DbtProjectArgs):
        # It says what is missing.
        return where.to_project(Path(where.project_dir))
    raise InvalidInput(
        f"The dbt project of {where.public_url} has not been fetched.",
        remedy="Fetch it with `dg utils refresh-defs-state` where the image is built; "
        "`dagster dev` and `dg` fetch it by themselves, unless prepare_if_dev is false.",
    )


def store(where: Whereabouts, state_path: Path) -> None:
    """Prepare the project, and keep it as the state of a component.

    Raises:
        DagweaveError: It cannot be fetched or parsed. What was stored before stays.
    """
    if isinstance(where, DbtGitProject):
        store_clone(where, state_path)
    else:
        store_copy(project_at(where, None), state_path)
