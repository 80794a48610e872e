"""Find out what a step is to load: from which source, for which assets, of what time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from dagster import AssetCheckKey, AssetExecutionContext, AssetKey, DagsterError

from dagweave._kernel.errors import InvalidInput
from dagweave.dlt.inventory import is_factory, made_pipeline, made_source
from dagweave.dlt.run import Attempt
from dagweave.dlt.schema_check import NAME as SCHEMA_CHECK
from dagweave.dlt.source import BINDING, Binding
from dagweave.dlt.translator import (
    DagsterDltTranslator,
    DltResourceTranslatorData,
    checked_translator,
)
from dagweave.dlt.window import Window, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from dagster import OpExecutionContext
    from dlt import Pipeline
    from dlt.extract import DltSource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """What a step is to load.

    `keys` has the assets by resource, then by nested table; that of the resource itself is at
    `None`. `checked` are those whose schema is to be reported on.
    """

    source: DltSource
    pipeline: Pipeline
    keys: Mapping[str, Mapping[str | None, AssetKey]]
    checked: AbstractSet[AssetKey]
    window: Window | None
    attempt: Attempt

    def only(self, resource: str) -> Work:
        """The part of it that is one resource, as an attempt of its own."""
        attempt = Attempt(
            step=f"{self.attempt.step} {resource}", request=f"{self.attempt.request} {resource}"
        )
        return replace(self, keys={resource: self.keys[resource]}, attempt=attempt)


def work_of(
    context: AssetExecutionContext | OpExecutionContext,
    dlt_source: object,
    dlt_pipeline: object,
    translator: DagsterDltTranslator | None,
) -> Work:
    """What the step of `context` is to load.

    Raises:
        DagweaveError: as `made_source` has it.
        InvalidInput: No source or pipeline is given or known; it does not fit the assets.
    """
    what = "DagsterDltResource.run()"
    bound = _bindings(context)
    of_definition = dlt_source is None
    if dlt_source is None:
        dlt_source = _only("dlt_source", [binding.source for binding in bound.values()])
    if dlt_pipeline is None:
        dlt_pipeline = _only("dlt_pipeline", [binding.pipeline for binding in bound.values()])
    pipeline = made_pipeline(dlt_pipeline, what=what)
    window = _window(context)
    with within(window):
        source = made_source(dlt_source, pipeline, what=what)
    if of_definition and is_factory(dlt_source):
        source = _inventoried(
            context, source, list({binding.resource: None for binding in bound.values()})
        )
    keys = _keys(source, pipeline, bound, checked_translator(translator))
    checked: AbstractSet[AssetKey] = frozenset()
    if context.has_assets_def:
        keys = _selected(context, source, keys)
        checked = _checked(context)
    return Work(source, pipeline, keys, checked, window, _attempt(context, source, keys))


def _inventoried(
    context: AssetExecutionContext | OpExecutionContext, source: DltSource, known: Sequence[str]
) -> DltSource:
    """The part of a source that the definition's inventory has, which assets are made of."""
    if gone := [name for name in known if name not in source.resources]:
        raise InvalidInput(
            f"dlt source {source.name!r} has no resource {', '.join(map(repr, gone))} any more.",
            seen=f"It was there when the inventory was made. Now there are: "
            f"{', '.join(source.resources)}.",
            remedy="Renew the inventory: dagweave refresh, and load the definitions again.",
        )
    new = [name for name in source.selected_resources if name not in known]
    # In a subset, Dagster does not tell which other assets there are.
    if new and not context.is_subset:
        context.log.warning(
            "dlt source %s has resources that are no assets yet, and are not loaded: %s. Renew its "
            "inventory: dagweave refresh.",
            source.name,
            ", ".join(new),
        )
    return source.with_resources(*known)


def _window(context: AssetExecutionContext | OpExecutionContext) -> Window | None:
    """The time that the step's partitions cover, if they are windows of time."""
    if not (context.has_partition_key or context.has_partition_key_range):
        return None
    try:
        window = context.partition_time_window
    except (DagsterError, ValueError):  # what it raises for other partitions
        return None
    return window.start, window.end


