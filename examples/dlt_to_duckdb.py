"""Load an API day by day into DuckDB with dlt, and read what arrived in an asset downstream.

    dagster dev -f examples/dlt_to_duckdb.py

The "API" is made up, so that this runs anywhere. The report's dependency names the table alone:
`weave` finds the asset that writes it. (The file is not called dlt.py: Python would take it for dlt.)
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import dlt
import duckdb

from dagweave.dlt import DagsterDltResource, dlt_assets
from dagweave.weaving import TableRef, weave

DATABASE = Path("shop.duckdb").resolve()


@dlt.source
def shop(day: str = "2026-01-01"):
    """What the shop's API has of one day."""

    @dlt.resource(write_disposition="merge", primary_key="id")
    def orders() -> Iterator[dict[str, object]]:
        """One row per order; its lines are a nested table."""
        first = date.fromisoformat(day).toordinal() * 10
        for number in range(first, first + 10):
            yield {"id": number, "day": day, "lines": [{"sku": "tea", "n": number % 3 + 1}]}

    @dlt.resource(write_disposition="replace")
    def products() -> Iterator[dict[str, object]]:
        """All that is sold."""
        yield {"sku": "tea", "price": 4.5}

    return orders, products


@dlt_assets(
    dlt_source=shop(),
    dlt_pipeline=dlt.pipeline(
        pipeline_name="shop",
        destination=dlt.destinations.duckdb(str(DATABASE)),
        dataset_name="raw_shop",
    ),
    name="shop",
    group_name="ingestion",
    partitions_def=dg.DailyPartitionsDefinition("2026-01-01"),
)
def shop_assets(context: dg.AssetExecutionContext, dlt: DagsterDltResource):
    """Loads the partition's day."""
    yield from dlt.run(context, dlt_source=shop(day=context.partition_key)).fetch_row_count()


ORDERS = TableRef("orders", schema="raw_shop", database="shop", kind="duckdb")


@dg.asset(
    deps=[
        dg.AssetDep(
            "orders_in_the_warehouse",
            metadata=ORDERS.to_metadata(),
            partition_mapping=dg.AllPartitionMapping(),
        )
    ]
)
def report() -> dg.MaterializeResult:
    """Counts the orders of all days."""
    with duckdb.connect(str(DATABASE), read_only=True) as connection:
        rows = connection.execute("SELECT count(*) FROM raw_shop.orders").fetchall()
    return dg.MaterializeResult(metadata={"orders": rows[0][0]})


defs = weave(dg.Definitions([shop_assets, report], resources={"dlt": DagsterDltResource()}))
