"""The `dagweave` command: what every subcommand shares, and where they are found.

A subcommand of an integration (`dagweave dbt`, `dagweave demo`) announces itself by the entry point
`dagweave.commands`, as a function or a group of them, so that this module knows none of them.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import entry_points, version
from typing import Annotated

import typer
from rich.console import Console

from dagweave._kernel.errors import DagweaveError, MissingExtra
from dagweave.cli import connections, lineage, refresh

COMMANDS = "dagweave.commands"

app = typer.Typer(
    name="dagweave",
    help="The modern data stack, woven into open-source Dagster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(connections.app, name="connections")
app.command("lineage")(lineage.command)
app.command("refresh")(refresh.command)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 -- the signature that typer calls
    if wanted:
        print(version("dagweave"))
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    if os.environ.get("DAGWEAVE_LOG", "").lower() == "debug":
        logging.basicConfig(level=logging.DEBUG)


def main() -> None:
    """Run the command line; an error of ours is shown as a message, with exit code 1."""
    for entry in entry_points(group=COMMANDS):
        command = entry.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=entry.name)
        else:
            app.command(entry.name)(command)
    try:
        app()
    except DagweaveError as error:
        kind = "Not installed" if isinstance(error, MissingExtra) else type(error).__name__
        # A path or a command that is broken in two cannot be copied.
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"{kind}: {error}", style="red", markup=False)
        sys.exit(1)
