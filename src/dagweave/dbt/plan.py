"""What a run of a selection would do, found out without running anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from dagweave._kernel.errors import MissingExtra
from dagweave.dbt import checks, defaults
from dagweave.dbt.arguments import Arguments
from dagweave.dbt.assets import dbt_assets
from dagweave.dbt.run import default_dbt, find_dbt
from dagweave.dbt.scope import Scope
from dagweave.dbt.telling import INDIRECT_SELECTION, tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from dagster import AssetCheckKey, AssetKey, AssetsDefinition

    from dagweave.dbt.manifest import Manifest
    from dagweave.dbt.subject import Subject

# What `dbt build` runs, in its order within a wave: a unit test goes before its model, a data test
# after it.
_RUN: Final = ("unit_test", "seed", "snapshot", "function", "model", "saved_query", "test")


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One thing that dbt would run.

    `wave`: nodes of one wave do not wait for each other, and a test is of the wave of what it
    tests. `asset_key`: the asset that the node is; of a test that is a check, the one that it
    checks.
    """

    unique_id: str
    resource_type: str
    name: str
    wave: int
    materialized: str | None = None
    table: str | None = None
    asset_key: str | None = None
    check: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do: a command of dbt, where, and what that runs."""

    folder: str
    argv: list[str]
    environment: dict[str, str]
    nodes: list[PlannedNode]


@dataclass(frozen=True)
class _WholeStep:
    """As much of a step's context as a `Scope` reads, of a step that runs all of a definition."""

    assets_def: AssetsDefinition
    has_assets_def: bool = True

    @property
    def selected_asset_keys(self) -> Set[AssetKey]:
        return self.assets_def.keys

    @property
    def selected_asset_check_keys(self) -> Set[AssetCheckKey]:
        return set(self.assets_def.check_keys)


def plan(subject: Subject) -> Plan:
    """What a run would do of all assets that a definition of this selection makes.

    dbt is told what a real run tells it: by the same code, from the same definition.

    Raises:
        InvalidInput: The definition would not load: its manifest, selection or keys are not right.
    """

    @dbt_assets(
        manifest=subject.manifest,
        select=subject.select,
        exclude=subject.exclude,
        selector=subject.selector,
        project=subject.project,
    )
    def planned(): ...

    folder = str(subject.project.project_dir)
    scope = Scope.of(cast("Any", _WholeStep(planned)))
    if scope is None:
        return Plan(folder, [], {}, [])
    told = tell(scope, Arguments.read(["build"]))
    argv = [_dbt(), "build", *subject.connection, *told.arguments]
    variables = {INDIRECT_SELECTION: told.indirect} if told.indirect else {}
    return Plan(folder, argv, variables, _nodes(subject, scope))


def _dbt() -> str:
    try:
        return find_dbt()
    except MissingExtra:
        return default_dbt()


def _nodes(subject: Subject, scope: Scope) -> list[PlannedNode]:
    manifest = subject.manifest
    nodes = {id_: manifest.node(id_) for id_ in subject.selected.ids | scope.checks.keys()}
    run = {
        id_: node
        for id_, node in nodes.items()
        if node.resource_type in _RUN and not node.is_ephemeral
    }
    waves = _waves(manifest, run.keys())
    order = sorted(run, key=lambda id_: (waves[id_], _RUN.index(run[id_].resource_type), id_))
    planned: list[PlannedNode] = []
    for id_ in order:
        node = run[id_]
        check = scope.checks.get(id_)
        key = check.asset_key if check else scope.key(id_)
        table = defaults.table_of(node, manifest.adapter_type) if node.is_asset else None
        planned.append(
            PlannedNode(
                id_,
                node.resource_type,
                node.name,
                max(waves[id_], 1),
                node.config.materialized if node.is_asset else None,
                str(table) if table else None,
                key.to_user_string() if key else None,
                check.name if check else None,
            )
        )
    return planned


def _waves(manifest: Manifest, chosen: Set[str]) -> Mapping[str, int]:
    """For each node the number of nodes on the longest way to it, of those that are built."""
    waves: dict[str, int] = {}
    waiting = list(chosen)
    while waiting:
        id_ = waiting[-1]
        parents = [up for up in manifest.node(id_).parents if manifest.has_node(up)]
        if unknown := [up for up in parents if up not in waves and up != id_]:
            waiting.extend(unknown)
            continue
        waiting.pop()
        is_built = id_ in chosen and manifest.node(id_).resource_type not in checks.TEST_TYPES
        waves[id_] = max((waves.get(up, 0) for up in parents), default=0) + is_built
    return waves
