"""Tell dbt which partitions a step runs for: as variables of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from dagster import MultiPartitionsDefinition, TimeWindowPartitionsDefinition

from dagweave._kernel.errors import InvalidInput

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
    definition: PartitionsDefinition[Any] = context.assets_def.partitions_def  # pyright: ignore[reportAssignmentType] -- it has partitions
    if isinstance(definition, MultiPartitionsDefinition):
        found |= _other_dimensions(context, definition)
    if _in_time(definition):
        window = context.partition_time_window
        for name, time in ((start, window.start), (end, window.end)):
            found[name] = time.strftime(date_format) if date_format else time.isoformat()
    elif not found:
        found[partition] = _the_one(list(context.partition_keys))
    return ["--vars", json.dumps({**found, **(variables or {})})]


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
