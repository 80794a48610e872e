"""Make assets of the nodes of a dbt project, and find them again."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from dagster import (
    BackfillPolicy,
    TimeWindowPartitionsDefinition,
    get_dagster_logger,
    multi_asset,
)

from dagweave._dagster.private import LargeAssetsDefinition
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import keys
from dagweave.dbt.listing import selected_nodes
from dagweave.dbt.manifest import ASSET_TYPES, Manifest, paused_gc
from dagweave.dbt.origin import Origin
from dagweave.dbt.project import check_manifest
from dagweave.dbt.select import EVERYTHING
from dagweave.dbt.specs import SpecBuilder
from dagweave.dbt.translator import DagsterDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence, Set

    from dagster import (
        AssetCheckSpec,
        AssetKey,
        AssetsDefinition,
        AssetSpec,
        PartitionsDefinition,
        RetryPolicy,
    )

    from dagweave.dbt.manifest import ManifestSource
    from dagweave.dbt.project import DbtProject


def dbt_assets(
    *,
    manifest: ManifestSource,
    select: str = EVERYTHING,
    exclude: str | None = "",
    selector: str | None = "",
    name: str | None = None,
    io_manager_key: str | None = None,
    partitions_def: PartitionsDefinition[str] | None = None,
    dagster_dbt_translator: DagsterDbtTranslator | None = None,
    backfill_policy: BackfillPolicy | None = None,
    op_tags: Mapping[str, Any] | None = None,
    required_resource_keys: set[str] | None = None,
    project: DbtProject | None = None,
    retry_policy: RetryPolicy | None = None,
    pool: str | None = None,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Make a function that runs dbt the definition of all that it builds: one asset per node.

    Models, seeds and snapshots are assets, tests are asset checks, and each run runs those that
    were selected in Dagster. Loading needs neither dbt nor a profile: only the manifest.

    Args:
        manifest: The manifest of the project: its path, or its content.
        select: Which nodes, in dbt's language: `staging.*`, `tag:nightly+`. By default all.
        exclude: Which not, in the same language.
        selector: The name of one of the project's YAML selectors, instead of the two others.
        name: The name of the op; by default the function's.
        io_manager_key: What loads the tables for assets that take them as arguments.
        partitions_def: The partitions of all of them. A backfill over time windows is one run.
        dagster_dbt_translator: Says what each node is in Dagster.
        project: Where the project is; without it, the resource's project is run.

    Raises:
        InvalidInput: The manifest cannot be read or is another project's, the selection cannot be
            evaluated, or two nodes have the same asset key.

    Example:
        ```python
        @dbt_assets(manifest=project.manifest_path, project=project, select="staging.*")
        def staging(context: AssetExecutionContext, dbt: DbtCliResource):
            yield from dbt.cli(["build"], context=context).stream()
        ```
    """
    written = {keys.SELECT: select, keys.EXCLUDE: exclude, keys.SELECTOR: selector}
    if twice := sorted(written.keys() & (op_tags or {}).keys()):
        raise InvalidInput(
            f"A dbt selection is not given as an op tag: {', '.join(twice)}.",
            remedy="Give it as select, exclude or selector.",
        )
    with paused_gc():
        specs, check_specs = _specs(
            Manifest.of(manifest),
            dagster_dbt_translator,
            project,
            (select, exclude or "", selector or ""),
            io_manager_key,
        )
    if isinstance(partitions_def, TimeWindowPartitionsDefinition):
        backfill_policy = backfill_policy or BackfillPolicy.single_run()
    decorate = multi_asset(
        name=name,
        specs=specs,
        check_specs=check_specs,
        can_subset=True,
        required_resource_keys=required_resource_keys,
        partitions_def=partitions_def,
        op_tags={**{tag: text for tag, text in written.items() if text}, **(op_tags or {})},
        backfill_policy=backfill_policy,
        retry_policy=retry_policy,
        pool=pool,
        # Source tests check assets that are made elsewhere.
        allow_arbitrary_check_specs=True,
    )

    def define(function: Callable[..., Any]) -> AssetsDefinition:
        with paused_gc():
            return LargeAssetsDefinition.of(decorate(function))

    return define


