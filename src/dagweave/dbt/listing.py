"""Ask dbt itself which nodes a selection has: for what depends on more than the manifest."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.run import DbtProcess, copy_partial_parse, environment, find_dbt
from dagweave.dbt.select import EVERYTHING, NotEvaluatedHere, Selected
from dagweave.dbt.select import select as evaluated
from dagweave.dbt.trouble import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagweave.dbt.manifest import Manifest
    from dagweave.dbt.project import DbtProject
    from dagweave.dbt.select import Indirect

_memo: WeakKeyDictionary[Manifest, dict[tuple[object, ...], Selected]] = WeakKeyDictionary()


def selected_nodes(
    manifest: Manifest,
    project: DbtProject | None,
    *,
    select: str = EVERYTHING,
    exclude: str = "",
    selector: str = "",
    indirect: Indirect = "eager",
) -> Selected:
    """The nodes of a selection: evaluated here, or, where it takes dbt to know them, by `dbt ls`.

    dbt is asked for `state:` and its like, which compare with the artifacts in the project's
    `state_path`, and for methods that are not known here. It is asked once per manifest.

    Raises:
        InvalidInput: The selection cannot be read; or it takes dbt, and no project is given, or
            nothing to compare with is there.
        WorkFailed: dbt could not list it; says why in its own words.
    """
    written = {"select": select, "exclude": exclude, "selector": selector}
    try:
        return evaluated(manifest, **written, indirect=indirect)
    except NotEvaluatedHere as error:
        if project is None:
            raise InvalidInput(
                error.what,
                seen=error.seen,
                remedy="dbt itself can: give the project, as in @dbt_assets(manifest=..., "
                f"project=my_project). Or: {error.remedy}",
            ) from error
    known = _memo.setdefault(manifest, {})
    key = (*written.values(), indirect, project)
    if key not in known:
        told = ["--indirect-selection", indirect, *_written(**written)]
        known[key] = Selected(listed_by_dbt(project, told))
    return known[key]


def takes_dbt(manifest: Manifest, *, select: str, exclude: str, selector: str) -> bool:
    """Whether a selection that can be read takes dbt to evaluate."""
    try:
        evaluated(manifest, select=select, exclude=exclude, selector=selector)
    except NotEvaluatedHere:
        return True
    return False


def _written(*, select: str, exclude: str, selector: str) -> list[str]:
    if selector:
        return ["--selector", selector]
    excluded = ["--exclude", *exclude.split()] if exclude.strip() else []
    return ["--select", *(select or EVERYTHING).split(), *excluded]


def state_args(project: DbtProject | None) -> list[str]:
    """`--state`, if the project names one that has a manifest."""
    state = project.state_path if project else None
    return ["--state", str(state)] if state and (state / "manifest.json").exists() else []


def listed_by_dbt(project: DbtProject, told: Sequence[str]) -> frozenset[str]:
    """The nodes that `dbt ls` lists, from the files of the project as they are now.

    Raises:
        WorkFailed: dbt failed; says why.
        InvalidInput: Likewise, and would again.
        MissingExtra: There is no dbt.
    """
    argv = [find_dbt(), "ls", "--resource-type", "all", "--output", "json"]
    argv += ["--output-keys", "unique_id", *state_args(project)]
    argv += ["--profile", project.profile] if project.profile else []
    argv += ["--target", project.target] if project.target else []
    # Its artifacts would take the place of those that definitions are loaded from.
    with TemporaryDirectory() as target:
        copy_partial_parse(project.manifest_path.parent, Path(target))
        env = environment(
            project_dir=project.project_dir,
            target_path=Path(target),
            profiles_dir=project.own_profiles_dir,
        )
        process = DbtProcess([*argv, *told], cwd=project.project_dir, env=env)
        try:
            lines = list(process.lines())
            code = process.wait()
        finally:
            process.stop()
    if error := process.trouble.error(process.command, code):
        raise error
    return frozenset(found for line in lines if (found := _listed(line)))


def _listed(line: bytes) -> str | None:
    """The node that a line of `dbt ls` lists: as it is, or in an event that prints it."""
    try:
        said: Any = decode(line)
        said = decode(said["data"]["msg"]) if "data" in said else said
        return str(said["unique_id"])
    except (ValueError, KeyError, TypeError):
        return None
