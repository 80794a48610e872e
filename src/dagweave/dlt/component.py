"""dlt loads as a component: a few lines of YAML in a `defs` folder, and the sources beside them.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    Component,
    ComponentLoadContext,
    Definitions,
    PartitionsDefinition,
    ResolutionContext,
    Resolvable,
    Resolver,
)
from dagster.components import scaffold_with
from dagster.components.resolved.core_models import (
    DailyPartitionsDefinitionModel,
    HourlyPartitionsDefinitionModel,
    MultiRunBackfillPolicyModel,
    SingleRunBackfillPolicyModel,
    StaticPartitionsDefinitionModel,
    TimeWindowPartitionsDefinitionModel,
    WeeklyPartitionsDefinitionModel,
    resolve_backfill_policy,  # pyright: ignore[reportUnknownVariableType] -- Dagster's
    resolve_partitions_def,  # pyright: ignore[reportUnknownVariableType] -- Dagster's
)
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver

from dagweave._kernel.errors import InvalidInput
from dagweave.dlt.assets import dlt_assets
from dagweave.dlt.resource import DagsterDltResource
from dagweave.dlt.scaffold import DltLoadCollectionScaffolder
from dagweave.dlt.translator import DagsterDltTranslator, DltResourceTranslatorData, valid_part

if TYPE_CHECKING:
    from dagweave.dlt.events import DltEventType


def _found(context: ResolutionContext, path: str) -> Any:
    """What a path such as `.loads.github_source` names; one that begins with a dot, beside the YAML.

    Raises:
        InvalidInput: There is nothing of this name.
    """
    module, _, name = path.rpartition(".")
    if path.startswith("."):
        loading = ComponentLoadContext.from_resolution_context(context)
        module = f"{loading.defs_relative_module_name(loading.path)}{module}"
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise InvalidInput(
            f"There is no {path!r}, which a dlt load of {context.path} names.",
            seen=f"{type(error).__name__}: {error}",
            remedy="Name a variable or function of a module: .loads.my_source, where loads.py lies "
            "beside defs.yaml, or my_package.loads.my_source.",
        ) from error


@dataclass
class DltLoadSpecModel(Resolvable):
    """One load: a source, and the pipeline that loads it."""

    pipeline: Annotated[
        Any,
        Resolver(
            _found,
            model_field_type=str,
            description="Where the pipeline is: a variable, or a function that makes it.",
            examples=[".loads.github_pipeline"],
        ),
    ]
    source: Annotated[
        Any,
        Resolver(
            _found,
            model_field_type=str,
            description="Where the source is. A source function that is not called loads without "
            "credentials and network.",
            examples=[".loads.github_source"],
        ),
    ]
    translation: (
        Annotated[
            TranslationFn[DltResourceTranslatorData],
            TranslationFnResolver[DltResourceTranslatorData](
                lambda data: {"resource": data.resource, "pipeline": data.pipeline}
            ),
        ]
        | None
    ) = None
    partitions_def: Annotated[
        PartitionsDefinition[Any] | None,
        Resolver(
            resolve_partitions_def,  # pyright: ignore[reportUnknownArgumentType]
            model_field_type=HourlyPartitionsDefinitionModel
            | DailyPartitionsDefinitionModel
            | WeeklyPartitionsDefinitionModel
            | TimeWindowPartitionsDefinitionModel
            | StaticPartitionsDefinitionModel,
            description="The partitions of its assets. Windows of time are dlt's incremental windows.",
        ),
    ] = None
    backfill_policy: Annotated[
        BackfillPolicy | None,
        Resolver(
            resolve_backfill_policy,  # pyright: ignore[reportUnknownArgumentType]
            model_field_type=SingleRunBackfillPolicyModel | MultiRunBackfillPolicyModel,
            description="How many partitions a run loads.",
        ),
    ] = None
    pool: Annotated[
        str | None,
        Resolver.default(
            description="Limits how many such steps run at once.", examples=["warehouse"]
        ),
    ] = None


@scaffold_with(DltLoadCollectionScaffolder)
@dataclass
class DltLoadCollectionComponent(Component, Resolvable):
    """Loads of dlt as assets, one per resource. Their keys are `dataset/table`.

    In a subclass, `get_asset_spec` and `execute` say otherwise.

    Example:
        ```yaml
        type: dagweave.dlt.DltLoadCollectionComponent
        attributes:
          loads:
            - source: .loads.github_source
              pipeline: .loads.github_pipeline
              translation:
                group_name: github
        ```
    """

    loads: Annotated[
        Sequence[DltLoadSpecModel],
        Resolver.default(description="The loads; each is a definition of several assets."),
    ]

    @property
    def dlt_pipeline_resource(self) -> DagsterDltResource:
        """What runs the pipelines. Override it to give it settings."""
        return DagsterDltResource()

    @cached_property
    def _base_translator(self) -> DagsterDltTranslator:
        return _DatasetAndTable()

    def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
        """The asset of a resource. Override it to say otherwise; `translation` comes after it."""
        return self._base_translator.get_asset_spec(data)

    def execute(
        self, context: AssetExecutionContext, dlt_pipeline_resource: DagsterDltResource
    ) -> "Iterator[DltEventType]":
        """Load what is selected. Override it to do more, or otherwise."""
        yield from dlt_pipeline_resource.run(context=context)

    def build_defs(self, context: ComponentLoadContext) -> Definitions:  # noqa: ARG002 -- Dagster's
        """A definition per load."""
        names: dict[str, int] = {}
        return Definitions(assets=[self._assets(load, names) for load in self.loads])

    def _assets(self, load: DltLoadSpecModel, names: dict[str, int]) -> AssetsDefinition:
        name = _op_name(load)
        names[name] = names.get(name, 0) + 1

        @dlt_assets(
            dlt_source=load.source,
            dlt_pipeline=load.pipeline,
            # Two loads of one source into one dataset are told apart by their order.
            name=name if names[name] == 1 else f"{name}_{names[name]}",
            dagster_dlt_translator=_ComponentTranslator(self, load),
            partitions_def=load.partitions_def,
            backfill_policy=load.backfill_policy,
            pool=load.pool,
        )
        def loaded(context: AssetExecutionContext) -> Iterator[Any]:
            yield from self.execute(context, self.dlt_pipeline_resource)

        return loaded


def _op_name(load: DltLoadSpecModel) -> str:
    source = _named(load.source, "name")
    dataset = getattr(load.pipeline, "dataset_name", None) or _named(load.pipeline, "pipeline_name")
    return f"dlt_assets_{source}_{dataset}"


def _named(given: Callable[..., Any] | object, attribute: str) -> str:
    """The name of an object, or of the function that makes it."""
    function = getattr(given, "func", given)
    name = getattr(given, attribute, None) or getattr(function, "__name__", type(given).__name__)
    return valid_part(str(name)).replace(".", "_").replace("-", "_")


class _DatasetAndTable(DagsterDltTranslator):
    """Gives the keys of the component: `dataset/table`."""

    def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
        resource, pipeline = data.resource, data.pipeline
        table = resource.name if resource.has_dynamic_table_name else str(resource.table_name)
        dataset = pipeline.dataset_name if pipeline and not pipeline.dev_mode else None
        key = AssetKey([valid_part(part) for part in (dataset, table) if part])
        return super().get_asset_spec(data).replace_attributes(key=key)


class _ComponentTranslator(DagsterDltTranslator):
    """Says of each resource what a component says, then what the load's `translation` does."""

    def __init__(self, component: DltLoadCollectionComponent, load: DltLoadSpecModel) -> None:
        self.component = component
        self.load = load

    def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
        spec = self.component.get_asset_spec(data)
        return self.load.translation(spec, data) if self.load.translation else spec
