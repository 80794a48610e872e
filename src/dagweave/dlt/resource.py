"""The resource that runs dlt pipelines."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from dagster import (
    AssetExecutionContext,
    AssetKey,
    ConfigurableResource,
    DagsterError,
)
from pydantic import Field

from dagweave._dagster.failures import failures
from dagweave._kernel.errors import InvalidInput
from dagweave.dlt.events import DltEventIterator, LoadedAsset, LoadReport
from dagweave.dlt.folder import own_folder
from dagweave.dlt.run import Attempt, load
from dagweave.dlt.source import BINDING, Binding, checked_pipeline, checked_source
from dagweave.dlt.translator import (
    DagsterDltTranslator,
    DltResourceTranslatorData,
    checked_translator,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dagster import OpExecutionContext
    from dlt import Pipeline
    from dlt.extract import DltSource

T = TypeVar("T")


class DagsterDltResource(ConfigurableResource[Any]):
    """Runs the dlt pipelines of `@dlt_assets`, and others from an op."""

    lock_timeout_s: float = Field(
        default=300.0,
        description="Longest wait for a DuckDB file that another process has open, in seconds.",
    )
    keep_failed_folder: bool = Field(
        default=False,
        description="Keep the working folder of a step that failed, to look at it with "
        "`dlt pipeline --pipelines-dir <folder> <name> info`. It lies in the folder `.dagweave` of "
        "the pipeline's pipelines_dir, and is yours to delete. That of a step that was interrupted "
        "while it loaded is always kept, for its next attempt.",
    )

    def run(
        self,
        context: AssetExecutionContext | OpExecutionContext,
        dlt_source: DltSource | None = None,
        dlt_pipeline: Pipeline | None = None,
        dagster_dlt_translator: DagsterDltTranslator | None = None,
        **kwargs: Any,
    ) -> DltEventIterator:
        """Load the resources whose assets are selected, and yield an event for each.

        Nothing runs before the first event is asked for, and none comes before the whole load has
        succeeded. From an op, all selected resources of the source are loaded, and the events are
        `AssetMaterialization`.

        Args:
            dlt_source: Instead of the one that the assets were made of; needed in an op.
            dlt_pipeline: Likewise.
            dagster_dlt_translator: Gives the keys in an op, and of resources that no asset was
                made of.
            **kwargs: Passed on to `dlt.Pipeline.run`, such as `write_disposition`,
                `loader_file_format` or `refresh`.

        Raises:
            dagster.Failure: Says which pipeline, step and resource failed; has the cause.
        """
        with failures():
            work = _work(context, dlt_source, dlt_pipeline, dagster_dlt_translator)
            _check_options(work.pipeline, kwargs)
        return DltEventIterator(self._load(context, work, kwargs), context)

    def _load(
        self,
        context: AssetExecutionContext | OpExecutionContext,
        work: _Work,
        options: Mapping[str, Any],
    ) -> Iterator[LoadedAsset]:
        source = work.source.with_resources(*work.keys)
        with (
            failures(),
            own_folder(
                work.pipeline,
                work.attempt.step,
                say=context.log.info,
                keep_failed=self.keep_failed_folder,
            ) as pipeline,
        ):
            context.log.info(
                "dlt pipeline %s loads %s into dataset %s.",
                pipeline.pipeline_name,
                ", ".join(work.keys),
                pipeline.dataset_name,
            )
            result = load(
                pipeline,
                source,
                options,
                attempt=work.attempt,
                say=context.log.info,
                lock_timeout_s=self.lock_timeout_s,
            )
            report = LoadReport(pipeline, source.name, result)
            loaded = {name: report.of(source.resources[name]) for name in work.keys}
            rows = ", ".join(f"{name} {tables.rows}" for name, tables in loaded.items())
            context.log.info("dlt pipeline %s loaded rows: %s.", pipeline.pipeline_name, rows)
            for name, tables in loaded.items():
                yield LoadedAsset(work.keys[name], report, tables, tables.metadata)


def _check_options(pipeline: Pipeline, options: Iterable[str]) -> None:
    known = [name for name in inspect.signature(pipeline.run).parameters if name != "data"]
    for option in options:
        if option in known:
            continue
        nearest = get_close_matches(option, known, n=1)
        raise InvalidInput(
            f"DagsterDltResource.run() got {option}=, which dlt.Pipeline.run does not take from it.",
            remedy="Pass what is to be loaded as dlt_source=."
            if option == "data"
            else f"Did you mean {nearest[0]}?"
            if nearest
            else f"It takes: {', '.join(known)}.",
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """What a step is to load: the resources that are keys of `keys`, each for its asset."""

    source: DltSource
    pipeline: Pipeline
    keys: Mapping[str, AssetKey]
    attempt: Attempt


def _work(
    context: AssetExecutionContext | OpExecutionContext,
    dlt_source: DltSource | None,
    dlt_pipeline: Pipeline | None,
    translator: DagsterDltTranslator | None,
) -> _Work:
    what = "DagsterDltResource.run()"
    bound = _bindings(context)
    if dlt_source is None:
        dlt_source = _only("dlt_source", [binding.source for binding in bound.values()])
    if dlt_pipeline is None:
        dlt_pipeline = _only("dlt_pipeline", [binding.pipeline for binding in bound.values()])
    source = checked_source(dlt_source, what=what)
    pipeline = checked_pipeline(dlt_pipeline, what=what)
    keys = _keys(source, pipeline, bound, checked_translator(translator))
    if context.has_assets_def:
        keys = _selected(context, source, keys)
    return _Work(source, pipeline, keys, _attempt(context, source, keys))


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
) -> dict[str, AssetKey]:
    """The asset of each selected resource: the one made of it, else the one a translator names."""
    own = {key: b for key, b in bound.items() if b.source.name == source.name} or bound
    known = {binding.resource: key for key, binding in own.items()}
    return {
        name: known.get(name)
        or translator.get_asset_spec(DltResourceTranslatorData(resource, pipeline)).key
        for name, resource in source.selected_resources.items()
    }


def _selected(
    context: AssetExecutionContext | OpExecutionContext,
    source: DltSource,
    keys: Mapping[str, AssetKey],
) -> dict[str, AssetKey]:
    selected = context.selected_asset_keys
    strangers = {name: key for name, key in keys.items() if key not in selected}
    # In a subset, Dagster does not tell which other assets there are.
    if strangers and not context.is_subset:
        raise InvalidInput(
            f"dlt source {source.name!r} has resources without an asset in this definition.",
            seen=", ".join(
                f"{name} (would be {key.to_user_string()})" for name, key in strangers.items()
            ),
            remedy="Leave them out with source.with_resources(...), or make assets of them.",
        )
    found = {name: key for name, key in keys.items() if key in selected}
    if not found:
        raise InvalidInput(
            f"No asset that is selected is made of dlt source {source.name!r}.",
            seen=f"Its resources: {', '.join(keys)}.",
            remedy="Make the assets with @dlt_assets or build_dlt_asset_specs, or pass a "
            "translator that gives their keys.",
        )
    return found
