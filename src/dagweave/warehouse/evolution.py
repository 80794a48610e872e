"""What becomes of a table that a frame is written to: decided before any data is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagweave._kernel.errors import InvalidInput, SchemaMismatch
from dagweave.warehouse.columns import (
    Column,
    alike,
    fits,
    misfits,
    mismatch,
    require_fit,
    wider,
)
from dagweave.warehouse.plan import SchemaPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagweave.warehouse.plan import WritePlan
    from dagweave.warehouse.sql import Dialect


@dataclass(frozen=True, slots=True)
class Kept:
    """A table that stays, with the columns that it will have.

    `added`, `widened` and `retyped` are those of `columns` that it does not have so yet; a retyped
    one holds no value.
    """

    columns: tuple[Column, ...]
    added: tuple[Column, ...] = ()
    widened: tuple[Column, ...] = ()
    retyped: tuple[Column, ...] = ()


def kept(
    plan: WritePlan,
    frame: Sequence[Column],
    table: tuple[Column, ...],
    dialect: Dialect,
    *,
    same_zones: bool,
    declared: Sequence[str],
) -> Kept | None:
    """How the table stays; `None` if another takes its place.

    A table that is replaced whole stays if the frame would make the same one, and so does one to
    which somebody gave constraints or an index, while the frame fits.

    Args:
        frame: The columns of a table that the frame would make.
        same_zones: Whether the times of the frame are in the zones that the table notes.
        declared: The constraints and indexes of the table.

    Raises:
        SchemaMismatch: The frame does not fit, and the policy does not let the table change so.
        InvalidInput: The policy is not for this write.
    """
    policy = plan.policy
    if policy is SchemaPolicy.REPLACE and not plan.replaces_all:
        raise InvalidInput(
            f"{plan} was not written: schema_policy 'replace' would replace the other rows, too.",
            remedy="Choose strict, add_columns or widen where not the whole table is written.",
        )
    if policy in {SchemaPolicy.ADD_COLUMNS, SchemaPolicy.WIDEN}:
        return _changed(plan, frame, table, dialect, widen=policy is SchemaPolicy.WIDEN)
    if policy is SchemaPolicy.STRICT or not plan.replaces_all:
        require_fit(frame, table, dialect, what=str(plan))
        return Kept(table)
    if alike(frame, table) and same_zones:
        return Kept(table)
    fitting = not any(misfits(frame, table, dialect).values())
    return Kept(table) if declared and fitting else None


def _changed(
    plan: WritePlan,
    frame: Sequence[Column],
    table: tuple[Column, ...],
    dialect: Dialect,
    *,
    widen: bool,
) -> Kept:
    fold, shown = dialect.fold, dialect.shown
    incoming = {fold(column.name): column for column in frame}
    existing = {fold(column.name) for column in table}
    columns: list[Column] = []
    widened: list[Column] = []
    refused: list[Column] = []
    for column in table:
        new = incoming.get(fold(column.name))
        if new is not None and widen and (type_ := wider(column, new)):
            widened.append(Column(column.name, type_.type, type_.arrow))
            columns.append(widened[-1])
        elif new is None or fits(new.arrow, column.arrow):
            columns.append(column)
        else:
            refused.append(column)
    if refused:
        raise mismatch(
            what=str(plan),
            found={
                "Of a type that does not fit": [
                    f"{shown(c.name)} (the table has {c.arrow}, "
                    f"the frame {incoming[fold(c.name)].arrow})"
                    for c in refused
                ]
            },
        )
    added = tuple(column for name, column in incoming.items() if name not in existing)
    return Kept((*columns, *added), added, tuple(widened))


def require_keys(
    plan: WritePlan, frame: Sequence[str], fold: Callable[[str], str]
) -> tuple[str, ...]:
    """The columns of the frame that rows are merged by.

    Raises:
        InvalidInput: There are none, or not in the frame.
    """
    if not plan.keys:
        raise InvalidInput(
            f"{plan} was not written: nothing says which columns rows are merged by.",
            remedy='Say it in the asset\'s metadata: {"write_mode": "merge", "merge_keys": ["id"]}.',
        )
    spelt = {fold(name): name for name in frame}
    if missing := [key for key in plan.keys if fold(key) not in spelt]:
        raise SchemaMismatch(
            f"{plan} was not written: the frame has no column {', '.join(map(repr, missing))}, "
            "which rows are merged by.",
            seen=f"Its columns are {', '.join(map(repr, frame))}.",
        )
    return tuple(spelt[fold(key)] for key in plan.keys)
