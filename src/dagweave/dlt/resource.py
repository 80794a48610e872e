"""The resource that runs dlt pipelines."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource, Failure
from pydantic import Field

from dagweave._dagster.failures import failures
from dagweave._kernel.errors import InvalidInput
from dagweave.dlt.events import DltEventIterator, LoadedAsset, LoadReport
from dagweave.dlt.folder import own_folder
from dagweave.dlt.run import load
from dagweave.dlt.window import windowed
from dagweave.dlt.work import Work, work_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dagster import AssetExecutionContext, OpExecutionContext
    from dlt import Pipeline
    from dlt.extract import DltSource

    from dagweave.dlt.translator import DagsterDltTranslator


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
    allow_partial_success: bool = Field(
        default=False,
        description="Load one resource after the other: one that fails does not stop the others, "
        "whose assets are materialized. The step then fails. Takes longer than all of them at once, "
        "and extracts the parent of a transformer once more.",
    )

    def run(
        self,
        context: AssetExecutionContext | OpExecutionContext,
        dlt_source: DltSource | Callable[[], DltSource] | None = None,
        dlt_pipeline: Pipeline | Callable[[], Pipeline] | None = None,
        dagster_dlt_translator: DagsterDltTranslator | None = None,
        **kwargs: Any,
    ) -> DltEventIterator:
        """Load the resources whose assets are selected, and yield an event for each.

        Nothing runs before the first event is asked for, and none comes before the whole load has
        succeeded. From an op, all selected resources of the source are loaded, and the events are
        `AssetMaterialization`.

        Args:
            dlt_source: Instead of the one that the assets were made of; needed in an op. A source,
                or a function that returns one.
            dlt_pipeline: Likewise.
            dagster_dlt_translator: Gives the keys in an op, and of resources that no asset was
                made of.
            **kwargs: Passed on to `dlt.Pipeline.run`, such as `write_disposition`,
                `loader_file_format` or `refresh`.

        Raises:
            dagster.Failure: Says which pipeline, step and resource failed; has the cause.
        """
        with failures():
            work = work_of(context, dlt_source, dlt_pipeline, dagster_dlt_translator)
            _check_options(work.pipeline, kwargs)
        run = self._load_each if self.allow_partial_success else self._load
        return DltEventIterator(run(context, work, kwargs), context)

    def _load(
        self,
        context: AssetExecutionContext | OpExecutionContext,
        work: Work,
        options: Mapping[str, Any],
    ) -> Iterator[LoadedAsset]:
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
            chosen = work.source.with_resources(*work.keys)
            with windowed(chosen, work.window, context.log.warning) as source:
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
            for name, keys in work.keys.items():
                for nested, key in keys.items():
                    tables = report.of_nested(nested) if nested else loaded[name]
                    checked = key in work.checked
                    yield LoadedAsset(key, report, tables, tables.metadata, checked)

    def _load_each(
        self,
        context: AssetExecutionContext | OpExecutionContext,
        work: Work,
        options: Mapping[str, Any],
    ) -> Iterator[LoadedAsset]:
        """Load one resource after the other, so that one that fails does not stop the others."""
        failed: dict[str, Failure] = {}
        for name in work.keys:
            try:
                yield from self._load(context, work.only(name), options)
            except Failure as failure:
                context.log.error(  # noqa: TRY400 -- the step itself fails in the end
                    "Resource %s failed; the others go on. %s", name, failure.description
                )
                failed[name] = failure
        if failed:
            raise Failure(
                f"{len(failed)} of {len(work.keys)} resources failed, and the others were loaded.\n"
                + "\n".join(f"{name}: {each.description}" for name, each in failed.items()),
                allow_retries=any(each.allow_retries for each in failed.values()),
            ) from next(iter(failed.values()))


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
