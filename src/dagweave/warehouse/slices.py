"""Which rows of a table a partition stands for, and the condition that selects them.

Knows neither Dagster nor any engine. A slice is a choice between alternatives, each of which
restricts some dimensions: keys of several dimensions need not form a rectangle.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.arrow import pyarrow, zone_of
from dagweave.warehouse.sql import Sql, Value

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from dagweave.warehouse.arrow import DataType
    from dagweave.warehouse.sql import Dialect

T = TypeVar("T", bound="Hashable")

Window = tuple[dt.datetime, dt.datetime]
"""From (included) to (excluded), both with a time zone."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Rows whose `expr` lies in one of some windows of time."""

    expr: str
    windows: tuple[Window, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there are no windows, and so no rows."""
        return not self.windows


@dataclass(frozen=True, slots=True)
class Keys:
    """Rows whose `expr` is one of some partition keys."""

    expr: str
    keys: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there are no keys, and so no rows."""
        return not self.keys


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of some partitions: those that one of `alternatives` holds for.

    `label` names the partitions for people; `time_zone` is the one that windows are cut in.
    """

    alternatives: tuple[tuple[Windows | Keys, ...], ...]
    label: str
    time_zone: str = "UTC"

    @property
    def is_empty(self) -> bool:
        """Whether there are no partitions, and so no rows."""
        return all(any(part.is_empty for part in alternative) for alternative in self.alternatives)

    @property
    def expressions(self) -> tuple[str, ...]:
        """Each expression once, in order."""
        found = (part.expr for alternative in self.alternatives for part in alternative)
        return tuple(dict.fromkeys(found))


NOTHING = Slice((), "no partitions")


def merged(windows: Iterable[Window]) -> tuple[Window, ...]:
    """The same stretches of time, in order, those that touch made into one."""
    result: list[Window] = []
    for start, end in sorted(windows, key=lambda window: window[0].timestamp()):
        if result and start.timestamp() <= result[-1][1].timestamp():
            first, last = result[-1]
            result[-1] = (first, max(last, end, key=dt.datetime.timestamp))
        else:
            result.append((start, end))
    return tuple(result)


def rectangles(points: Iterable[Sequence[T]]) -> list[tuple[tuple[T, ...], ...]]:
    """Cover a set of points with disjoint rectangles, each given by its values per dimension.

    `(a, 1) (a, 2) (b, 1)` becomes `({a}, {1, 2})` and `({b}, {1})`.
    """
    rests: dict[T, dict[tuple[T, ...], None]] = {}
    for first, *rest in points:
        rests.setdefault(first, {})[tuple(rest)] = None
    alike: dict[tuple[tuple[T, ...], ...], list[T]] = {}
    for first, rest in rests.items():
        alike.setdefault(tuple(rest), []).append(first)
    found: list[tuple[tuple[T, ...], ...]] = []
    for rest, firsts in alike.items():
        inner = rectangles(rest) if rest[0] else [()]
        found.extend((tuple(firsts), *others) for others in inner)
    return found


@dataclass(frozen=True, slots=True)
class Expression:
    """A `partition_expr` as one engine takes it: its SQL, and the Arrow type of its values."""

    sql: str
    type: DataType


@dataclass(frozen=True, slots=True)
class Condition:
    """What selects the rows of a slice.

    `wall_clock` tells that windows were compared with times that have no zone by what the clock
    on the wall showed, and that this differs from UTC: right only if they were written so.
    """

    sql: Sql
    wall_clock: bool


def condition(slice_: Slice, expressions: Mapping[str, Expression], dialect: Dialect) -> Condition:
    """Write the condition of a slice.

    Args:
        expressions: For each of `slice_.expressions`, what the engine makes of it.

    Raises:
        InvalidInput: An expression's values cannot be compared with a window, or with a key.
    """
    if slice_.is_empty:
        return Condition(Sql.of("FALSE"), wall_clock=False)
    alternatives: list[Sql] = []
    wall_clock = False
    for alternative in slice_.alternatives:
        if any(part.is_empty for part in alternative):
            continue
        parts: list[Sql] = []
        for part in alternative:
            expression = expressions[part.expr]
            if isinstance(part, Keys):
                parts.append(_key_condition(part, expression))
            else:
                naive = _is_naive(expression)
                wall_clock = wall_clock or (naive and not _is_utc(part.windows))
                parts.append(_window_condition(part, expression, dialect, naive=naive))
        alternatives.append(Sql.join(" AND ", parts))
    return Condition(_any_of(alternatives), wall_clock)


def _any_of(conditions: Sequence[Sql]) -> Sql:
    if len(conditions) == 1:
        return conditions[0]
    return Sql.of("(", Sql.join(" OR ", (Sql.of("(", each, ")") for each in conditions)), ")")


def _is_utc(windows: Iterable[Window]) -> bool:
    return not any(moment.utcoffset() for window in windows for moment in window)


def _is_naive(expression: Expression) -> bool:
    """Whether its values are what a clock on the wall shows, rather than instants."""
    types = pyarrow().types
    if types.is_timestamp(expression.type):
        return zone_of(expression.type) is None
    if types.is_date(expression.type) or _is_text(expression.type):
        return True
    raise InvalidInput(
        f"partition_expr {expression.sql} cannot be compared with a window of time.",
        seen=f"It has the type {expression.type}.",
        remedy="Make it a date or a timestamp: to_timestamp(seconds), strptime(text, '%Y-%m').",
    )


def _is_text(type_: DataType) -> bool:
    types = pyarrow().types
    return any(
        test(type_) for test in (types.is_string, types.is_large_string, types.is_string_view)
    )


def _window_condition(
    part: Windows, expression: Expression, dialect: Dialect, *, naive: bool
) -> Sql:
    expr = expression.sql
    if _is_text(expression.type):
        expr = f"CAST({expr} AS {dialect.timestamp})"
    conditions: list[Sql] = []
    for window in part.windows:
        start, end = _wall_clock(window) if naive else window
        conditions.append(Sql.of(expr, " >= ", Value(start), " AND ", expr, " < ", Value(end)))
    return _any_of(conditions)


def _wall_clock(window: Window) -> Window:
    for moment in window:
        if _is_inside_a_repeated_hour(moment):
            raise InvalidInput(
                f"The window {window[0]} to {window[1]} has no place in a column without time zone.",
                seen="The clocks were put back then: the same hour on the wall occurs twice.",
                remedy="Store the time with its time zone, or in UTC: "
                "partition_expr=\"column AT TIME ZONE 'UTC'\".",
            )
    start, end = window
    return start.replace(tzinfo=None), end.replace(tzinfo=None)


def _is_inside_a_repeated_hour(moment: dt.datetime) -> bool:
    """Whether times just before and just after `moment` show on the wall a second time."""
    zone = moment.tzinfo
    before = (moment.astimezone(dt.UTC) - dt.timedelta(microseconds=1)).astimezone(zone)
    return _occurs_twice(moment) and _occurs_twice(before)


def _occurs_twice(moment: dt.datetime) -> bool:
    other = moment.replace(fold=1 - moment.fold)
    # In the hour that is skipped in spring, the fold changes the offset too, the other way.
    first, second = (moment, other) if moment.fold == 0 else (other, moment)
    earlier, later = first.utcoffset(), second.utcoffset()
    return earlier is not None and later is not None and earlier > later


def _key_condition(part: Keys, expression: Expression) -> Sql:
    values = (Value(_key_as(key, expression)) for key in part.keys)
    return Sql.of(expression.sql, " IN (", Sql.join(", ", values), ")")


def _key_as(key: str, expression: Expression) -> object:
    if _is_text(expression.type):
        return key
    pa = pyarrow()
    try:
        return pa.scalar(key).cast(expression.type).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(
            f"The partition key {key!r} cannot be compared with partition_expr {expression.sql}.",
            seen=f"The expression has the type {expression.type}.",
            remedy="Write a partition_expr that gives the key, as CAST(column AS VARCHAR) may.",
        ) from error
