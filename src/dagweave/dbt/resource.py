"""The resource by which a step runs dbt."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource, EnvVar, get_dagster_logger
from pydantic import Field

from dagweave._dagster.failures import failures
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.arguments import Arguments
from dagweave.dbt.errors import DagsterDbtError
from dagweave.dbt.first_partition import wait_for_turn
from dagweave.dbt.invocation import DbtCliInvocation
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.project import (
    PROFILES_FILE,
    PROJECT_FILE,
    DbtProject,
    check_manifest,
    name_in,
)
from dagweave.dbt.run import (
    PARTIAL_PARSE,
    DbtProcess,
    Runner,
    SubprocessRunner,
    copy_partial_parse,
    default_dbt,
    environment,
    find_dbt,
)
from dagweave.dbt.scope import Scope
from dagweave.dbt.telling import INDIRECT_SELECTION, Told, tell
from dagweave.dbt.translator import DagsterDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import AssetExecutionContext, OpExecutionContext

    from dagweave.dbt.manifest import ManifestSource

RUNNERS = ("subprocess", "warm")


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
        default_factory=default_dbt,
        description="dbt's name or path. By default `dbtf` (Fusion) if it is on the PATH, else "
        "`dbt`. What is not on the PATH is looked for beside the running Python.",
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
    retry_only_unfinished: bool = Field(
        default=True,
        description="Whether a retry of a step of @dbt_assets, or a run that takes up a failed one, "
        "runs only what failed or was skipped, and what has changed since. Else it runs all again.",
    )
    runner: str = Field(
        default="subprocess",
        description="How a dbt command is started: `subprocess`, or `warm`, which forks it from a "
        "process that keeps dbt and the parsed project in memory (Linux only).",
    )

    def __init__(
        self,
        project_dir: str | Path | DbtProject,
        global_config_flags: list[str] | None = None,
        profiles_dir: str | Path | None = None,
        profile: str | None = None,
        target: str | None = None,
        dbt_executable: str | Path | None = None,
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
        if dbt_executable is None:
            dbt_executable = default_dbt()
        elif not isinstance(dbt_executable, EnvVar):
            find_dbt(str(dbt_executable))
        _check_runner(fields.get("runner"))
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
            scope = Scope.of(context, takes_up=self.retry_only_unfinished)
            given = scope.manifest if scope else Manifest.of(manifest) if manifest else None
            said = Arguments.read(args)
            told = tell(scope, said) if scope else Told([])
            place = self._place(scope.project if scope else None)
            if scope and scope.project is None:
                check_manifest(scope.manifest, name_in(place.folder), place.folder)
            target = place.folder / (target_path or place.target_base / _own_folder(context))
            indirect = told.indirect or said.indirect
            env = {
                **environment(
                    project_dir=place.folder, target_path=target, profiles_dir=place.profiles_dir
                ),
                **({INDIRECT_SELECTION: indirect} if indirect else {}),
            }
            base = place.folder / place.target_base
            copy_partial_parse(base, target)
            argv = self._argv(said, told.arguments, place)
            turn = wait_for_turn(scope, base)
            process = DbtProcess(argv, cwd=place.folder, env=env, runner=self._runner(place, given))
            get_dagster_logger().info(f"Running dbt in {place.folder}: {process.short_command}")
            return DbtCliInvocation(
                process,
                (scope and scope.translator) or dagster_dbt_translator or DagsterDbtTranslator(),
                project_dir=place.folder,
                target_path=target,
                raise_on_error=raise_on_error,
                context=context,
                scope=scope,
                owed=told.owed if said.builds_all else frozenset(),
                manifest_given=given,
                turn=turn,
                start_again=lambda again: self._again(again, said, target, env, place),
            )

    def _argv(self, said: Arguments, selection: Sequence[str], place: _Place) -> list[str]:
        """The command line. Of several `--select`, dbt takes all; so of `--exclude`."""
        return [
            find_dbt(self.dbt_executable),
            *self.global_config_flags,
            *said.rest,
            *(["--profile", place.profile] if place.profile else []),
            *(["--target", place.target] if place.target else []),
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
        place: _Place,
    ) -> DbtProcess:
        own = target / "again"
        copy_partial_parse(target, own)
        return DbtProcess(
            self._argv(Arguments([*args, *said.connection]), [], place),
            cwd=place.folder,
            env={**env, "DBT_TARGET_PATH": str(own), "DBT_LOG_PATH": str(own)},
            runner=self._runner(place, None),
        )

    def _runner(self, place: _Place, given: Manifest | None) -> Runner:
        # Only now is it known what an EnvVar says.
        _check_runner(self.runner)
        if self.runner != "warm":
            return SubprocessRunner()
        # Only who asks for it imports it: it is of Linux.
        from dagweave.dbt.run.warm import WarmRunner

        parsed = place.folder / place.target_base / PARTIAL_PARSE
        warn = get_dagster_logger().warning
        return WarmRunner(parsed, warn, one_manifest=given is not None)

    def _place(self, project: DbtProject | None) -> _Place:
        """Where dbt runs: in the definition's project, if it names one; else in the resource's."""
        own = Path(self.target_path or os.environ.get("DBT_TARGET_PATH") or "target")
        if project is None:
            folder = Path(self.project_dir)
            return _Place(folder, own, self.profiles_dir, self.profile, self.target)
        folder, target_base = project.project_dir, project.target_path
        if folder.resolve() == Path(self.project_dir).resolve():
            profile, target = self.profile or project.profile, self.target or project.target
            return _Place(folder, target_base, self.profiles_dir, profile, target)
        # Another project than the resource's: what it says of itself goes first.
        return _Place(
            folder,
            target_base,
            project.own_profiles_dir or self.profiles_dir,
            project.profile or self.profile,
            project.target or self.target,
        )


@dataclass(frozen=True)
class _Place:
    """Where a dbt command runs, and how it finds its warehouse."""

    folder: Path
    target_base: Path
    profiles_dir: str | Path | None
    profile: str | None
    target: str | None


def _check_runner(runner: object) -> None:
    if runner not in (None, *RUNNERS) and not isinstance(runner, EnvVar):
        raise InvalidInput(
            f"There is no runner {runner!r}.", remedy=f"Choose one of {', '.join(RUNNERS)}."
        )


def _text(path: str | Path | None) -> str | None:
    # An EnvVar is a string that must stay one.
    return str(path) if isinstance(path, Path) else path


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
