"""Read from Dagster which partitions a step writes or reads, as a slice of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dagster import (
    DagsterInvariantViolationError,
    InputContext,
    MultiPartitionsDefinition,
    OutputContext,
    PartitionsDefinition,
    TimeWindowPartitionsDefinition,
)

from dagweave._dagster.private import step_partitions
from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.locate import plain
from dagweave.warehouse.slices import Keys, Slice, Windows, merged, rectangles

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPRESSION = "partition_expr"
"""The metadata key: SQL text, or a mapping from dimension to SQL text."""


def output_slice(context: OutputContext, metadata: Mapping[str, Any]) -> Slice | None:
    """The slice that an output replaces; `None` if it replaces the whole table.

    Raises:
        InvalidInput: The asset is partitioned and does not say by what, or the run has no partition.
    """
    definition = _definition(context)
    if definition is None:
        return None
    what = f"Asset {context.asset_key.to_user_string()!r}"
    keys = _keys(context)
    if keys is None:
        raise InvalidInput(
            f"{what} is partitioned, and this run is of no partition.",
            remedy="Nothing was written: it would have replaced every partition. "
            "Choose partitions to materialize.",
        )
    expression = plain(metadata.get(EXPRESSION))
    if expression is None:
        raise _no_expression(what)
    return slice_of(keys, definition, expression, what=what)


def input_slice(context: InputContext, upstream: Mapping[str, Any]) -> Slice | None:
    """The slice that an input loads; `None` if it loads the whole table.

    A partitioned upstream is read by the partitions that Dagster maps to the step's own, through
    the input's `partition_expr` or else the upstream's; all of them need no expression. An upstream
    without partitions is read whole, unless the input has a `partition_expr`: then by the step's
    own partitions.

    Args:
        upstream: The metadata of the asset that is loaded.

    Raises:
        InvalidInput: A `partition_expr` is missing, or there are no partitions to apply it to.
    """
    own = plain(context.definition_metadata.get(EXPRESSION))
    what = f"Input {context.name!r}" if context.has_input_name else "The input"
    if context.has_asset_key and context.has_asset_partitions:
        expression = plain(upstream.get(EXPRESSION)) if own is None else own
        keys = context.asset_partition_keys
        if expression is None:
            if _are_all(keys, context):
                return None
            raise _no_expression(f"Asset {context.asset_key.to_user_string()!r}")
        return slice_of(keys, context.asset_partitions_def, expression, what=what)
    if own is None:
        return None
    step = step_partitions(context)
    if step is None:
        raise InvalidInput(
            f"{what} has a {EXPRESSION}, and nothing is partitioned: neither what it loads nor "
            "the step that loads it.",
            remedy=f"Take {EXPRESSION} from the input's metadata, or give the asset partitions.",
        )
    return slice_of(step.keys, step.definition, own, what=what, all_dimensions=False)


def slice_of(
    keys: Sequence[str],
    definition: PartitionsDefinition[Any],
    expression: Any,
    *,
    what: str,
    all_dimensions: bool = True,
) -> Slice:
    """The slice of some partition keys, which need be neither adjacent nor a rectangle.

    Args:
        expression: SQL text; for partitions of several dimensions, a mapping of them to SQL text.
        what: Whose partitions they are, for errors.
        all_dimensions: Whether each dimension needs an expression; if not, one without it is not
            restricted.

    Raises:
        InvalidInput: The expression does not suit the partitions.
    """
    dimensions = _dimensions(definition)
    expressions = _expressions(expression, tuple(dimensions), what, all_dimensions=all_dimensions)
    if isinstance(definition, MultiPartitionsDefinition):
        points = [definition.get_partition_key_from_str(str(key)).keys_by_dimension for key in keys]
        named = tuple(name for name in dimensions if name in expressions)
        chosen = [tuple(point[name] for name in named) for point in points]
    else:
        named = tuple(dimensions)
        chosen = [(str(key),) for key in keys]
    # Of no partitions, the expressions are kept: a handler is told them.
    alternatives = tuple(
        tuple(
            _restriction(expressions[name], dimensions[name], values)
            for name, values in zip(named, rectangle, strict=True)
        )
        for rectangle in rectangles(dict.fromkeys(chosen)) or [((),) * len(named)]
    )
    return Slice(alternatives, _label(keys), _time_zone(dimensions.values()))


def _definition(context: OutputContext) -> PartitionsDefinition[Any] | None:
    try:
        return context.asset_partitions_def
    except DagsterInvariantViolationError:
        return None


def _keys(context: OutputContext) -> Sequence[str] | None:
    if not context.has_asset_partitions:
        return None
    try:
        return context.asset_partition_keys
    except DagsterInvariantViolationError:
        # Before 1.13, whether the asset has partitions says nothing of the run.
        return None


def _are_all(keys: Sequence[str], context: InputContext) -> bool:
    """Whether these are all partitions that the loaded asset has by now."""
    existing = context.asset_partitions_def.get_partition_keys(
        dynamic_partitions_store=context.instance
    )
    return set(keys) >= set(existing)


def _dimensions(definition: PartitionsDefinition[Any]) -> dict[str, PartitionsDefinition[Any]]:
    if isinstance(definition, MultiPartitionsDefinition):
        return {each.name: each.partitions_def for each in definition.partitions_defs}
    return {"": definition}


def _expressions(
    expression: Any, dimensions: tuple[str, ...], what: str, *, all_dimensions: bool
) -> dict[str, str]:
    several = dimensions != ("",)
    if not several and isinstance(expression, str):
        return {"": expression}
    if several and isinstance(expression, Mapping):
        given = cast("Mapping[str, Any]", expression)
        found = {name: plain(value) for name, value in given.items()}
        unknown = set(found) - set(dimensions)
        missing = [name for name in dimensions if name not in found] if all_dimensions else []
        texts = {name: value for name, value in found.items() if isinstance(value, str)}
        if texts and not unknown and not missing and len(texts) == len(found):
            return texts
    wanted = (
        "a mapping of dimension to SQL: " + ", ".join(f"{name!r}: 'column'" for name in dimensions)
        if several
        else "SQL text: 'column'"
    )
    raise InvalidInput(
        f"{what} has a {EXPRESSION} that does not suit its partitions.",
        seen=f"It is {expression!r}.",
        remedy=f"Make it {wanted}.",
    )


def _restriction(
    expression: str, definition: PartitionsDefinition[Any], keys: Sequence[str]
) -> Windows | Keys:
    if isinstance(definition, TimeWindowPartitionsDefinition):
        windows = definition.time_windows_for_partition_keys(frozenset(keys), validate=False)
        return Windows(expression, merged((window.start, window.end) for window in windows))
    return Keys(expression, tuple(keys))


def _time_zone(definitions: Any) -> str:
    for definition in definitions:
        if isinstance(definition, TimeWindowPartitionsDefinition):
            return definition.timezone or "UTC"
    return "UTC"


def _label(keys: Sequence[str]) -> str:
    if len(keys) == 1:
        return f"partition {keys[0]}"
    return f"{len(keys)} partitions ({keys[0]} to {keys[-1]})" if keys else "no partitions"


def _no_expression(what: str) -> InvalidInput:
    return InvalidInput(
        f"{what} has partitions, but no {EXPRESSION!r} metadata: which column tells them apart?",
        remedy=f'Say so: @asset(metadata={{"{EXPRESSION}": "your_partition_column"}}).',
    )
