"""How SQL and its values are written for Databricks."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from dagweave._kernel.errors import InvalidInput
from dagweave.databricks.dialect import DATABRICKS, bound, require_names
from dagweave.warehouse.sql import Sql, Value
from dagweave.weaving import TableRef


@settings(deadline=None)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1))
def test_an_identifier_is_taken_as_it_is_spelled(name: str) -> None:
    column = sqlglot.parse_one(f"SELECT {DATABRICKS.quote(name)}", read="databricks").expressions[0]

    assert column.name == name


@settings(deadline=None)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_a_text_is_a_value_whatever_is_in_it(text: str) -> None:
    literal = sqlglot.parse_one(f"SELECT {DATABRICKS.literal(text)}", read="databricks")

    assert literal.expressions[0].this == text


@pytest.mark.parametrize(
    ("value", "type_", "text"),
    [
        ("it's", "STRING", "it's"),
        (None, "STRING", None),
        (True, "BOOLEAN", "true"),
        (2**62, "BIGINT", str(2**62)),
        (2**70, "DECIMAL(38,0)", str(2**70)),
        (Decimal("1.50"), "DECIMAL(38,2)", "1.50"),
        (0.1, "DOUBLE", "0.1"),
        (dt.date(2026, 1, 5), "DATE", "2026-01-05"),
        (dt.datetime(2026, 1, 5, 1), "TIMESTAMP_NTZ", "2026-01-05 01:00:00"),  # noqa: DTZ001
        (
            dt.datetime(2026, 1, 5, 1, tzinfo=ZoneInfo("America/New_York")),
            "TIMESTAMP",
            "2026-01-05 01:00:00-05:00",
        ),
    ],
)
def test_a_value_goes_beside_the_statement_with_its_type(
    value: object, type_: str, text: str | None
) -> None:
    statement, parameters = bound(Sql.of("SELECT * FROM t WHERE c = ", Value(value)))

    assert statement == "SELECT * FROM t WHERE c = :p0"
    assert parameters == [{"name": "p0", "type": type_, "value": text}]


@pytest.mark.parametrize("name", ["a.b", "two words", "a/b", "x" * 256])
def test_a_name_that_unity_catalog_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be the name"):
        require_names(TableRef(name, "marts", "analytics"))


def test_columns_that_parquet_would_not_take_get_a_mapping_of_names() -> None:
    assert DATABRICKS.created_with(["plain", "Ünïcode"]) == ""
    assert "'delta.columnMapping.mode' = 'name'" in DATABRICKS.created_with(["with space"])
