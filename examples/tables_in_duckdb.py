"""Polars frames as tables of a DuckDB file, a month at a time.

    dagster dev -f examples/tables_in_duckdb.py

Materialize `shop/orders` for some months, then `shop/revenue`.
"""

import polars as pl
from dagster import (
    AssetExecutionContext,
    BackfillPolicy,
    Definitions,
    MonthlyPartitionsDefinition,
    asset,
)

from dagweave.duckdb import DuckDBPolarsIOManager

MONTHS = MonthlyPartitionsDefinition(start_date="2026-01-01", end_date="2026-07-01")


@asset(
    key_prefix="shop",
    partitions_def=MONTHS,
    backfill_policy=BackfillPolicy.single_run(),
    metadata={"partition_expr": "ordered_on"},
)
def orders(context: AssetExecutionContext) -> pl.DataFrame:
    """One order a day. Writing a month again replaces that month, and nothing else."""
    first, last = context.partition_time_window
    days = pl.date_range(first.date(), last.date(), closed="left", eager=True)
    return pl.DataFrame({"ordered_on": days}).with_columns(amount=pl.lit(20.0))


@asset(key_prefix="shop", partitions_def=MONTHS, metadata={"partition_expr": "month"})
def revenue(orders: pl.DataFrame) -> pl.DataFrame:
    """The months' revenue: `orders` holds the rows of this month alone."""
    month = pl.col("ordered_on").dt.truncate("1mo").alias("month")
    return orders.group_by(month).agg(pl.col("amount").sum().alias("revenue"))


defs = Definitions(
    assets=[orders, revenue],
    resources={"io_manager": DuckDBPolarsIOManager(database="shop.duckdb")},
)
