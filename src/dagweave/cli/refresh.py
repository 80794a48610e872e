"""`dagweave refresh`: ask each system what there is, and keep it, so that definitions load offline."""

from __future__ import annotations

import json as json_
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from dagweave._dagster.locations import load_repositories
from dagweave._dagster.snapshots import refreshing
from dagweave._kernel.state import state_dir
from dagweave.cli import target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagweave._dagster.snapshots import Refreshed

EXIT_STALE = 3


def command(
    *,
    module: target.Module = None,
    python_file: target.PythonFile = None,
    workspace: target.Workspace = None,
    working_directory: target.WorkingDirectory = None,
    attribute: target.Attribute = None,
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Renew the snapshots that definitions are made of: dlt sources, Fivetran, Airbyte.

    Run it where the systems can be reached and the credentials are, such as when the code is
    built. Definitions then load from the snapshots, without network or credentials. These lie in
    DAGWEAVE_STATE_DIR, else under DAGSTER_HOME, else in .dagweave of the project.

    Example: dagweave refresh -m my_project.definitions

    Exits with 0; with 1 if the definitions do not load; with 3 if a snapshot could not be renewed
    and stays as it was.
    """
    wanted = target.named(module, python_file, workspace, working_directory, attribute)
    with refreshing() as done:
        console = Console(stderr=True, highlight=False)
        with console.status("Loading the definitions ..."):
            for _ in load_repositories(wanted):
                pass
    if json:
        sys.stdout.write(json_.dumps([_plain(each) for each in done], indent=2) + "\n")
    else:
        _show(done)
    if any(each.error for each in done):
        raise typer.Exit(EXIT_STALE)


def _plain(each: Refreshed) -> dict[str, Any]:
    return {
        "area": each.file.area,
        "name": each.file.name,
        "file": str(each.file.path),
        "changed": each.changed,
        "before": each.before.isoformat() if each.before else None,
        "error": str(each.error) if each.error else None,
    }


def _show(done: Sequence[Refreshed]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for each in done:
        if each.error:
            console.print(
                f"{each.file}: stays that of {each.before:%Y-%m-%d %H:%M} UTC", style="red"
            )
            console.print(str(each.error), style="red", markup=False)
        elif each.before is None:
            console.print(f"{each.file}: new", style="green")
        else:
            console.print(f"{each.file}: {'changed' if each.changed else 'as before'}")
    if done:
        console.print(f"{len(done)} snapshots in {state_dir()}")
    else:
        console.print("Nothing in these definitions is made of a snapshot.", style="yellow")
