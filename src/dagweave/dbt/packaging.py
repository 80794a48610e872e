"""Put a dbt project into Dagster, and a prepared copy of it into a deployment."""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import sys
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final, cast

import yaml

from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave.dbt.copying import copy_project
from dagweave.dbt.project import PROFILES_FILE, DbtProject, making_package

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FILES: Final = {
    "pyproject.toml": """\
[project]
name = "$name"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = [
    "dagster",
    "dagweave[dbt]",$adapters
]

[project.optional-dependencies]
dev = ["dagster-webserver"]

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools.packages.find]
include = ["$name*"]

[tool.dagster]
module_name = "$name.definitions"
code_location_name = "$name"
""",
    "$name/__init__.py": "",
    "$name/project.py": """\
from pathlib import Path

from dagweave.dbt import DbtProject

$project = DbtProject(
    project_dir=Path(__file__).parent / $path,
    # Made by `dagweave dbt project prepare-and-package --file $name/project.py`.
    packaged_project_dir=Path(__file__).parents[1] / "dbt-project",$state
)
$project.prepare_if_dev()
""",
    "$name/assets.py": """\
from dagster import AssetExecutionContext

from dagweave.dbt import DbtCliResource, dbt_assets

from .project import $project


@dbt_assets(manifest=$project.manifest_path, project=$project)
def $assets(context: AssetExecutionContext, dbt: DbtCliResource):
    yield from dbt.cli($command, context=context).stream()
""",
    "$name/schedules.py": """\
from dagweave.dbt import build_schedule_from_dbt_selection

from .assets import $assets

# It does not run until it is turned on in Dagster.
schedules = [
    build_schedule_from_dbt_selection(
        [$assets],
        job_name="materialize_dbt_models",
        cron_schedule="0 0 * * *",
    ),
]
""",
    "$name/definitions.py": """\
from dagster import Definitions

from dagweave.dbt import DbtCliResource

from .assets import $assets
from .project import $project
from .schedules import schedules

defs = Definitions(
    assets=[$assets],
    schedules=schedules,
    resources={"dbt": DbtCliResource(project_dir=$project)},
)
""",
}


def scaffold(name: str, project_dir: Path, folder: Path, *, use_state: bool = False) -> Path:
    """Write a project of Dagster's for a dbt project, and return its folder.

    Args:
        name: Of the new project, and of its package.
        project_dir: The dbt project.
        folder: Where the new project's folder is made.
        use_state: Whether runs defer to what stands in `target/state`.

    Raises:
        InvalidInput: The name is taken or is none of Python's, there is no dbt project, or no
            profile of it.
    """
    project = DbtProject(project_dir)
    root = folder / name
    _check_name(name, root)
    names = {
        "name": name,
        "project": f"{project.name}_project",
        "assets": f"{project.name}_dbt_assets",
        "path": json.dumps(os.path.relpath(project.project_dir, root / name)),
        "adapters": "".join(f'\n    "{adapter}",' for adapter in _adapters(project)),
        "state": '\n    state_path="target/state",' if use_state else "",
        "command": '["build", *dbt.get_defer_args()]' if use_state else '["build"]',
    }
    for path, text in _FILES.items():
        file = root / Template(path).substitute(names)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(text).substitute(names))
    return root


def _check_name(name: str, root: Path) -> None:
    if not name.isidentifier():
        raise InvalidInput(
            f"{name!r} cannot be the name of a package of Python.",
            remedy="Use letters, digits and underscores, and begin with a letter.",
        )
    if root.exists():
        raise InvalidInput(f"{root} is there already.", remedy="Choose another name.")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise InvalidInput(
            f"There is a package {name!r} in this environment, which the project would hide.",
            remedy="Choose another name.",
        )


def _adapters(project: DbtProject) -> Sequence[str]:
    """The packages of the adapters that the profiles name."""
    elsewhere = Path(os.environ.get("DBT_PROFILES_DIR") or Path.home() / ".dbt")
    file = (project.own_profiles_dir or elsewhere) / PROFILES_FILE
    if not file.exists():
        raise InvalidInput(
            f"There is no {PROFILES_FILE}: neither in {project.project_dir} nor in {elsewhere}.",
            remedy="Put one into the project.",
        )
    try:
        profiles: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        kinds = {
            str(output["type"])
            for name, profile in cast("dict[str, Any]", profiles).items()
            if name != "config"
            for output in profile["outputs"].values()
        }
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        # Its words may be a secret.
        raise InvalidInput(
            f"{file} is not a file of profiles, each with its outputs and their types.",
            seen=type(error).__name__,
        ) from None
    return [f"dbt-{kind}" for kind in sorted(kinds)]


def projects_of_file(file: Path) -> Sequence[DbtProject]:
    """The projects that a Python file defines, at its top.

    Raises:
        InvalidInput: It cannot be run, or defines none.
    """
    return _found(lambda: runpy.run_path(str(file), run_name=file.stem).values(), file)


def projects_of_components(folder: Path) -> Sequence[DbtProject]:
    """The projects of the components of a project of `dg`.

    Raises:
        InvalidInput: It cannot be loaded, or has none.
    """
    from dagster import ComponentTree

    from dagweave.dbt.component import DbtProjectComponent

    def load() -> list[object]:
        # As its package is found when it is installed.
        sys.path[:0] = [str(folder.resolve()), str(folder.resolve() / "src")]
        tree = ComponentTree.for_project(folder.resolve())
        found = tree.get_all_components(of_type=DbtProjectComponent)
        # What is fetched from elsewhere is no part of a package.
        return [each.project for each in found]

    return _found(load, folder)


def _found(load: Callable[[], Any], place: Path) -> Sequence[DbtProject]:
    with making_package():
        try:
            values = list(load())
        except DagweaveError:
            raise
        except Exception as error:
            raise InvalidInput(
                f"{place} could not be loaded.", seen=f"{type(error).__name__}: {error}"
            ) from error
    found = list(dict.fromkeys(each for each in values if isinstance(each, DbtProject)))
    if not found:
        raise InvalidInput(
            f"{place} has no dbt project.",
            remedy="Name the file that says DbtProject(...), or the folder of a project of `dg`.",
        )
    return found


def prepare_and_package(project: DbtProject, say: Callable[[str], None] = lambda _: None) -> None:
    """Install the packages of a project, parse it, and copy it to its `packaged_project_dir`.

    Raises:
        InvalidInput: The project or its profile is not right; says why in dbt's own words.
        MissingExtra: dbt is not installed.
    """
    say(f"Preparing {project.project_dir}")
    project.preparer.prepare(project)
    if project.packaged_project_dir is None:
        return
    say(f"Copying it to {project.packaged_project_dir}")
    copy_project(project, project.packaged_project_dir)
