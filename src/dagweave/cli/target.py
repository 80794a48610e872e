"""The options by which every command finds definitions, as those of `dagster` do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from dagweave._dagster.locations import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

Module: TypeAlias = Annotated[
    list[str] | None, typer.Option("-m", "--module-name", help="Module with definitions.")
]
PythonFile: TypeAlias = Annotated[
    list[str] | None, typer.Option("-f", "--python-file", help="File with definitions.")
]
Workspace: TypeAlias = Annotated[
    list[str] | None, typer.Option("-w", "--workspace", help="A workspace.yaml.")
]
WorkingDirectory: TypeAlias = Annotated[
    str | None, typer.Option("-d", "--working-directory", help="Where imports start.")
]
Attribute: TypeAlias = Annotated[
    str | None, typer.Option("-a", "--attribute", help="The name of the definitions.")
]


def named(
    modules: Sequence[str] | None,
    python_files: Sequence[str] | None,
    workspaces: Sequence[str] | None,
    working_directory: str | None,
    attribute: str | None,
) -> Target:
    """Where the definitions are that the options name."""
    return Target(
        modules=tuple(modules or ()),
        python_files=tuple(python_files or ()),
        workspaces=tuple(workspaces or ()),
        working_directory=working_directory,
        attribute=attribute,
    )
