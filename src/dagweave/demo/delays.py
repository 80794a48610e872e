"""Polars reads its months of a mart, computes delay statistics, and writes them back."""

from __future__ import annotations

import base64
import io

import polars as pl
from dagster import (
    AssetIn,
    BackfillPolicy,
    MarkdownMetadataValue,
    MonthlyPartitionsDefinition,
    Output,
    asset,
)

from dagweave.slack import SlackResource

MONTHS = MonthlyPartitionsDefinition(start_date="2013-01-01", end_date="2014-01-01")
CHANNEL = "#flights"

# The key says where the table is. dbt calls the same mart `marts/fct_flights`; weaving links them.
FLIGHTS = AssetIn(
    key=["analytics_marts", "fct_flights"], metadata={"partition_expr": "flight_date"}
)


@asset(
    key_prefix="delays",
    group_name="delays",
    kinds={"polars", "duckdb"},
    ins={"flights": FLIGHTS},
    partitions_def=MONTHS,
    backfill_policy=BackfillPolicy.single_run(),
    metadata={"partition_expr": "flight_date"},
)
def daily_delays(flights: pl.DataFrame) -> Output[pl.DataFrame]:
    """How late flights left, by day and airport, with a chart of the months loaded."""
    days = (
        flights.group_by("flight_date", "origin")
        .agg(
            flights=pl.len(),
            cancelled=pl.col("is_cancelled").sum(),
            mean_delay_minutes=pl.col("departure_delay_minutes").mean().round(2),
            late_share=(pl.col("departure_delay_minutes") > 15).mean().round(4),
        )
        .sort("flight_date", "origin")
    )
    return Output(days, metadata={"delays": MarkdownMetadataValue(_chart(days))})


@asset(
    key_prefix="delays",
    group_name="delays",
    kinds={"polars", "duckdb"},
    ins={"daily_delays": AssetIn(key_prefix="delays")},
    partitions_def=MONTHS,
    backfill_policy=BackfillPolicy.single_run(),
    metadata={"partition_expr": "flight_date"},
)
def worst_days(daily_delays: pl.DataFrame, slack: SlackResource) -> pl.DataFrame:
    """The worst day of each month and airport; the worst of all is told to Slack."""
    worst = (
        daily_delays.sort("mean_delay_minutes", descending=True, nulls_last=True)
        .group_by(pl.col("flight_date").dt.truncate("1mo").alias("month"), "origin")
        .first()
        .sort("month", "origin")
    )
    for day in worst.sort("mean_delay_minutes", descending=True).head(1).iter_rows(named=True):
        slack.get_client().chat_postMessage(
            channel=CHANNEL,
            text=f"*{day['flight_date']:%-d %B %Y}* was the worst day to leave {day['origin']}: "
            f"{day['mean_delay_minutes']:.0f} minutes late on average, "
            f"{day['cancelled']} of {day['flights']} flights cancelled.",
        )
    return worst


def _chart(days: pl.DataFrame) -> str:
    """A line by airport, as an image in Markdown: Dagster's UI shows it with the asset."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), dpi=80, layout="constrained")
    axes = figure.subplots()
    for (airport,), of_airport in days.group_by("origin", maintain_order=True):
        axes.plot(of_airport["flight_date"], of_airport["mean_delay_minutes"], lw=1, label=airport)
    axes.set_title("Mean departure delay by day, in minutes")
    axes.legend(frameon=False, ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return f"![delays](data:image/png;base64,{base64.b64encode(image.getvalue()).decode()})"
