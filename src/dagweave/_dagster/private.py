"""Every private name of Dagster that Dagweave uses, and why no public one will do.

Nothing else under `src/` may import from `dagster._core` and its like (the linter says so), so
that a new Dagster is checked here and nowhere else. What is costly to import is imported inside.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

import click
from dagster import AssetsDefinition, BetaWarning

# Made of this, what a definition may be configured with can be worked out when it is asked for.
from dagster._core.definitions.definition_config_schema import IDefinitionConfigSchema

# Users read the metadata of assets with `...MetadataSet.extract`, which is made of this.
from dagster._core.definitions.metadata.metadata_set import (
    NamespacedMetadataSet as NamespacedMetadataSet,
)

# What a client of Pipes is made of, beside what Dagster exports: the official ones are, too.
from dagster._core.definitions.resource_annotation import (
    TreatAsResourceParam as TreatAsResourceParam,
)
from dagster._core.errors import DagsterPipesExecutionError as DagsterPipesExecutionError
from dagster._core.pipes.client import (
    PipesClientCompletedInvocation as PipesClientCompletedInvocation,
)
from dagster._core.pipes.utils import PipesChunkedLogReader as PipesChunkedLogReader

# Users subclass the first and are handed the second: what they wrote for the official I/O managers
# must be the same classes here. Dagster exports none of them.
from dagster._core.storage.db_io_manager import DbTypeHandler as DbTypeHandler
from dagster._core.storage.db_io_manager import TablePartitionDimension as TablePartitionDimension
from dagster._core.storage.db_io_manager import TableSlice as TableSlice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from dagster import (
        AssetCheckKey,
        AssetKey,
        AssetSpec,
        HookContext,
        InputContext,
        OpExecutionContext,
        OutputContext,
        PartitionsDefinition,
        RepositoryDefinition,
        ResourceDefinition,
    )

R = TypeVar("R")


class LazyConfigSchema(IDefinitionConfigSchema):
    """The config schema of a definition that few of those who import it will use.

    Private, since the public functions take a schema that is there: to work it out costs a fair part
    of an import.
    """

    def __init__(self, schema: Callable[[], IDefinitionConfigSchema]) -> None:
        self._schema = schema

    @cached_property
    def _field(self) -> Any:
        return self._schema().as_field()

    def as_field(self) -> Any:
        """What there is to configure."""
        return self._field


USAGE_ERRORS: tuple[type[Exception], ...] = (click.UsageError,)
"""What Dagster raises for a target that is not there. Its command line is built on click."""


def code_location_origins(
    *,
    modules: Sequence[str],
    python_files: Sequence[str],
    workspaces: Sequence[str],
    working_directory: str | None,
    attribute: str | None,
) -> Iterable[Any]:
    """The code locations that `dagster` would load for these options.

    Private, since Dagster offers its search for definitions only as its own command line.
    """
    from dagster._cli.workspace.cli_target import WorkspaceOpts, workspace_opts_to_load_target

    options = WorkspaceOpts(
        module_name=tuple(modules) or None,
        python_file=tuple(python_files) or None,
        workspace=tuple(workspaces) or None,
        working_directory=working_directory,
        attribute=attribute,
    )
    return workspace_opts_to_load_target(options, allow_in_process=True).create_origins()


def load_in_process(origin: Any, entry_point: Sequence[str]) -> Iterator[RepositoryDefinition]:
    """The repositories of a code location, loaded into this process.

    Private, since the public way to a code location goes through a server, which sends snapshots
    and not definitions.
    """
    from dagster._grpc.server import LoadedRepositories

    loaded = LoadedRepositories(
        origin.loadable_target_origin,
        container_image=None,
        entry_point=entry_point,
        container_context=None,
    )
    yield from loaded.definitions_by_name.values()


def is_reconstruction() -> bool:
    """Whether definitions are loaded again for a run or a step, and not anew for a code server.

    Private, since Dagster tells it publicly only to its own loaders of definitions.
    """
    from dagster._core.definitions.definitions_load_context import (
        DefinitionsLoadContext,
        DefinitionsLoadType,
    )

    if not DefinitionsLoadContext.is_set():
        return False
    return DefinitionsLoadContext.get().load_type is DefinitionsLoadType.RECONSTRUCTION


@dataclass(frozen=True)
class HookedStep:
    """What a hook's context does not tell of the step that it is called for."""

    asset_keys: frozenset[AssetKey]
    partition: str | None
    owners: tuple[str, ...] = ()


