from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from dagweave._kernel.errors import InvalidInput
from dagweave.snowflake import SnowflakeResource, fetch_last_updated_timestamps


@pytest.fixture
def tables(rows: Any) -> None:
    rows("CREATE TABLE orders (n INT)")
    rows('CREATE TABLE "Quoted-é" (n INT)')


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("style", ["pyformat", "qmark", "numeric"])
def test_each_table_has_its_time_in_utc(settings: dict[str, Any], style: str):
    resource = SnowflakeResource(**settings, paramstyle=style)

    with resource.get_connection() as connection:
        found = fetch_last_updated_timestamps(
            snowflake_connection=connection, schema="public", tables=["orders", "Quoted-é"]
        )

    assert sorted(found) == ["Quoted-é", "orders"]
    assert {at.tzinfo for at in found.values()} == {dt.UTC}


@pytest.mark.usefixtures("tables")
def test_of_another_database(resource: SnowflakeResource, settings: dict[str, Any]):
    elsewhere = SnowflakeResource(**{**settings, "database": "ELSEWHERE"})

    with elsewhere.get_connection() as connection:
        found = fetch_last_updated_timestamps(
            snowflake_connection=connection,
            schema="PUBLIC",
            tables=["ORDERS"],
            database=str(resource.database).lower(),
        )

    assert list(found) == ["ORDERS"]


@pytest.mark.usefixtures("tables")
def test_a_table_that_there_is_not_is_named_or_left_out(resource: SnowflakeResource):
    with resource.get_connection() as connection:

        def ask(*tables: str, ignore: bool = False) -> Any:
            return fetch_last_updated_timestamps(
                snowflake_connection=connection,
                schema="PUBLIC",
                tables=tables,
                ignore_missing_tables=ignore,
            )

        with pytest.raises(InvalidInput, match=r"no table nope, o'r' in the schema PUBLIC"):
            ask("orders", "nope", "o'r'")
        assert list(ask("orders", "nope", ignore=True)) == ["orders"]
        with pytest.raises(InvalidInput, match="No tables"):
            ask()
