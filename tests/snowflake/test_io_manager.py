"""Assets stored in Snowflake: its emulator, with a server between that counts and breaks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dagweave._kernel.errors import InvalidInput
from dagweave.snowflake import (
    DbTypeHandler,
    SnowflakeArrowIOManager,
    SnowflakeIOManager,
    SnowflakePandasIOManager,
    SnowflakePandasTypeHandler,
    SnowflakePolarsIOManager,
    TableSlice,
    snowflake_pandas_io_manager,
)
from dagweave.snowflake.connections import CONNECTIONS
from duckdb_runs import failure, metadata, run
from snowflake_proxy import Between, between
from snowflake_server import DONE, LOGGED_IN, Answering, answering, failed

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")


@pytest.fixture
def wire(server: dict[str, Any]) -> Iterator[Between]:
    with between(server) as told:
        yield told
        CONNECTIONS.close()


@pytest.fixture
def given(settings: dict[str, Any], wire: Between) -> dict[str, Any]:
    """What an I/O manager needs to reach the emulator through the server between."""
    more = {name: settings[name] for name in ("network_timeout", "login_timeout")}
    names = ("account", "user", "password", "database")
    return {
        **{name: settings[name] for name in names},
        "schema": "shop",
        "base_url": wire.url,
        "additional_snowflake_connection_args": more,
    }


def test_each_frame_comes_back_as_what_the_input_asks_for(given: dict[str, Any]):
    frame = pl.DataFrame(
        {"id": [1, 2], "price": [Decimal("10.25"), None], "day": [dt.date(2026, 1, 5), None]}
    )
    seen: dict[str, Any] = {}

    @dg.asset
    def orders() -> pl.DataFrame:
        return frame

    @dg.asset
    def looks(
        orders: pl.DataFrame,
    ) -> None:
        seen["polars"] = orders

    @dg.asset(ins={"lazy": dg.AssetIn("orders")})
    def lazily(lazy: pl.LazyFrame) -> None:
        seen["lazy"] = lazy.filter(pl.col("id") == 2).collect()

    @dg.asset(ins={"table": dg.AssetIn("orders")})
    def arrow(table: pa.Table) -> None:
        seen["table"] = table

    @dg.asset(ins={"stream": dg.AssetIn("orders")})
    def streams(stream: pa.RecordBatchReader) -> None:
        seen["stream"] = stream.read_all()

    @dg.asset(ins={"rows": dg.AssetIn("orders", metadata={"columns": ["id"]})})
    def pandas(rows: pd.DataFrame) -> None:
        seen["pandas"] = rows

    run(orders, looks, lazily, arrow, streams, pandas, io_manager=SnowflakePolarsIOManager(**given))

    assert seen["polars"].equals(frame)
    assert seen["lazy"].equals(frame.filter(pl.col("id") == 2))
    assert seen["table"].to_pylist() == seen["stream"].to_pylist() == frame.to_dicts()
    assert seen["pandas"].to_dict("list") == {"id": [1, 2]}


def test_names_are_in_upper_case_there_and_in_lower_case_here(given: dict[str, Any], rows: Any):
    seen: list[str] = []

    @dg.asset
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"OrderId": [1]})

    @dg.asset
    def looks(orders) -> None:
        seen.extend(orders.columns)

    result = run(orders, looks, io_manager=SnowflakePandasIOManager(**given))

    assert rows('SELECT "ORDERID" FROM "SHOP"."ORDERS"') == [(1,)]
    assert seen == ["orderid"]
    name = f"{given['database']}.SHOP.ORDERS"
    assert metadata(result, "orders")["dagster/table_name"] == name


def test_one_login_serves_all_inputs_and_outputs(given: dict[str, Any], wire: Between):
    @dg.asset
    def first() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    @dg.asset
    def second(first: pd.DataFrame) -> pd.DataFrame:
        return first

    @dg.asset
    def third(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([first, second])

    run(first, second, third, io_manager=SnowflakePandasIOManager(**given))

    assert wire.logins == 1


def test_few_statements_are_needed(given: dict[str, Any], wire: Between):
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def orders(context) -> pd.DataFrame:
        return pd.DataFrame({"day": pd.to_datetime([context.partition_key]), "n": [1]})

    @dg.asset
    def whole() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    @dg.asset(partitions_def=DAYS)
    def looks(orders: pd.DataFrame) -> None: ...

    def statements(asset: Any, **options: Any) -> list[str]:
        before = len(wire.statements)
        run(orders, whole, looks, io_manager=io_manager, selection=[asset], **options)
        verbs = [each.split()[0] for each in wire.statements[before:]]
        # The emulator has the connector ask twice where to put a file.
        return [verb for verb, after in pairwise([*verbs, ""]) if (verb, after) != ("PUT", "PUT")]

    io_manager = SnowflakePandasIOManager(**given)
    day = {"partition_key": "2026-01-05"}
    statements(whole)
    statements(orders, **day)

    stage = ["DESCRIBE", "CREATE", "PUT", "COPY"]
    assert statements(whole) == [*stage, "INSERT", "DROP"]
    assert statements(orders, **day) == [
        *stage, "SELECT", "BEGIN", "DELETE", "INSERT", "COMMIT", "DROP",
    ]  # fmt: skip
    assert statements(looks, **day) == ["DESCRIBE", "SELECT"]


def test_a_table_that_is_replaced_keeps_its_grants(given: dict[str, Any], wire: Between):
    columns = ["n"]

    @dg.asset
    def orders() -> pd.DataFrame:
        return pd.DataFrame({name: [1] for name in columns})

    io_manager = SnowflakePandasIOManager(**given)
    run(orders, io_manager=io_manager)
    run(orders, io_manager=io_manager)
    assert any(each.startswith("INSERT OVERWRITE INTO") for each in wire.statements)
    assert not any("OR REPLACE" in each for each in wire.statements)

    columns.append("new")
    run(orders, io_manager=io_manager)
    (anew,) = [each for each in wire.statements if "OR REPLACE" in each]
    assert " COPY GRANTS " in anew


def test_partitions_replace_themselves_only(given: dict[str, Any], rows: Any):
    amount = {"n": 1}

    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def orders(context) -> pl.DataFrame:
        day = dt.date.fromisoformat(context.partition_key)
        return pl.DataFrame({"day": [day], **amount})

    io_manager = SnowflakePolarsIOManager(**given)
    for key in ("2026-01-05", "2026-01-06"):
        run(orders, io_manager=io_manager, partition_key=key)
    amount["n"] = 2
    result = run(orders, io_manager=io_manager, partition_key="2026-01-06")

    assert rows('SELECT "N" FROM "SHOP"."ORDERS" ORDER BY "DAY"') == [(1,), (2,)]
    told = metadata(result, "orders")
    assert (told["dagster/partition_row_count"], told["dagweave/rows_deleted"]) == (1, 1)
    # The DELETE and the INSERT; BEGIN and COMMIT change nothing by themselves.
    assert told["dagweave/statements"] == 2
    assert len(told["dagweave/query_ids"].split(", ")) == 2


def test_an_expression_means_the_wall_clock_of_the_partitions(given: dict[str, Any]):
    hours = dg.HourlyPartitionsDefinition("2026-01-05-00:00", timezone="America/New_York")
    five = pd.Timestamp("2026-01-05 05:00", tz="America/New_York")

    @dg.asset(partitions_def=hours, metadata={"partition_expr": "CAST(moment AS TIMESTAMP_NTZ)"})
    def events() -> pd.DataFrame:
        return pd.DataFrame({"moment": [five]})

    io_manager = SnowflakePandasIOManager(**given)
    for key, fits in {"2026-01-05-05:00": True, "2026-01-05-04:00": False}.items():
        result = run(events, io_manager=io_manager, partition_key=key, ok=fits)
        assert fits or "New_York" in failure(result)


def test_lists_and_structs_are_semi_structured_there_and_json_here(
    given: dict[str, Any], rows: Any
):
    seen: list[Any] = []

    @dg.asset
    def orders() -> pl.DataFrame:
        return pl.DataFrame({"tags": [["a", "b"]], "address": [{"city": "Paris"}]})

    @dg.asset
    def looks(orders: pl.DataFrame) -> None:
        seen.extend(orders.rows())

    for _ in range(2):
        run(orders, looks, io_manager=SnowflakePolarsIOManager(**given))

    assert seen[-1] == ('["a","b"]', '{"city":"Paris"}')


def test_an_input_without_annotation_is_the_frame_that_the_manager_is_named_after(
    given: dict[str, Any],
):
    seen: list[Any] = []

    @dg.asset
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    @dg.asset
    def looks(orders) -> None:
        seen.append(type(orders))

    for factory in (SnowflakePandasIOManager, SnowflakePolarsIOManager, SnowflakeArrowIOManager):
        run(orders, looks, io_manager=factory(**given))

    assert seen == [pd.DataFrame, pl.DataFrame, pa.Table]


def test_it_may_be_configured_as_the_official_one(given: dict[str, Any], rows: Any):
    @dg.asset
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    run(orders, io_manager=snowflake_pandas_io_manager.configured(given))

    assert rows('SELECT "N" FROM "SHOP"."ORDERS"') == [(1,)]


def test_times_may_be_text_there(given: dict[str, Any], rows: Any):
    times = pd.DataFrame(
        {
            "naive": pd.to_datetime(["2026-01-05 12:30:00.25", None]),
            "utc": pd.to_datetime(["2026-01-05 12:30", None], utc=True),
            "text": ["2026", "x"],
        }
    )
    seen: list[pd.DataFrame] = []

    @dg.asset
    def events() -> pd.DataFrame:
        return times

    @dg.asset
    def looks(events: pd.DataFrame) -> None:
        seen.append(events)

    io_manager = SnowflakePandasIOManager(**given, store_timestamps_as_strings=True)
    run(events, looks, io_manager=io_manager)

    assert rows('SELECT "NAIVE", "UTC" FROM "SHOP"."EVENTS" WHERE "UTC" IS NOT NULL') == [
        ("2026-01-05 12:30:00.250000", "2026-01-05 12:30:00.000000 +0000")
    ]
    assert seen[0].iloc[0].tolist() == times.iloc[0].tolist()
    assert seen[0]["naive"].isna().tolist() == [False, True]
    assert [str(each).partition("[")[0] for each in seen[0].dtypes][:2] == ["datetime64"] * 2


class Lines(list[str]):
    """A type that only this user has."""


class LinesHandler(DbTypeHandler[Lines]):
    """Written as one writes it for the official I/O manager."""

    def handle_output(
        self, context: dg.OutputContext, table_slice: TableSlice, obj: Lines, connection: Any
    ) -> dict[str, Any]:
        table = f"{table_slice.schema}.{table_slice.table}"
        for line in obj:
            if line == "break":
                raise ValueError("the handler broke")
            connection.cursor().execute(f"INSERT INTO {table} (line) VALUES (%s)", [line])
        return {"lines": len(obj)}

    def load_input(
        self, context: dg.InputContext, table_slice: TableSlice, connection: Any
    ) -> Lines:
        cursor = connection.cursor()
        cursor.execute(f"SELECT line FROM {table_slice.schema}.{table_slice.table}")
        return Lines(row[0] for row in cursor.fetchall())

    @property
    def supported_types(self) -> Sequence[type[object]]:
        return [Lines]


class UpperHandler(SnowflakePandasTypeHandler):
    def handle_output(
        self, context: dg.OutputContext, table_slice: TableSlice, obj: Any, connection: Any
    ) -> Any:
        if obj["line"][0] == "break":
            raise ValueError("the handler broke")
        obj = obj.assign(line=obj["line"].str.upper())
        return super().handle_output(context, table_slice, obj, connection)


class OwnIOManager(SnowflakeIOManager):
    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        return [LinesHandler(), UpperHandler()]

    @staticmethod
    def default_load_type() -> type[Any]:
        return Lines


@pytest.mark.parametrize("kind", [Lines, pd.DataFrame])
def test_a_handler_of_ones_own_writes_all_or_nothing(given: dict[str, Any], rows: Any, kind: Any):
    lines = ["a", "b"]

    @dg.asset
    def notes():
        return Lines(lines) if kind is Lines else pd.DataFrame({"line": lines})

    io_manager = OwnIOManager(**given)
    rows("CREATE SCHEMA shop")
    rows("CREATE TABLE shop.notes (line VARCHAR)")
    run(notes, io_manager=io_manager)
    lines[:] = ["break"]
    broken = run(notes, io_manager=io_manager, ok=False)
    assert "the handler broke" in str([each.event_specific_data for each in broken.all_events])

    expected = ["a", "b"] if kind is Lines else ["A", "B"]
    assert sorted(row[0] for row in rows("SELECT line FROM shop.notes")) == expected


def test_a_connection_lost_before_the_rows_are_in_changes_nothing(
    given: dict[str, Any], wire: Between, rows: Any
):
    numbers = [1]

    @dg.asset
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"n": numbers})

    io_manager = SnowflakePandasIOManager(**given)
    run(orders, io_manager=io_manager)
    numbers[:] = [2]
    wire.lost_before = "INSERT"
    result = run(orders, io_manager=io_manager, ok=False)
    assert "was not written" in failure(result)
    assert rows('SELECT "N" FROM "SHOP"."ORDERS"') == [(1,)]

    wire.lost_before = None
    run(orders, io_manager=io_manager)
    assert rows('SELECT "N" FROM "SHOP"."ORDERS"') == [(2,)]
    assert wire.logins == 2


def test_an_append_whose_commit_was_not_answered_is_looked_for_before_it_is_done_again(
    given: dict[str, Any], wire: Between, rows: Any
):
    attempts: list[int] = []

    @dg.asset(metadata={"write_mode": "append"}, retry_policy=dg.RetryPolicy(max_retries=1))
    def visits() -> pd.DataFrame:
        wire.lost_after = None if attempts else "COMMIT"
        attempts.append(1)
        return pd.DataFrame({"n": [1]})

    io_manager = SnowflakePandasIOManager(**given)
    result = run(visits, io_manager=io_manager)

    assert len(attempts) == 2
    assert rows('SELECT COUNT(*) FROM "SHOP"."VISITS"') == [(1,)]
    assert "earlier attempt" in metadata(result, "visits")["dagweave/skipped"]


def test_a_schema_that_is_not_there_is_named(given: dict[str, Any]):
    @dg.asset(key=["nowhere", "orders"])
    def elsewhere() -> None: ...

    @dg.asset(ins={"orders": dg.AssetIn(["nowhere", "orders"])})
    def looks(orders: pd.DataFrame) -> None: ...

    io_manager = SnowflakePandasIOManager(**{**given, "schema": None})
    result = run(elsewhere, looks, selection=[looks], io_manager=io_manager, ok=False)

    assert "There is no table" in failure(result)
    assert "NOWHERE.ORDERS" in failure(result)


@pytest.fixture
def told() -> Iterator[Answering]:
    with answering() as server:
        yield server
        CONNECTIONS.close()


def refused(told: Answering, **more: Any) -> str:
    tries: list[int] = []

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
    def orders() -> pd.DataFrame:
        tries.append(1)
        return pd.DataFrame({"n": [1]})

    settings = {"account": "acme-test", "user": "loader", "password": "a-secret-to-look-for"}
    io_manager = SnowflakePandasIOManager(
        **{**settings, "database": "DB", "base_url": told.url, **more}
    )
    result = run(orders, io_manager=io_manager, ok=False)
    assert tries == [1]
    assert "a-secret-to-look-for" not in str(result.all_events)
    return failure(result)


def test_wrong_credentials_are_reported_at_once_and_never_retried(told: Answering):
    told.login = failed("390100", "08001", "Incorrect username or password was specified.")

    assert "Check user and password" in refused(told)


def test_a_suspended_warehouse_is_reported_at_once_and_never_retried(told: Answering):
    def answer(sql: str) -> dict[str, Any]:
        if sql.startswith("DESCRIBE"):
            return failed("002003", "42S02", "Object does not exist or not authorized.")
        if sql.startswith("COPY"):
            return failed("000606", "57P03", "No active warehouse selected.")
        return DONE

    told.query = answer
    told.login = LOGGED_IN

    # The emulator's way of PUT is not this server's: the rows do not come so far.
    message = refused(told)

    assert "was not written" in message


def test_no_secret_is_in_its_repr(given: dict[str, Any]):
    more = {"token": "another-secret"}
    shown = repr(
        SnowflakePandasIOManager(**{**given, "additional_snowflake_connection_args": more})
    )

    assert "a-secret-to-look-for" not in shown
    assert "another-secret" not in shown


def test_who_logs_in_may_come_from_the_environment(
    given: dict[str, Any], rows: Any, monkeypatch: pytest.MonkeyPatch
):
    @dg.asset
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    monkeypatch.setenv("SNOWFLAKE_USER", given.pop("user"))
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", given.pop("password"))
    run(orders, io_manager=SnowflakePandasIOManager(**given))

    assert rows('SELECT "N" FROM "SHOP"."ORDERS"') == [(1,)]


def test_without_any_way_to_log_in_it_says_what_is_missing(given: dict[str, Any]):
    @dg.asset
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    del given["user"], given["password"]
    result = run(orders, io_manager=SnowflakePandasIOManager(**given), ok=False)

    assert "SNOWFLAKE_USER" in str([each.event_specific_data for each in result.all_events])


def test_two_ways_to_log_in_are_one_too_many(given: dict[str, Any]):
    with pytest.raises(InvalidInput, match="more than one way") as caught:
        SnowflakePandasIOManager(**given, private_key_path="key.p8")

    assert "a-secret-to-look-for" not in str(caught.value)