def _attempt(
    context: AssetExecutionContext | OpExecutionContext,
    source: DltSource,
    resources: Iterable[str],
) -> Attempt:
    """Which step this is, and what it wants: the rows of its partition, or of now."""
    op = context.op_execution_context if isinstance(context, AssetExecutionContext) else context
    try:
        step = f"{op.op_handle}[{op.get_mapping_key()}]"
        run = op.run.root_run_id or op.run_id
    except DagsterError:  # the function is called directly, as a test does
        step, run = op.op_def.name, op.run_id
    partition = _partition(op)
    request = (partition or f"run {run}", source.name, sorted(resources))
    return Attempt(step=f"{step} {partition}", request=repr(request))


def _partition(op: OpExecutionContext) -> str | None:
    if op.has_partition_key:
        return f"partition {op.partition_key}"
    if op.has_partition_key_range:
        return f"partitions {op.partition_key_range.start}...{op.partition_key_range.end}"
    return None


def _bindings(context: AssetExecutionContext | OpExecutionContext) -> dict[AssetKey, Binding]:
    """By asset, what it is loaded from; keys as they are now, whatever a translator once said."""
    if not context.has_assets_def:
        return {}
    found = {spec.key: spec.metadata.get(BINDING) for spec in context.assets_def.specs}
    return {key: binding for key, binding in found.items() if isinstance(binding, Binding)}


def _only(argument: str, found: Sequence[T]) -> T:
    if found and all(each is found[0] for each in found):
        return found[0]
    raise InvalidInput(
        f"DagsterDltResource.run() was not told its {argument}.",
        seen="The assets are made of more than one."
        if found
        else "There are no assets made by @dlt_assets or build_dlt_asset_specs here to tell it.",
        remedy=f"Pass it: dlt.run(context=context, {argument}=...).",
    )


def _keys(
    source: DltSource,
    pipeline: Pipeline,
    bound: Mapping[AssetKey, Binding],
    translator: DagsterDltTranslator,
) -> dict[str, dict[str | None, AssetKey]]:
    """The assets of each selected resource: those made of it, else the one a translator names."""
    own = {key: b for key, b in bound.items() if b.source_name == source.name} or bound
    known: dict[str, dict[str | None, AssetKey]] = {}
    for key, binding in own.items():
        known.setdefault(binding.resource, {})[binding.nested] = key
    return {
        name: known.get(name)
        or {None: translator.get_asset_spec(DltResourceTranslatorData(resource, pipeline)).key}
        for name, resource in source.selected_resources.items()
    }


def _selected(
    context: AssetExecutionContext | OpExecutionContext,
    source: DltSource,
    keys: Mapping[str, Mapping[str | None, AssetKey]],
) -> dict[str, dict[str | None, AssetKey]]:
    selected = context.selected_asset_keys
    found = {
        name: chosen
        for name, assets in keys.items()
        if (chosen := {table: key for table, key in assets.items() if key in selected})
    }
    strangers = {name: assets for name, assets in keys.items() if name not in found}
    # In a subset, Dagster does not tell which other assets there are.
    if strangers and not context.is_subset:
        raise InvalidInput(
            f"dlt source {source.name!r} has resources without an asset in this definition.",
            seen=", ".join(
                f"{name} (would be {key.to_user_string()})"
                for name, assets in strangers.items()
                for key in assets.values()
            ),
            remedy="Leave them out with source.with_resources(...), or make assets of them.",
        )
    if not found:
        raise InvalidInput(
            f"No asset that is selected is made of dlt source {source.name!r}.",
            seen=f"Its resources: {', '.join(keys)}.",
            remedy="Make the assets with @dlt_assets or build_dlt_asset_specs, or pass a "
            "translator that gives their keys.",
        )
    return found


def _checked(context: AssetExecutionContext | OpExecutionContext) -> AbstractSet[AssetKey]:
    selected: AbstractSet[AssetCheckKey] = context.selected_asset_check_keys
    return {check.asset_key for check in selected if check.name == SCHEMA_CHECK}