def hooked_step(context: HookContext) -> HookedStep:
    """The assets, their owners and the partition of the step that just ended.

    Private, since `HookContext` offers neither; the public way to them would read every planned
    event of the run once per hook. A context made by `build_hook_context` has no step.
    """
    step = getattr(context, "_step_execution_context", None)
    if step is None:
        return HookedStep(frozenset(), None)
    tags = step.run_tags
    start, end = (tags.get(f"dagster/asset_partition_range_{edge}") for edge in ("start", "end"))
    partition = tags.get("dagster/partition") or (f"{start}...{end}" if start and end else None)
    assets = step.assets_def
    owners = {owner: None for spec in (assets.specs if assets else ()) for owner in spec.owners}
    return HookedStep(frozenset(assets.keys if assets else ()), partition, tuple(owners))


def as_stored_by(spec: AssetSpec, io_manager_key: str) -> AssetSpec:
    """A spec whose asset is read through an I/O manager, though the step hands it no value.

    Private, since publicly a spec with an I/O manager is one whose step returns what to store.
    """
    from dagster import Nothing
    from dagster._core.definitions.assets.definition.asset_spec import (
        SYSTEM_METADATA_KEY_DAGSTER_TYPE,
    )

    stored = spec.with_io_manager_key(io_manager_key)
    return stored.merge_attributes(metadata={SYSTEM_METADATA_KEY_DAGSTER_TYPE: Nothing})


def run_taken_up(context: OpExecutionContext) -> str | None:
    """The run that the step's run takes up where it failed; none if it does all from the start.

    Private, since the run itself tells a parent in both cases, and is tagged in one way of many to
    start it. A context made by `build_op_context` has no step.
    """
    step = getattr(context, "_step_execution_context", None)
    known = getattr(step, "_known_state", None)
    return known.parent_state.run_id if known is not None and known.parent_state else None


def attempts_of_output(context: OutputContext) -> Sequence[str]:
    """What names the writing of an output: in this run first, then in the run that it takes up.

    Attempts of a step within a run have one name. Private for the reason of `run_taken_up`.
    """
    step = getattr(context, "_step_context", None)
    if step is None:
        return ()
    known = getattr(step, "_known_state", None)
    runs = [context.run_id]
    if known is not None and known.parent_state:
        runs.append(known.parent_state.run_id)
    return [f"{run}/{context.step_key}/{context.name}" for run in runs]


class Mould(Generic[R]):
    """Makes records that differ from `pattern` in some values, which are not checked again.

    Private, since it relies on Dagster's records being tuples. Their constructors check and coerce
    each value, which for the specs of a large project takes longer than all the rest. So give it
    only what they would take as it is.

    Args:
        pattern: A record that Dagster has checked.
        names: The values in which those made from it differ.
    """

    def __init__(self, pattern: R, *names: str) -> None:
        fields: Sequence[str] = cast("Any", pattern)._fields
        self._class = type(pattern)
        values = cast("Iterator[Any]", tuple.__iter__(cast("Any", pattern)))
        self._values = list(values)
        self._places = [fields.index(name) for name in names]

    def __call__(self, *values: object) -> R:
        """A record with these values, in the order of the names."""
        made = self._values.copy()
        for place, value in zip(self._places, values, strict=True):
            made[place] = value
        return cast("R", tuple.__new__(cast("Any", self._class), made))


class _InOrder(frozenset["AssetCheckKey"]):
    """Check keys that are iterated over in the order in which they were made.

    Memory is read in order then, which takes half as long as in the order of a set.
    """

    _order: tuple[AssetCheckKey, ...]

    @classmethod
    def of(cls, keys: Sequence[AssetCheckKey]) -> Self:
        """These keys, in this order."""
        self = cls(keys)
        self._order = tuple(keys)
        return self

    def __iter__(self) -> Iterator[AssetCheckKey]:
        return iter(self._order)


