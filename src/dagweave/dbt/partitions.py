"""Tell dbt which partitions a step runs for: as variables of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from dagster import MultiPartitionsDefinition, TimeWindow, TimeWindowPartitionsDefinition

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import AssetExecutionContext, PartitionsDefinition

_REMEDY: Final = (
    "Give the definition a backfill_policy of one run per partition: BackfillPolicy.multi_run(1)"
)


def partition_args(
    context: AssetExecutionContext,
    *,
    start: str = "start",
    end: str = "end",
    partition: str = "partition",
    date_format: str | None = None,
    variables: Mapping[str, Any] | None = None,
) -> list[str]:
    """`--vars` for dbt: the partitions that the step runs for, and more variables if given.

    Partitions in time become a window, also if a backfill runs many of them at once: from `start`,
    which belongs to it, to `end`, which does not. Others become their key. Of partitions of two
    dimensions, the one in time becomes the window, and the other a variable of its own name.

    Args:
        start: The name of the variable for the start of the window.
        end: The name of the variable for its end.
        partition: The name of the variable for a key that is no time.
        date_format: How times are written, as for `strftime`; by default in ISO 8601, with the
            offset of their time zone.
        variables: More variables.

    Raises:
        InvalidInput: The step has no partition, or several of a kind that is no window.

    Example:
        ```python
        @dbt_assets(manifest=path, partitions_def=DailyPartitionsDefinition("2026-01-01"))
        def by_day(context: AssetExecutionContext, dbt: DbtCliResource):
            yield from dbt.cli(["build", *partition_args(context)], context=context).stream()
        ```
    """
    if not context.has_partition_key and not context.has_partition_key_range:
        raise InvalidInput(
            "The step has no partition to tell dbt of.",
            remedy="Give the definition a partitions_def, and run it for a partition.",
        )
    found: dict[str, Any] = {}
    definition = _definition(context)
    if isinstance(definition, MultiPartitionsDefinition):
        found |= _other_dimensions(context, definition)
    if _in_time(definition):
        window = _window(context, definition)
        for name, time in ((start, window.start), (end, window.end)):
            found[name] = time.strftime(date_format) if date_format else time.isoformat()
    elif not found:
        found[partition] = _the_one(list(context.partition_keys))
    return ["--vars", json.dumps({**found, **(variables or {})})]


def _definition(context: AssetExecutionContext) -> PartitionsDefinition[Any]:
    """The partitions of the step's assets; of a step that only tests, those of what it tests."""
    own: PartitionsDefinition[Any] | None = context.assets_def.partitions_def
    origin = Origin.of(context.assets_def) if own is None else None
    step = origin.step if origin else None
    return own or (step.partitions_def if step else None)  # pyright: ignore[reportReturnType] -- it has partitions


def _window(context: AssetExecutionContext, definition: PartitionsDefinition[Any]) -> TimeWindow:
    if context.assets_def.partitions_def is not None:
        return context.partition_time_window
    # Dagster knows none of a step that only tests, where the run's assets differ in partitions.
    assert isinstance(definition, TimeWindowPartitionsDefinition | MultiPartitionsDefinition)
    span = context.partition_key_range
    first, last = (definition.time_window_for_partition_key(key) for key in span)
    return TimeWindow(first.start, last.end)


def _in_time(definition: PartitionsDefinition[Any]) -> bool:
    if isinstance(definition, MultiPartitionsDefinition):
        return definition.has_time_window_dimension
    return isinstance(definition, TimeWindowPartitionsDefinition)


def _other_dimensions(
    context: AssetExecutionContext, definition: MultiPartitionsDefinition
) -> Mapping[str, str]:
    """For each dimension that is not in time: its one key."""
    keys: list[Any] = [definition.get_partition_key_from_str(key) for key in context.partition_keys]
    return {
        dimension.name: _the_one([key.keys_by_dimension[dimension.name] for key in keys])
        for dimension in definition.partitions_defs
        if not isinstance(dimension.partitions_def, TimeWindowPartitionsDefinition)
    }


def _the_one(keys: list[str]) -> str:
    several = list(dict.fromkeys(keys))
    if len(several) != 1:
        raise InvalidInput(
            f"The step runs for {len(several)} partitions, which are no window of time.",
            seen=", ".join(several[:10]),
            remedy=_REMEDY,
        )
    return several[0]
