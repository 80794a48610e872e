from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from dagweave._kernel.errors import InvalidInput
from dagweave.snowflake import SnowflakeResource
from dagweave.snowflake.dialect import SNOWFLAKE, shown, stored
from dagweave.weaving import TableRef

NAMES = [
    "plain",
    "UPPER",
    "my-tab",
    "tab.le",
    "sélection",
    "SELECT",
    'qu"ote',
    "with space",
    "1st",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_quoted_name_is_taken_as_it_is_spelled(name: str, resource: SnowflakeResource):
    quoted = SNOWFLAKE.quote(name)

    with resource.get_connection() as connection:
        cursor = connection.cursor()
        cursor.execute(f"SELECT 1 AS {quoted}")
        assert cursor.description[0].name == name


def test_a_table_is_spelled_in_upper_case_and_shown_in_lower(resource: SnowflakeResource):
    with resource.get_connection() as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE my_table AS SELECT 1 AS some_column")
        table = TableRef(stored("my_table"), stored("public"), resource.database, "snowflake")
        cursor.execute(f"SELECT * FROM {SNOWFLAKE.table(table)}")
        assert [shown(column.name) for column in cursor.description] == ["some_column"]


@pytest.mark.parametrize(
    "value",
    [
        "it's",
        "a\\b",
        "\\",
        "line\nbreak",
        "é",
        7,
        Decimal("1.25"),
        True,
        None,
        dt.date(2026, 1, 2),
        dt.datetime(2026, 1, 2, 3, 4, 5, 123456),  # noqa: DTZ001
        dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
    ],
)
def test_a_literal_is_the_value(value: Any, resource: SnowflakeResource):
    with resource.get_connection() as connection:
        [(got,)] = connection.cursor().execute(f"SELECT {SNOWFLAKE.literal(value)}").fetchall()

    assert got == value


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_cannot_be_a_name_is_refused(name: str):
    with pytest.raises(InvalidInput):
        SNOWFLAKE.quote(name)
