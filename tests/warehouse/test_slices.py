from __future__ import annotations

import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.slices import (
    Expression,
    Keys,
    Slice,
    Window,
    Windows,
    condition,
    merged,
    rectangles,
)
from dagweave.warehouse.sql import Dialect

ANSI = Dialect(kind="ansi", fold=str.lower)
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata")
HOUR = dt.timedelta(hours=1)

hours = st.integers(0, 24 * 400).map(lambda n: dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + n * HOUR)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = draw(hours)
    return start, start + draw(st.integers(1, 100)) * HOUR


@given(st.lists(windows(), max_size=12), hours)
def test_merging_windows_changes_no_moment(some: list[Window], moment: dt.datetime) -> None:
    result = merged(some)

    assert any(a <= moment < b for a, b in result) == any(a <= moment < b for a, b in some)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(result))


@given(st.sets(st.tuples(st.sampled_from("abcd"), st.sampled_from("1234"), st.sampled_from("xy"))))
def test_rectangles_cover_each_point_once(points: set[tuple[str, str, str]]) -> None:
    covered = [
        point for rectangle in rectangles(sorted(points)) for point in itertools.product(*rectangle)
    ]

    assert sorted(covered) == sorted(points)


def test_a_full_grid_is_one_rectangle() -> None:
    assert rectangles(itertools.product("abc", "12")) == [(("a", "b", "c"), ("1", "2"))]


def bounds(window: Window, type_: pa.DataType) -> list[dt.datetime]:
    """What a column of the type is compared with."""
    slice_ = Slice(((Windows("t", (window,)),),), "w")
    found = condition(slice_, {"t": Expression("t", type_)}, ANSI)
    return ANSI.bound(found.sql)[1]


@given(hours, st.integers(1, 24 * 40), st.sampled_from(ZONES), st.sampled_from(ZONES))
def test_instants_are_compared_with_instants(
    start: dt.datetime, length: int, zone: str, column_zone: str
) -> None:
    window = (start.astimezone(ZoneInfo(zone)), (start + length * HOUR).astimezone(ZoneInfo(zone)))

    assert bounds(window, pa.timestamp("us", column_zone)) == list(window)


@given(hours, st.integers(1, 24 * 40), st.sampled_from(ZONES), hours)
def test_a_wall_clock_window_holds_the_same_moments_or_is_refused(
    start: dt.datetime, length: int, zone_name: str, moment: dt.datetime
) -> None:
    zone = ZoneInfo(zone_name)
    window = (start.astimezone(zone), (start + length * HOUR).astimezone(zone))
    inside = window[0] <= moment < window[1]

    if any(splits_a_repeated_hour(edge) for edge in window):
        with pytest.raises(InvalidInput, match="twice"):
            bounds(window, pa.timestamp("us"))
    else:
        first, last = bounds(window, pa.timestamp("us"))
        assert (first <= moment.astimezone(zone).replace(tzinfo=None) < last) == inside


def splits_a_repeated_hour(edge: dt.datetime) -> bool:
    """Whether the wall shows the same just before `edge` as at some moment after it."""
    just_before = (edge.astimezone(dt.UTC) - dt.timedelta(seconds=1)).astimezone(edge.tzinfo)
    again = just_before.replace(fold=1)
    return again.astimezone(dt.UTC) > edge.astimezone(dt.UTC)


def test_text_is_read_as_a_timestamp_and_a_date_as_it_is() -> None:
    window = (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
    slice_ = Slice(((Windows("t", (window,)),),), "w")

    text = condition(slice_, {"t": Expression('"t"', pa.string())}, ANSI)
    day = condition(slice_, {"t": Expression('"t"', pa.date32())}, ANSI)

    assert ANSI.readable(text.sql) == (
        "CAST(\"t\" AS TIMESTAMP) >= TIMESTAMP '2026-01-01 00:00:00' AND "
        "CAST(\"t\" AS TIMESTAMP) < TIMESTAMP '2026-02-01 00:00:00'"
    )
    assert ANSI.readable(day.sql).startswith("\"t\" >= TIMESTAMP '2026-01-01 00:00:00'")


def test_a_number_cannot_be_compared_with_a_window() -> None:
    window = (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
    slice_ = Slice(((Windows("t", (window,)),),), "w")

    with pytest.raises(InvalidInput, match="int64"):
        condition(slice_, {"t": Expression('"t"', pa.int64())}, ANSI)


def test_alternatives_are_joined_so_that_each_holds_by_itself() -> None:
    slice_ = Slice(((Keys("a", ("1",)), Keys("b", ("x", "y"))), (Keys("a", ("2",)),)), "some")
    types = {name: Expression(name, pa.string()) for name in "ab"}

    found = condition(slice_, types, ANSI)

    assert ANSI.readable(found.sql) == "((a IN ('1') AND b IN ('x', 'y')) OR (a IN ('2')))"
