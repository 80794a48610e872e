"""Every private name of Dagster that Dagweave uses, and why no public one will do.

Nothing else under `src/` may import from `dagster._core` and its like (the linter says so), so
that a new Dagster is checked here and nowhere else. What is costly to import is imported inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dagster import RepositoryDefinition

USAGE_ERRORS: tuple[type[Exception], ...] = (click.UsageError,)
"""What Dagster raises for a target that is not there. Its command line is built on click."""


def code_location_origins(
    *,
    modules: Sequence[str],
    python_files: Sequence[str],
    workspaces: Sequence[str],
    working_directory: str | None,
    attribute: str | None,
) -> Iterable[Any]:
    """The code locations that `dagster` would load for these options.

    Private, since Dagster offers its search for definitions only as its own command line.
    """
    from dagster._cli.workspace.cli_target import WorkspaceOpts, workspace_opts_to_load_target

    options = WorkspaceOpts(
        module_name=tuple(modules) or None,
        python_file=tuple(python_files) or None,
        workspace=tuple(workspaces) or None,
        working_directory=working_directory,
        attribute=attribute,
    )
    return workspace_opts_to_load_target(options, allow_in_process=True).create_origins()


def load_in_process(origin: Any, entry_point: Sequence[str]) -> Iterator[RepositoryDefinition]:
    """The repositories of a code location, loaded into this process.

    Private, since the public way to a code location goes through a server, which sends snapshots
    and not definitions.
    """
    from dagster._grpc.server import LoadedRepositories

    loaded = LoadedRepositories(
        origin.loadable_target_origin,
        container_image=None,
        entry_point=entry_point,
        container_context=None,
    )
    yield from loaded.definitions_by_name.values()
