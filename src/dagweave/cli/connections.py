"""`dagweave connections`: what there is at Fivetran and Airbyte, what a sync would ask, what changed.

Nothing of this begins, stops or changes anything.
"""

from __future__ import annotations

import json as json_
import sys
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 -- typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dagweave._dagster.locations import load_repositories
from dagweave._kernel.errors import InvalidInput
from dagweave.cli import target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import RepositoryDefinition

    from dagweave._dagster.locations import Target
    from dagweave.connector.model import Condition
    from dagweave.connector.workspace import SyncWorkspace

EXIT_DRIFT = 3

app = typer.Typer(
    help="Connections of Fivetran and Airbyte. Nothing is begun, stopped or changed.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command("list")
def list_(
    *,
    module: target.Module = None,
    python_file: target.PythonFile = None,
    workspace: target.Workspace = None,
    working_directory: target.WorkingDirectory = None,
    attribute: target.Attribute = None,
    json: Json = False,
) -> None:
    """Show each connection as it is now: whether it is well, when it last synced, its tables.

    Example: dagweave connections list -m my_project.definitions
    """
    found, _ = _load(target.named(module, python_file, workspace, working_directory, attribute))
    rows: list[dict[str, Any]] = []
    for each in found:
        data = each.data()
        known = each.vendor.connections(data)
        for condition in each.resolved().service().conditions():
            id_ = condition.connection_id
            tables = sum(1 for _ in each.vendor.tables(data, id_)) if id_ in known else 0
            ended = condition.ended_at
            rows.append(
                {
                    "vendor": each.vendor.name,
                    "id": id_,
                    "name": condition.name,
                    "state": _state(condition),
                    "last_sync": datetime.fromtimestamp(ended, UTC).isoformat() if ended else None,
                    "tables": tables,
                }
            )
    _show(rows, json=json)


@app.command()
def preview(
    *,
    module: target.Module = None,
    python_file: target.PythonFile = None,
    workspace: target.Workspace = None,
    working_directory: target.WorkingDirectory = None,
    attribute: target.Attribute = None,
    connection: Annotated[
        str | None, typer.Option("--connection", help="The id or the name of one connection.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what a run of each connection would make, and what it would ask. It asks nothing.

    Example: dagweave connections preview -m my_project.definitions --connection shop
    """
    wanted = target.named(module, python_file, workspace, working_directory, attribute)
    found, repositories = _load(wanted)
    keys = _keys(repositories)
    shown: list[dict[str, Any]] = []
    for each in found:
        service = each.resolved().service()
        for id_, known in each.vendor.connections(each.data()).items():
            if connection in (None, id_, known.name):
                shown.append(
                    {
                        "vendor": each.vendor.name,
                        "id": id_,
                        "name": known.name,
                        "assets": sorted(keys.get(id_, ())),
                        "requests": list(service.requests_of_a_sync(id_)),
                    }
                )
    if connection is not None and not shown:
        raise InvalidInput(
            f"No connection of these definitions is called {connection!r}.",
            remedy="See them: dagweave connections list",
        )
    if json:
        sys.stdout.write(json_.dumps(shown, indent=2) + "\n")
        return
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for each in shown:
        console.print(f"{each['vendor']} {each['name']} ({each['id']})", style="bold")
        for key in each["assets"] or ["no assets"]:
            console.print(f"  {key}")
        for request in each["requests"]:
            console.print(f"  -> {request}", style="dim")


@app.command()
def drift(
    *,
    module: target.Module = None,
    python_file: target.PythonFile = None,
    workspace: target.Workspace = None,
    working_directory: target.WorkingDirectory = None,
    attribute: target.Attribute = None,
    json: Json = False,
) -> None:
    """Show what has changed since the snapshot that the definitions are made of.

    Example: dagweave connections drift -m my_project.definitions

    Exits with 0 if nothing has; with 3 if something has, which dagweave refresh takes over.
    """
    found, _ = _load(target.named(module, python_file, workspace, working_directory, attribute))
    changes: list[dict[str, str]] = []
    for each in found:
        before = _tables(each, each.data())
        now = _tables(each, each.resolved().service().snapshot())
        for change, items in (("new", now.keys() - before.keys()), ("gone", before.keys() - now)):
            changes += [
                {"vendor": each.vendor.name, "change": change, "what": (now | before)[item]}
                for item in sorted(items)
            ]
    if changes or json:
        _show(changes, json=json)
    else:
        Console().print("Nothing has changed since the snapshot.")
    if changes:
        raise typer.Exit(EXIT_DRIFT)


@app.command()
def snapshot(
    *,
    module: target.Module = None,
    python_file: target.PythonFile = None,
    workspace: target.Workspace = None,
    working_directory: target.WorkingDirectory = None,
    attribute: target.Attribute = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    account: Annotated[
        str | None, typer.Option("--account", help="Which account, if there are several.")
    ] = None,
) -> None:
    """Write a snapshot of an account to a file, for `snapshot_path` of its resource.

    Example: dagweave connections snapshot -m my_project.definitions -o fivetran.json
    """
    found, _ = _load(target.named(module, python_file, workspace, working_directory, attribute))
    chosen = [each for each in found if account in (None, each.resolved().account)]
    if len(chosen) != 1:
        raise InvalidInput(
            f"{len(chosen)} accounts of these definitions are meant.",
            seen=", ".join(f"{e.vendor.name} {e.resolved().account}" for e in found) or None,
            remedy="Name one: --account ACCOUNT",
        )
    chosen[0].write_snapshot(output)
    Console(soft_wrap=True).print(f"{chosen[0].vendor.name}: written to {output}")


def _load(wanted: Target) -> tuple[Sequence[SyncWorkspace], Sequence[RepositoryDefinition]]:
    """The accounts that definitions are made of, each once, and the definitions."""
    from dagweave.connector.workspace import loaded

    with Console(stderr=True).status("Loading the definitions ..."):
        repositories = [repository for _, repository in load_repositories(wanted)]
    found: dict[str, SyncWorkspace] = {}
    for each in list(loaded.values()):
        found.setdefault(str(each.state_file().path), each)
    if not found:
        Console(stderr=True).print(
            "Nothing in these definitions is of Fivetran or Airbyte.", style="yellow"
        )
    return list(found.values()), repositories


def _keys(repositories: Sequence[RepositoryDefinition]) -> Mapping[str, set[str]]:
    from dagweave.connector.model import IDENTITY, connection_of

    keys: dict[str, set[str]] = {}
    for repository in repositories:
        for assets in repository.assets_defs_by_key.values():
            for spec in assets.specs:
                if identity := spec.metadata.get(IDENTITY):
                    key = spec.key.to_user_string()
                    keys.setdefault(connection_of(str(identity)), set()).add(key)
    return keys


def _tables(workspace: SyncWorkspace, data: Any) -> dict[str, str]:
    """What a snapshot says there is, as texts to compare and as texts to show."""
    vendor = workspace.vendor
    found: dict[str, str] = {}
    for id_, connection in vendor.connections(data).items():
        found[id_] = f"connection {connection.name} ({id_})"
        for table in vendor.tables(data, id_):
            found[table.identity] = f"table {table.label} of {connection.name} ({id_})"
    return found


def _state(condition: Condition) -> str:
    if condition.problem:
        return f"{condition.problem} {condition.message}".strip()
    if condition.paused:
        return "paused"
    return "well" if condition.succeeded else f"failed: {condition.message}".strip()


def _show(rows: Sequence[Mapping[str, Any]], *, json: bool) -> None:
    if json:
        sys.stdout.write(json_.dumps(rows, indent=2) + "\n")
        return
    if not rows:
        return
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str("" if value is None else value) for value in row.values()))
    Console(soft_wrap=True).print(table)
