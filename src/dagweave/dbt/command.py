"""`dagweave dbt`: look at a dbt project as Dagster will see it, without running it.

What a command needs is imported when it runs: every start of `dagweave` imports this module.
"""

from __future__ import annotations

import json as json_format
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from dagweave.dbt.doctor import Finding
    from dagweave.dbt.plan import Plan
    from dagweave.dbt.subject import Subject

EXIT_DIFFERENT = 1
EXIT_ERRORS = 1
EXIT_WARNINGS = 3
_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
_MOST_SHOWN = 10

app = typer.Typer(
    help="Look at a dbt project as Dagster will see it.", no_args_is_help=True, add_completion=False
)
project_app = typer.Typer(
    help="Put a dbt project into Dagster, and into a deployment.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(project_app, name="project")

Folder = Annotated[Path, typer.Argument(metavar="[PROJECT]", help="The folder of dbt_project.yml.")]
Select = Annotated[
    list[str] | None, typer.Option("--select", "-s", help="Which nodes, in dbt's language.")
]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", help="Which nodes not.")]
Selector = Annotated[
    str, typer.Option("--selector", help="A YAML selector of the project, instead of the two.")
]
Target = Annotated[str | None, typer.Option("--target", "-t", help="The target of the profile.")]
Profile = Annotated[str | None, typer.Option("--profile", help="The profile.")]
State = Annotated[
    Path | None,
    typer.Option("--state", help="Artifacts of another run, which `state:` compares with."),
]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command("plan")
def plan_command(
    project: Folder = Path(),
    *,
    select: Select = None,
    exclude: Exclude = None,
    selector: Selector = "",
    target: Target = None,
    profile: Profile = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Show what a run would do: the nodes in dbt's order, their tests, and the command.

    Example: dagweave dbt plan shop --select +orders --exclude tag:slow

    The manifest is read, and nothing run. Options that select may be given several times.

    Exits with 0; with 1 if the manifest or the selection cannot be read.
    """
    from dagweave.dbt.plan import plan

    made = plan(_subject(project, select, exclude, selector, target, profile, state))
    if json:
        _print_json(asdict(made))
    else:
        _show_plan(made)


@app.command("ls")
def ls_command(
    project: Folder = Path(),
    *,
    select: Select = None,
    exclude: Exclude = None,
    selector: Selector = "",
    target: Target = None,
    profile: Profile = None,
    state: State = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with `dbt ls`, which is run for it.")
    ] = False,
    json: Json = False,
) -> None:
    """List what a selection selects, by the ids that dbt's manifest has.

    Example: dagweave dbt ls shop --select tag:nightly+ --check

    Exits with 0; with 1 if something cannot be read or, with --check, if dbt selects otherwise.
    """
    subject = _subject(project, select, exclude, selector, target, profile, state)
    ours = subject.selected
    found: dict[str, Any] = {"selected": sorted(ours.ids), "unmatched": list(ours.unmatched)}
    if check:
        with Console(stderr=True).status("dbt lists the project ..."):
            theirs = subject.selected_by_dbt()
        found["only_here"] = sorted(ours.ids - theirs)
        found["only_in_dbt"] = sorted(theirs - ours.ids)
    different = bool(found.get("only_here") or found.get("only_in_dbt"))
    if json:
        _print_json(found)
    else:
        _show_list(found, checked=check)
    raise typer.Exit(EXIT_DIFFERENT if different else 0)


@app.command("doctor")
def doctor_command(
    project: Folder = Path(),
    *,
    select: Select = None,
    exclude: Exclude = None,
    selector: Selector = "",
    target: Target = None,
    profile: Profile = None,
    state: State = None,
    json: Json = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 if there are warnings.")
    ] = False,
) -> None:
    """Say what of a project Dagster will not see, and why; and what keeps it from running.

    Example: dagweave dbt doctor shop --strict

    Looks at the manifest, the files, the profile and the packages installed; runs nothing.

    Exits with 0; with 1 if there are errors; with --strict, with 3 if there are warnings.
    """
    from dagweave.dbt.doctor import examine

    found = list(examine(_subject(project, select, exclude, selector, target, profile, state)))
    if json:
        _print_json({"findings": [asdict(each) for each in found]})
    else:
        _show_findings(found)
    severities = {each.severity for each in found}
    if "error" in severities:
        raise typer.Exit(EXIT_ERRORS)
    raise typer.Exit(EXIT_WARNINGS if strict and "warning" in severities else 0)


@project_app.command("scaffold")
def scaffold_command(
    *,
    project_name: Annotated[
        str,
        typer.Option(
            "--project-name",
            prompt="Enter a name for your Dagster project (letters, digits, underscores)",
            help="The name of the new project, and of its package.",
        ),
    ],
    dbt_project_dir: Annotated[
        Path, typer.Option("--dbt-project-dir", help="The folder of dbt_project.yml.")
    ] = Path(),
    use_state: Annotated[
        bool,
        typer.Option("--use-experimental-dbt-state", help="Defer to target/state.", hidden=True),
    ] = False,
) -> None:
    """Write a project of Dagster's for a dbt project, into a folder of its name here.

    Example: dagweave dbt project scaffold --project-name my_dagster --dbt-project-dir shop

    Exits with 0; with 1 if there is no dbt project, no profile, or the name is taken.
    """
    from dagweave.dbt.packaging import scaffold

    folder = scaffold(project_name, dbt_project_dir, Path.cwd(), use_state=use_state)
    console = _console()
    console.print(f"Made {folder}", style="green", markup=False)
    console.print(f"  cd {shlex.quote(str(folder))} && dagster dev", markup=False)


@project_app.command("prepare-for-deployment", hidden=True)
@project_app.command("prepare-and-package")
def prepare_and_package_command(
    *,
    file: Annotated[
        Path | None, typer.Option("--file", help="The Python file that says DbtProject(...).")
    ] = None,
    components: Annotated[
        Path | None, typer.Option("--components", help="The folder of a project of `dg`.")
    ] = None,
) -> None:
    """Install packages, parse, and copy each dbt project to its packaged_project_dir.

    Example: dagweave dbt project prepare-and-package --file my_dagster/project.py

    It runs `dbt deps` and `dbt parse`: part of the build of an image. Give one of the two options.

    Exits with 0; with 1 if there is no project or dbt cannot parse it.
    """
    from dagweave.dbt.packaging import (
        prepare_and_package,
        projects_of_components,
        projects_of_file,
    )

    if (file is None) == (components is None):
        raise typer.BadParameter("Give either --file or --components.")
    console = _console(stderr=True)
    if file is not None:
        projects = projects_of_file(file)
    else:
        assert components is not None
        projects = projects_of_components(components)
    for project in projects:
        prepare_and_package(project, lambda text: console.print(text, markup=False))


def _subject(
    project: Path,
    select: list[str] | None,
    exclude: list[str] | None,
    selector: str,
    target: str | None,
    profile: str | None,
    state: Path | None,
) -> Subject:
    from dagweave.dbt.subject import Subject

    return Subject.at(
        project,
        target=target,
        profile=profile,
        state=state,
        select=select or (),
        exclude=exclude or (),
        selector=selector,
    )


def _print_json(what: object) -> None:
    sys.stdout.write(json_format.dumps(what, indent=2) + "\n")


def _console(*, stderr: bool = False) -> Console:
    # What is piped elsewhere is not broken at 80 columns.
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def _show_plan(made: Plan) -> None:
    console = _console()
    if not made.nodes:
        console.print("Nothing: the selection has no assets.", style="yellow")
        return
    wide = max(len(node.name) for node in made.nodes)
    wave = 0
    for node in made.nodes:
        if node.wave != wave:
            wave = node.wave
            console.print(f"wave {wave}", style="bold")
        about = node.table or ""
        if node.resource_type.endswith("test"):
            about = f"checks {node.asset_key}" if node.check else "no check: an observation"
        kind = node.materialized or node.resource_type
        if kind != node.resource_type:
            kind = f"{node.resource_type} ({kind})"
        console.print(f"  {node.name:{wide}}  {kind:20}  {about}", markup=False)
    console.print(f"\nin {made.folder}", style="bold")
    for name, value in made.environment.items():
        console.print(f"  {name}={value}", markup=False)
    console.print(f"  {shlex.join(made.argv)}", markup=False)


def _show_list(found: dict[str, Any], *, checked: bool) -> None:
    for id_ in found["selected"]:
        sys.stdout.write(f"{id_}\n")
    console = _console(stderr=True)
    for sentence in found["unmatched"]:
        console.print(f"The selection {sentence}", style="yellow", markup=False)
    if not checked:
        return
    for key, title in (("only_here", "Only here"), ("only_in_dbt", "Only in dbt")):
        for id_ in found[key]:
            console.print(f"{title}: {id_}", style="red", markup=False)
    if found["only_here"] or found["only_in_dbt"]:
        console.print(
            "dbt read the files as they are now. If they changed since the manifest was made, "
            "parse again: dbt parse",
            style="yellow",
        )
    else:
        console.print(f"dbt selects the same {len(found['selected'])}.", style="green")


def _show_findings(found: list[Finding]) -> None:
    console = _console()
    for severity, colour in _COLOURS.items():
        for each in (finding for finding in found if finding.severity == severity):
            console.print(f"{severity}: {each.what}", style=colour, markup=False)
            for name in each.about[:_MOST_SHOWN]:
                console.print(f"    {name}", style=colour, markup=False)
            if (more := len(each.about) - _MOST_SHOWN) > 0:
                console.print(f"    ... and {more} more (--json shows all)", style=colour)
            if each.remedy:
                console.print(f"  {each.remedy}", style=colour, markup=False)
    if all(finding.severity == "note" for finding in found):
        console.print("Nothing is wrong.", style="green")