class LargeAssetsDefinition(AssetsDefinition):
    """A definition of thousands of assets, inputs and checks: what Dagster asks per input is kept.

    `input_names_by_node_key` is private. Dagster makes it anew for each dependency that nobody
    materializes, and goes through all `check_keys` for each input. Copies share what they can:
    Dagster makes one per code location, and two for each job of a part.
    """

    @classmethod
    def of(cls, assets_def: AssetsDefinition) -> Self:
        """The same definition: what `assets_def` holds, which is not to be used any more."""
        self = cls.__new__(cls)
        vars(self).update(vars(assets_def))
        return self

    @staticmethod
    def dagster_internal_init(**attributes: Any) -> AssetsDefinition:  # pyright: ignore[reportIncompatibleMethodOverride] -- static in Dagster, too
        """Copies, as `with_attributes` makes them, are of this class, too."""
        with warnings.catch_warnings():
            # A definition's own attributes, one of which Dagster calls beta, are handed back to it.
            warnings.simplefilter("ignore", BetaWarning)
            return LargeAssetsDefinition(**attributes)

    def subset_for(
        self,
        selected_asset_keys: AbstractSet[AssetKey],
        selected_asset_check_keys: AbstractSet[AssetCheckKey] | None,
    ) -> AssetsDefinition:
        """A part of the definition. Dagster makes all specs of the whole anew for each part."""
        computation = self.computation
        assert computation is not None
        part = computation.subset_for(selected_asset_keys, selected_asset_check_keys)
        if part is computation:
            return super().subset_for(selected_asset_keys, selected_asset_check_keys)
        return self._but(_computation=part)

    def with_resources(self, resource_defs: Mapping[str, ResourceDefinition]) -> AssetsDefinition:
        """The definition with resources, its specs as they are."""
        from dagster._core.definitions.resource_requirement import merge_resource_defs
        from dagster._core.execution.build_resources import wrap_resources_for_execution

        merged = merge_resource_defs(
            old_resource_defs=self.resource_defs,
            resource_defs_to_merge_in=resource_defs,
            requires_resources=self,
        )
        return self._but(_resource_defs=wrap_resources_for_execution(merged))

    def _but(self, **state: Any) -> Self:
        """A copy with other state, that has worked out nothing yet."""
        cls = type(self)
        made = cls.__new__(cls)
        vars(made).update(
            (name, value)
            for name, value in vars(self).items()
            # What `cached_property` and Dagster's `cached_method` keep lies beside the state.
            if not isinstance(getattr(cls, name, None), cached_property) and "cached" not in name
        )
        vars(made).update(state)
        return made

    @property
    def input_names_by_node_key(self) -> Mapping[AssetKey, str]:
        """For each key that the op has an input for: the input."""
        return self._input_names

    @cached_property
    def _input_names(self) -> Mapping[AssetKey, str]:
        return super().input_names_by_node_key

    @property
    def check_keys(self) -> AbstractSet[AssetCheckKey]:
        """The selected checks."""
        return self._check_keys

    @cached_property
    def _check_keys(self) -> AbstractSet[AssetCheckKey]:
        selected = super().check_keys
        return _InOrder.of([spec.key for spec in self.check_specs if spec.key in selected])


def function_of(assets_def: AssetsDefinition) -> Callable[..., Any] | None:
    """The function that a decorator made a definition of; none of a graph.

    Private, since a decorated definition can be called, but does not hand out what was decorated.
    """
    compute: Any = getattr(assets_def.node_def, "compute_fn", None)
    return getattr(compute, "decorated_fn", None)


def belonging_to(whole: AssetsDefinition, part: AssetsDefinition) -> AssetsDefinition:
    """A definition with the resources and hooks of another, whose part it is.

    Private, since publicly resources are given to a decorator, which takes none for a function
    that names them as arguments.
    """
    attributes = whole.get_attributes_dict()
    own = {name: attributes[name] for name in ("resource_defs", "hook_defs") if attributes[name]}
    return (
        LargeAssetsDefinition.dagster_internal_init(**{**part.get_attributes_dict(), **own})
        if own
        else part
    )


@dataclass(frozen=True)
class StepPartitions:
    """The partitions that a step runs for."""

    definition: PartitionsDefinition[Any]
    keys: Sequence[str]


def step_partitions(context: InputContext) -> StepPartitions | None:
    """The partitions that the step runs for whose input is loaded; `None` if it has none.

    Private, since `InputContext` offers the partitions of what is loaded, and of its own step no
    more than the one key of a run that has one. A context made by `build_input_context` has no
    step.
    """
    from dagster._core.definitions.partitions.context import partition_loading_context

    step = getattr(context, "_step_context", None)
    definition = step.assets_def.partitions_def if step is not None and step.assets_def else None
    if step is None or definition is None or not step.has_partitions:
        return None
    span = step.partition_key_range
    if span.start == span.end:
        return StepPartitions(definition, [span.start])
    with partition_loading_context(dynamic_partitions_store=step.instance):
        return StepPartitions(definition, definition.get_partition_keys_in_range(span))
