"""The I/O managers of BigQuery, as users configure them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster import (
    AssetIn,
    DailyPartitionsDefinition,
    Definitions,
    StaticPartitionsDefinition,
    asset,
    materialize,
)
from google.cloud import bigquery

from dagweave.bigquery import (
    BigQueryArrowIOManager,
    BigQueryIOManager,
    BigQueryPandasIOManager,
    BigQueryPandasTypeHandler,
    BigQueryPolarsIOManager,
    DbTypeHandler,
    bigquery_pandas_io_manager,
)

Rows = Callable[[str], list[tuple[Any, ...]]]


def test_frames_of_every_library_are_stored_and_loaded(settings: dict[str, Any], rows: Rows):
    @asset(key_prefix="shop")
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1, 2], "Name": ["Ada", None]})

    @asset(key_prefix="shop")
    def by_polars(orders: pl.DataFrame) -> pl.DataFrame:
        return orders.sort("id")

    @asset(key_prefix="shop")
    def by_arrow(by_polars: pa.Table) -> pa.Table:
        assert by_polars.column_names == ["id", "Name"]
        return by_polars

    @asset(key_prefix="shop", ins={"by_arrow": AssetIn(metadata={"columns": ["id"]})})
    def last(by_arrow) -> None:
        assert isinstance(by_arrow, pa.Table)
        assert by_arrow.to_pydict() == {"id": [1, 2]}

    io_manager = BigQueryArrowIOManager(**settings)
    done = materialize([orders, by_polars, by_arrow, last], resources={"io_manager": io_manager})

    assert done.success
    assert rows("SELECT id, Name FROM shop.by_arrow ORDER BY id") == [(1, "Ada"), (2, None)]


def test_the_receipt_names_table_jobs_and_their_page(settings: dict[str, Any]):
    @asset(key_prefix="shop")
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1, 2]})

    done = materialize([orders], resources={"io_manager": BigQueryPandasIOManager(**settings)})

    (written,) = done.asset_materializations_for_node("shop__orders")
    metadata = {key: value.value for key, value in written.metadata.items()}
    assert metadata["dagster/table_name"] == f"{settings['project']}.shop.orders"
    assert metadata["dagster/row_count"] == 2
    job = metadata["dagweave/query_ids"]
    assert job
    assert metadata["dagweave/query_url"].startswith("https://console.cloud.google.com/bigquery")
    assert job in metadata["dagweave/query_url"]
    assert [each.name for each in metadata["dagster/column_schema"].columns] == ["id"]


def test_jobs_carry_labels_that_name_asset_and_run(
    settings: dict[str, Any], client: bigquery.Client
):
    @asset(key_prefix="Shop")
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1]})

    io_manager = BigQueryPandasIOManager(**settings, labels={"team": "Sales & Co"})
    done = materialize([orders], resources={"io_manager": io_manager})

    (written,) = done.asset_materializations_for_node("Shop__orders")
    job = client.get_job(written.metadata["dagweave/query_ids"].value)
    assert job.labels == {
        "team": "sales___co",
        "dagster_asset": "shop_orders",
        "dagster_run": done.run_id,
    }


def test_partitions_are_replaced_each_by_itself(settings: dict[str, Any], rows: Rows):
    days = DailyPartitionsDefinition("2026-01-05", end_date="2026-01-08")

    @asset(partitions_def=days, metadata={"partition_expr": "day"}, key_prefix="shop")
    def orders(context) -> pl.DataFrame:
        day = dt.date.fromisoformat(context.partition_key)
        return pl.DataFrame({"day": [day], "run": [context.run.run_id]})

    resources = {"io_manager": BigQueryPolarsIOManager(**settings)}
    first = materialize([orders], partition_key="2026-01-05", resources=resources)
    materialize([orders], partition_key="2026-01-06", resources=resources)
    again = materialize([orders], partition_key="2026-01-06", resources=resources)

    assert rows("SELECT day, run FROM shop.orders ORDER BY day") == [
        (dt.date(2026, 1, 5), first.run_id),
        (dt.date(2026, 1, 6), again.run_id),
    ]


@pytest.mark.parametrize(("mode", "count"), [("truncate", 1), ("replace", 1), ("append", 2)])
def test_the_official_write_modes_are_known(
    settings: dict[str, Any], rows: Rows, mode: str, count: int
):
    @asset(key_prefix="shop")
    def visits() -> pd.DataFrame:
        return pd.DataFrame({"page": ["home"]})

    for _ in range(2):
        io_manager = BigQueryPandasIOManager(**settings, write_mode=mode)
        assert materialize([visits], resources={"io_manager": io_manager}).success

    assert rows("SELECT COUNT(*) FROM shop.visits") == [(count,)]


def test_a_write_mode_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(Exception, match="append"):
        BigQueryPandasIOManager(project="p", write_mode="upsert")


def test_the_dataset_of_the_io_manager_is_for_assets_that_name_none(
    settings: dict[str, Any], rows: Rows
):
    @asset
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1]})

    io_manager = bigquery_pandas_io_manager.configured({**settings, "dataset": "marts"})
    assert materialize([orders], resources={"io_manager": io_manager}).success

    assert rows("SELECT id FROM marts.orders") == [(1,)]


def test_partitioning_and_descriptions_stay_when_a_table_is_replaced(
    settings: dict[str, Any], client: bigquery.Client
):
    client.create_dataset("shop")
    fields = [
        bigquery.SchemaField("day", "DATE", description="When"),
        bigquery.SchemaField("n", "INTEGER"),
    ]
    table = bigquery.Table(f"{client.project}.shop.orders", schema=fields)
    table.time_partitioning = bigquery.TimePartitioning(field="day")
    client.create_table(table)

    @asset(key_prefix="shop")
    def orders() -> pl.DataFrame:
        return pl.DataFrame({"day": [dt.date(2026, 1, 5)], "n": [1]})

    resources = {"io_manager": BigQueryPolarsIOManager(**settings)}
    assert materialize([orders], resources=resources).success

    after = client.get_table(table)
    assert after.time_partitioning.field == "day"
    assert [each.description for each in after.schema] == ["When", None]
    assert after.num_rows == 1


def test_nothing_is_left_beside_the_tables(settings: dict[str, Any], client: bigquery.Client):
    @asset(
        partitions_def=StaticPartitionsDefinition(["FR"]),
        metadata={"partition_expr": "country"},
        key_prefix="shop",
    )
    def orders() -> pl.DataFrame:
        return pl.DataFrame({"country": ["FR"]})

    resources = {"io_manager": BigQueryPolarsIOManager(**settings)}
    assert materialize([orders], partition_key="FR", resources=resources).success

    assert [each.table_id for each in client.list_tables("shop")] == ["orders"]


class Shouting(DbTypeHandler[str]):
    """A user's handler, as written for the official package."""

    supported_types = (str,)

    def handle_output(self, context, table_slice, obj, connection):
        table = f"`{table_slice.database}.{table_slice.schema}.{table_slice.table}`"
        connection.query(f"CREATE TABLE IF NOT EXISTS {table} (said STRING)").result()
        connection.query(f"INSERT INTO {table} VALUES ('{obj.upper()}')").result()
        if obj == "fail":
            raise ValueError("it fails")

    def load_input(self, context, table_slice, connection):
        raise NotImplementedError


class Handled(BigQueryIOManager):
    @staticmethod
    def type_handlers():
        return [Shouting(), BigQueryPandasTypeHandler()]


def test_a_handler_of_ones_own_gets_the_client_and_is_undone_if_it_fails(
    settings: dict[str, Any], rows: Rows, client: bigquery.Client
):
    def said(word: str):
        @asset(key_prefix="shop", name="words")
        def words() -> str:
            return word

        io_manager = Handled(**settings)
        return materialize([words], resources={"io_manager": io_manager}, raise_on_error=False)

    assert said("hi").success
    assert not said("fail").success

    assert rows("SELECT said FROM shop.words") == [("HI",)]
    assert [each.table_id for each in client.list_tables("shop")] == ["words"]


def test_a_table_is_known_before_a_run():
    @asset(key_prefix="shop")
    def orders() -> pd.DataFrame:
        return pd.DataFrame()

    io_manager = BigQueryPandasIOManager(project="acme")
    Definitions(assets=[orders], resources={"io_manager": io_manager})

    found = io_manager.table_of(orders.key, {})
    assert found is not None
    assert (found.database, found.schema, found.name) == ("acme", "shop", "orders")
