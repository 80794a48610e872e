"""Where a dbt project is, and how it becomes ready to be loaded."""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from dagweave._dagster.development import using_dagster_dev
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.prepare import DagsterDbtProjectPreparer, DbtProjectPreparer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from dagweave.dbt.manifest import Manifest

PROJECT_FILE = "dbt_project.yml"
PROFILES_FILE = "profiles.yml"

_making_package: ContextVar[bool] = ContextVar("making_package", default=False)


@dataclass(frozen=True, init=False)
class DbtProject:
    """A dbt project on disk. All its paths are absolute, whatever was given.

    Args:
        project_dir: The folder of `dbt_project.yml`.
        target_path: Where dbt writes its artifacts, relative to the project.
        profiles_dir: The folder of `profiles.yml`; by default the project's own.
        profile: The profile to use, if not the one that the project names.
        target: The target of the profile to use, if not its default.
        packaged_project_dir: A copy of the project made for deployment. It is used instead, if it
            is there, except in `dagster dev`.
        state_path: A folder of artifacts of another run, for `--defer` and `--state`; relative to
            the project.
        prepare_project_cli_args: The dbt command that makes the manifest; by default
            `parse --quiet`.

    Raises:
        InvalidInput: A folder or `dbt_project.yml` is not there.

    Example:
        ```python
        project = DbtProject(Path(__file__).parent / "dbt_project")
        project.prepare_if_dev()
        ```
    """

    name: str
    project_dir: Path
    target_path: Path
    profiles_dir: Path
    profile: str | None
    target: str | None
    manifest_path: Path
    packaged_project_dir: Path | None
    state_path: Path | None
    has_uninstalled_deps: bool
    preparer: DbtProjectPreparer
    packages_install_path: str
    reads_elsewhere: bool
    """Whether dbt reads files outside of `project_dir`."""

    def __init__(
        self,
        project_dir: Path | str,
        *,
        target_path: Path | str = "target",
        profiles_dir: Path | str | None = None,
        profile: str | None = None,
        target: str | None = None,
        packaged_project_dir: Path | str | None = None,
        state_path: Path | str | None = None,
        prepare_project_cli_args: Sequence[str] | None = None,
    ) -> None:
        packaged = Path(packaged_project_dir).absolute() if packaged_project_dir else None
        if packaged and packaged.exists() and not (using_dagster_dev() or _making_package.get()):
            # A deployment need not hold the project itself.
            folder = packaged
        else:
            folder = _folder(project_dir, "project_dir")
        settings = _settings(folder)
        packages = str(settings.get("packages-install-path", "dbt_packages"))
        wants_packages = any(
            (folder / name).exists() for name in ("packages.yml", "dependencies.yml")
        )
        self._set(
            name=settings["name"],
            project_dir=folder,
            target_path=Path(target_path),
            profiles_dir=_folder(profiles_dir, "profiles_dir") if profiles_dir else folder,
            profile=profile,
            target=target,
            manifest_path=folder / target_path / "manifest.json",
            packaged_project_dir=packaged,
            state_path=folder / state_path if state_path else None,
            has_uninstalled_deps=wants_packages and not (folder / packages).exists(),
            preparer=DagsterDbtProjectPreparer(prepare_project_cli_args),
            packages_install_path=packages,
            reads_elsewhere=any(_leads_out(path) for path in _paths(settings)),
        )

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def own_profiles_dir(self) -> Path | None:
        """`profiles_dir`, unless nobody named it and it has no profile: then dbt looks for one."""
        is_default = self.profiles_dir == self.project_dir
        if is_default and not (self.profiles_dir / PROFILES_FILE).exists():
            return None
        return self.profiles_dir

    def prepare_if_dev(self) -> None:
        """In `dagster dev`, install dbt's packages and parse the project if anything changed.

        Elsewhere it does nothing: there the manifest is made when the code is built.

        Raises:
            InvalidInput: The project or its profile is not right; says why in dbt's own words.
            MissingExtra: dbt is not installed.
        """
        self.preparer.prepare_if_dev(self)


@contextmanager
def making_package() -> Generator[None]:
    """Within the block, a project is the one that a package is made of, not the package."""
    token = _making_package.set(True)
    try:
        yield
    finally:
        _making_package.reset(token)


def check_manifest(manifest: Manifest, name: str, folder: Path) -> None:
    """Raise `InvalidInput` if a manifest is not of the project of this name."""
    written_for = manifest.project_name
    if written_for is not None and written_for != name:
        raise InvalidInput(
            f"The dbt manifest is of the project {written_for!r}, not of {name!r} in {folder}.",
            seen=f"It is {manifest}.",
            remedy="Give the manifest of that project, project.manifest_path; or, if the project "
            "has a new name, parse it again: dbt parse",
        )


def name_in(folder: Path) -> str:
    """The name of the project in a folder, as its file says.

    Raises:
        InvalidInput: There is none, or it cannot be read.
    """
    return _settings(folder)["name"]


def _paths(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        # Where dbt only writes is of no interest.
        if name.endswith("-paths") or name == "packages-install-path":
            yield from map(str, cast("list[Any]", value if isinstance(value, list) else [value]))


def _leads_out(path: str) -> bool:
    return Path(path).is_absolute() or ".." in Path(path).parts or "{" in path


def _folder(path: Path | str, argument: str) -> Path:
    folder = Path(path).absolute()
    if not folder.is_dir():
        raise InvalidInput(
            f"There is no folder {folder}, which {argument} names.",
            remedy="Say it relative to the file that says it: "
            'DbtProject(Path(__file__).parent / "dbt_project")'
            if not Path(path).is_absolute()
            else None,
        )
    return Path(os.path.normpath(folder))


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / PROJECT_FILE
    if not file.exists():
        raise InvalidInput(
            f"{folder} is not a dbt project: it has no {PROJECT_FILE}.",
            remedy="Name the folder that holds it.",
        )
    try:
        content: object = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} is not YAML, in UTF-8.", seen=str(error)) from error
    settings = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    if not settings.get("name"):
        raise InvalidInput(f"{file} does not say the project's name.", remedy="Add: name: my_shop")
    return settings
