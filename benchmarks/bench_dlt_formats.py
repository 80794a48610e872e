"""How rows get into DuckDB through dlt: as INSERTs, through parquet, as Arrow. Bare dlt."""

from __future__ import annotations

from benchmarks.measure import Command, compare

_LOAD = """
import dlt
import pyarrow as pa

ROWS = 100_000
made = [{{"id": i, "name": f"customer {{i}}", "amount": i * 1.5, "paid": i % 2 == 0}} for i in range(ROWS)]

@dlt.resource(name="orders", write_disposition="replace")
def orders():
    yield {data}

pipeline = dlt.pipeline("formats", destination=dlt.destinations.duckdb("f.duckdb"), dataset_name="raw")
pipeline.run(orders(), {options}).raise_on_failed_jobs()
"""


def main() -> None:
    """The same 100,000 rows three ways; the ratios are over INSERTs."""
    rows = Command("rows, as INSERTs", _LOAD.format(data="made", options=""))
    parquet = Command(
        "rows, through parquet", _LOAD.format(data="made", options='loader_file_format="parquet"')
    )
    arrow = Command("Arrow", _LOAD.format(data="pa.Table.from_pylist(made)", options=""))
    compare("dlt into DuckDB: parquet over INSERTs", parquet, rows, runs=2)
    compare("dlt into DuckDB: Arrow over INSERTs", arrow, rows, runs=2)