def build_dbt_asset_specs(
    *,
    manifest: ManifestSource,
    dagster_dbt_translator: DagsterDbtTranslator | None = None,
    select: str = EVERYTHING,
    exclude: str | None = "",
    selector: str | None = "",
    project: DbtProject | None = None,
) -> Sequence[AssetSpec]:
    """The assets of a dbt project as specs alone: for a project that something else runs.

    Arguments and errors are those of `dbt_assets`.
    """
    written = (select, exclude or "", selector or "")
    with paused_gc():
        return _specs(Manifest.of(manifest), dagster_dbt_translator, project, written, None)[0]


def _specs(
    manifest: Manifest,
    translator: DagsterDbtTranslator | None,
    project: DbtProject | None,
    written: tuple[str, str, str],
    io_manager_key: str | None,
) -> tuple[list[AssetSpec], list[AssetCheckSpec]]:
    expression, exclude, selector = written
    if project is not None:
        check_manifest(manifest, project.name, project.project_dir)
    selected = selected_nodes(
        manifest, project, select=expression, exclude=exclude, selector=selector
    )
    for sentence in selected.unmatched:
        get_dagster_logger().warning(f"The dbt selection {sentence}")
    if isinstance(translator, type):
        raise InvalidInput(
            f"{translator.__name__} is a class.",
            remedy=f"Give an instance: {translator.__name__}()",
        )
    excluded: Set[str] = frozenset()
    if exclude.strip():
        excluded = selected_nodes(manifest, project, select=exclude).ids
    builder = SpecBuilder(
        translator or DagsterDbtTranslator(), manifest, project, selected.ids, excluded
    )
    return builder.build(io_manager_key)


def get_asset_key_for_model(dbt_assets: Sequence[AssetsDefinition], model_name: str) -> AssetKey:
    """The asset key of the model, seed or snapshot of this name.

    Raises:
        InvalidInput: There is none; names the nearest.
    """
    origin = Origin.of_the_one(dbt_assets)
    named = models_named(origin.manifest, model_name)
    # Its key here, which may have been changed since; of a node that is not here, the translator's.
    here = {
        str(spec.metadata[keys.UNIQUE_ID]): spec.key for each in dbt_assets for spec in each.specs
    }
    return next((here[id_] for id_ in named if id_ in here), None) or origin.key(named[0])


def models_named(manifest: Manifest, model_name: str) -> Sequence[str]:
    """The ids of the models, seeds and snapshots of this name.

    Raises:
        InvalidInput: There is none; names the nearest.
    """
    models = [
        id_ for id_ in manifest.ids("nodes") if manifest.node(id_).resource_type in ASSET_TYPES
    ]
    named = [id_ for id_ in models if manifest.node(id_).name == model_name]
    if not named:
        names = [manifest.node(id_).name for id_ in models]
        raise _none_such("dbt model, seed or snapshot", model_name, names)
    return named


def get_asset_key_for_source(dbt_assets: Sequence[AssetsDefinition], source_name: str) -> AssetKey:
    """The asset key of the only table of a source.

    Raises:
        InvalidInput: There is no such source, or it has several tables.
    """
    found = get_asset_keys_by_output_name_for_source(dbt_assets, source_name)
    if len(found) > 1:
        raise InvalidInput(
            f"The dbt source {source_name!r} has {len(found)} tables.",
            seen=", ".join(key.to_user_string() for key in found.values()),
            remedy="Use get_asset_keys_by_output_name_for_source.",
        )
    return next(iter(found.values()))


def get_asset_keys_by_output_name_for_source(
    dbt_assets: Sequence[AssetsDefinition], source_name: str
) -> Mapping[str, AssetKey]:
    """The asset key of each table of a source, by a name that an output may have.

    Raises:
        InvalidInput: There is no such source; names the nearest.
    """
    origin = Origin.of_the_one(dbt_assets)
    manifest = origin.manifest
    tables = [
        id_ for id_ in manifest.ids("sources") if manifest.node(id_).source_name == source_name
    ]
    if not tables:
        names = [manifest.node(id_).source_name or "" for id_ in manifest.ids("sources")]
        raise _none_such("dbt source", source_name, names)
    return {_output_name(id_): origin.key(id_) for id_ in tables}


def _output_name(unique_id: str) -> str:
    return unique_id.replace(".", "_").replace("-", "_").replace("*", "_star")


def _none_such(kind: str, name: str, names: Iterable[str]) -> InvalidInput:
    near = difflib.get_close_matches(name, set(names), n=3)
    return InvalidInput(
        f"There is no {kind} {name!r}.", seen=f"Nearest: {', '.join(near)}." if near else None
    )
