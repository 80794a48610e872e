from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.sql import Dialect, Sql, Value
from dagweave.weaving import TableRef

ANSI = Dialect(kind="ansi", fold=str.lower)
BACKTICKS = Dialect(kind="backticks", fold=str, quote_mark="`", placeholder="%s")


@given(st.text(min_size=1).filter(lambda name: "\0" not in name))
def test_a_quoted_identifier_reads_back_as_itself(name: str) -> None:
    for dialect in (ANSI, BACKTICKS):
        mark = dialect.quote_mark
        quoted = dialect.quote(name)

        assert quoted.startswith(mark)
        assert quoted.endswith(mark)
        assert quoted[1:-1].replace(mark * 2, mark) == name
        # No mark within stands alone, so that the identifier cannot end early.
        assert mark not in quoted[1:-1].replace(mark * 2, "")


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_a_name_that_no_engine_takes_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be the name"):
        ANSI.quote(name)


def test_a_table_is_written_with_what_is_known_of_it() -> None:
    assert ANSI.table(TableRef("t")) == '"t"'
    assert BACKTICKS.table(TableRef("t", "s-1", "d")) == "`d`.`s-1`.`t`"


def test_values_are_bound_and_never_text() -> None:
    part = Sql.join(" OR ", [Sql.of("a = ", Value("x' OR '1'='1")), Sql.of("b = ", Value(2))])

    assert BACKTICKS.bound(Sql.of("SELECT ", part)) == (
        "SELECT a = %s OR b = %s",
        ["x' OR '1'='1", 2],
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("it's", "'it''s'"),
        (None, "NULL"),
        (True, "TRUE"),
        (Decimal("1.50"), "1.50"),
        (dt.date(2026, 1, 5), "DATE '2026-01-05'"),
        (dt.datetime.fromisoformat("2026-01-05 01:00"), "TIMESTAMP '2026-01-05 01:00:00'"),
        (dt.datetime(2026, 1, 5, 1, tzinfo=dt.UTC), "TIMESTAMPTZ '2026-01-05 01:00:00+00:00'"),
    ],
)
def test_values_are_written_out_for_people(value: object, written: str) -> None:
    assert ANSI.readable(Sql.of("x = ", Value(value))) == f"x = {written}"
