"""`dagweave lineage`: what is linked by physical table, what is ambiguous, what stayed loose."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dagweave._dagster.locations import load_repositories
from dagweave.cli import target
from dagweave.weaving import Lineage, find_lineage
from dagweave.weaving.report import shown

EXIT_LOOSE = 3


def command(
    *,
    module: target.Module = None,
    python_file: target.PythonFile = None,
    workspace: target.Workspace = None,
    working_directory: target.WorkingDirectory = None,
    attribute: target.Attribute = None,
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with 3 if a table that is read has no one writer."),
    ] = False,
) -> None:
    """Show how assets are linked by physical table.

    Example: dagweave lineage -m my_project.definitions

    Exits with 0; with 1 if the definitions do not load; with --strict, with 3 if a dependency
    whose table is known is ambiguous or loose.
    """
    wanted = target.named(module, python_file, workspace, working_directory, attribute)
    unclear = False
    for location, repository in load_repositories(wanted):
        woven = Lineage.from_metadata(repository.metadata)
        # A definition of several assets is there once for each.
        assets = {id(asset): asset for asset in repository.assets_defs_by_key.values()}.values()
        found = woven or find_lineage(assets, {})
        unclear |= bool(found.ambiguous) or any(loose.table for loose in found.loose)
        if json:
            sys.stdout.write(found.to_json() + "\n")
        else:
            _show(location, found, is_woven=woven is not None)
    if strict and unclear:
        raise typer.Exit(EXIT_LOOSE)


def _show(location: str, found: Lineage, *, is_woven: bool) -> None:
    console = Console()
    console.print(f"[bold]{location}[/]")
    if not is_woven:
        console.print(
            "These definitions are not woven: wrap them in dagweave.weaving.weave(...).\n"
            "Below is what their metadata alone would link.",
            style="yellow",
        )
    links = Table("reader", "depended on", "is written by", "table", box=None, pad_edge=False)
    for link in found.links:
        links.add_row(shown(link.reader), shown(link.loose), shown(link.writer), link.table)
    console.print(f"\n{len(found.links)} linked by physical table", style="green")
    if found.links:
        console.print(links)
    if found.ambiguous:
        console.print(f"\n{len(found.ambiguous)} ambiguous, left as they were", style="red")
        for item in found.ambiguous:
            writers = " or ".join(shown(writer) for writer in item.writers)
            console.print(f"{shown(item.reader)} reads {item.table}, written by {writers}")
    if found.loose:
        console.print(f"\n{len(found.loose)} loose", style="yellow")
        for item in found.loose:
            table = f" ({item.table})" if item.table else ""
            console.print(
                f"{shown(item.reader)} depends on {shown(item.loose)}{table}: {item.reason}"
            )
