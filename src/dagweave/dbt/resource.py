"""The resource by which a step runs dbt."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource, EnvVar, get_dagster_logger
from pydantic import Field

from dagweave._dagster.failures import failures
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.arguments import Arguments
from dagweave.dbt.errors import DagsterDbtError
from dagweave.dbt.invocation import DbtCliInvocation
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.project import PROFILES_FILE, PROJECT_FILE, DbtProject
from dagweave.dbt.run import DBT, DbtProcess, copy_partial_parse, environment, find_dbt
from dagweave.dbt.scope import INDIRECT_SELECTION, Scope, Selection
from dagweave.dbt.translator import DagsterDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import AssetExecutionContext, OpExecutionContext

    from dagweave.dbt.manifest import ManifestSource


class DbtCliResource(ConfigurableResource[Any]):
    """Runs dbt commands, in steps and elsewhere.

    Constructing it looks at folders only; dbt is looked for when a command is run.

    Example:
        ```python
        @dbt_assets(manifest=project.manifest_path, project=project)
        def models(context: AssetExecutionContext, dbt: DbtCliResource):
            yield from dbt.cli(["build"], context=context).stream()

        defs = Definitions([models], resources={"dbt": DbtCliResource(project_dir=project)})
        ```

    Raises:
        InvalidInput: A folder, a file in it or the executable is not there.
    """

    project_dir: str = Field(description="The folder of dbt_project.yml, or a DbtProject.")
    global_config_flags: list[str] = Field(
        default=[], description="Flags of dbt itself, put before the command."
    )
    profiles_dir: str | None = Field(
        default=None, description="The folder of profiles.yml. By default dbt looks for it."
    )
    profile: str | None = Field(
        default=None, description="The profile to use, if not the one that the project names."
    )
    target: str | None = Field(
        default=None, description="The target of the profile to use, if not its default."
    )
    dbt_executable: str = Field(
        default=DBT,
        description="dbt's name or path. By default `dbtf` if it is on the PATH, else `dbt`, on "
        "the PATH or beside the running Python.",
    )
    state_path: str | None = Field(
        default=None,
        description="A folder of artifacts of another run, for --defer and --state; relative to "
        "the project.",
    )
    target_path: str | None = Field(
        default=None,
        description="Where dbt's artifacts go, relative to the project: each command gets a folder "
        "of its own in it. By default DBT_TARGET_PATH, else `target`.",
    )

    def __init__(
        self,
        project_dir: str | Path | DbtProject,
        global_config_flags: list[str] | None = None,
        profiles_dir: str | Path | None = None,
        profile: str | None = None,
        target: str | None = None,
        dbt_executable: str | Path = DBT,
        state_path: str | Path | None = None,
        **fields: Any,
    ) -> None:
        if isinstance(project_dir, DbtProject):
            project = project_dir
            project_dir = project.project_dir
            profiles_dir = profiles_dir or project.own_profiles_dir
            profile = profile or project.profile
            target = target or project.target
            state_path = state_path or project.state_path
            fields.setdefault("target_path", str(project.target_path))
        if dbt_executable != DBT and not isinstance(dbt_executable, EnvVar):
            find_dbt(str(dbt_executable))
        values: dict[str, Any] = {
            "project_dir": _folder_with(PROJECT_FILE, project_dir),
            "global_config_flags": global_config_flags or [],
            "profiles_dir": profiles_dir and _folder_with(PROFILES_FILE, profiles_dir),
            "profile": profile,
            "target": target,
            "dbt_executable": _text(dbt_executable),
            "state_path": _text(state_path),
            **fields,
        }
        super().__init__(**values)

    def get_defer_args(self) -> Sequence[str]:
        """`--defer` to the state, if there is one with a manifest; else nothing."""
        state = self._state()
        return ["--defer", "--defer-state", state] if state else []

    def get_state_args(self) -> Sequence[str]:
        """`--state`, if there is one with a manifest; else nothing."""
        state = self._state()
        return ["--state", state] if state else []

    def _state(self) -> str | None:
        folder = Path(self.project_dir, self.state_path) if self.state_path else None
        return str(folder) if folder and (folder / "manifest.json").exists() else None

    def cli(
        self,
        args: Sequence[str],
        *,
        raise_on_error: bool = True,
        manifest: ManifestSource | None = None,
        dagster_dbt_translator: DagsterDbtTranslator | None = None,
        context: OpExecutionContext | AssetExecutionContext | None = None,
        target_path: Path | None = None,
    ) -> DbtCliInvocation:
        """Start a dbt command, and return it while it runs.

        Given the `context` of a step of `@dbt_assets`, dbt runs what the step should: what the
        definition selects, or the part of it that was selected in Dagster. A `--select` or
        `--exclude` in `args` is added to that.

        Args:
            args: The command and its options: `["build", "--full-refresh"]`.
            raise_on_error: Whether reading its events raises if dbt fails.
            manifest: What results belong to, outside of `@dbt_assets`.
            dagster_dbt_translator: Likewise.
            target_path: Where its artifacts go. By default a new folder in the project's `target`.

        Raises:
            DagsterDbtError: dbt is not installed, or the arguments do not go together.
        """
        with failures(DagsterDbtError):
            scope = Scope.of(context)
            given = scope.manifest if scope else Manifest.of(manifest) if manifest else None
            said = Arguments.read(args)
            project = scope.project if scope else None
            folder = project.project_dir if project else Path(self.project_dir)
            base = folder / self._target_base(project)
            target = folder / target_path if target_path else base / _own_folder(context)
            selection = scope.selection(said) if scope else Selection([])
            indirect = selection.indirect or said.indirect
            env = {
                **environment(
                    project_dir=folder, target_path=target, profiles_dir=self.profiles_dir
                ),
                **({INDIRECT_SELECTION: indirect} if indirect else {}),
            }
            copy_partial_parse(base, target)
            process = DbtProcess(self._argv(said, selection.arguments), cwd=folder, env=env)
            get_dagster_logger().info(f"Running dbt in {folder}: {process.command}")
            return DbtCliInvocation(
                process,
                (scope and scope.translator) or dagster_dbt_translator or DagsterDbtTranslator(),
                project_dir=folder,
                target_path=target,
                raise_on_error=raise_on_error,
                project=project,
                context=context,
                scope=scope,
                expects_all=said.builds_all,
                manifest_given=given,
                start_again=lambda again: self._again(again, said, target, env, folder),
            )

    def _argv(self, said: Arguments, selection: Sequence[str]) -> list[str]:
        """The command line. Of several `--select`, dbt takes all; so of `--exclude`."""
        return [
            find_dbt(self.dbt_executable),
            *self.global_config_flags,
            *said.rest,
            *(["--profile", self.profile] if self.profile else []),
            *(["--target", self.target] if self.target else []),
            *(["--exclude", *said.excludes] if said.excludes else []),
            *(["--select", *said.selects] if said.selects else []),
            *selection,
        ]

    def _again(
        self,
        args: Sequence[str],
        said: Arguments,
        target: Path,
        env: Mapping[str, str],
        folder: Path,
    ) -> DbtProcess:
        own = target / "again"
        copy_partial_parse(target, own)
        return DbtProcess(
            self._argv(Arguments([*args, *said.variables]), []),
            cwd=folder,
            env={**env, "DBT_TARGET_PATH": str(own), "DBT_LOG_PATH": str(own)},
        )

    def _target_base(self, project: DbtProject | None) -> Path:
        if project:
            return project.target_path
        return Path(self.target_path or os.environ.get("DBT_TARGET_PATH") or "target")


def _text(path: str | Path | None) -> str | None:
    # An EnvVar is a string that must stay one.
    return str(path.absolute()) if isinstance(path, Path) else path


def _folder_with(file: str, path: str | Path) -> str:
    """The absolute path of a folder that holds `file`; a variable that is not yet read, as it is."""
    if isinstance(path, EnvVar):
        return path
    folder = Path(path).absolute()
    if not (folder / file).exists():
        missing = f"{folder} has no {file}" if folder.is_dir() else f"There is no folder {folder}"
        raise InvalidInput(f"{missing}.", remedy=f"Name the folder of {file}.")
    return str(folder.resolve())


def _own_folder(context: OpExecutionContext | AssetExecutionContext | None) -> str:
    """A folder for the artifacts of one command, so that commands do not overwrite each other's."""
    unique = uuid.uuid4().hex[:7]
    if context is None:
        return unique
    return f"{context.op_execution_context.op.name}-{context.run.run_id[:7]}-{unique}"
