"""Tables in and out of DuckDB: against the bare floor in Arrow, and the official I/O managers.

Each script is a whole process. What is common to both sides (importing Dagster, making the frame)
is in both, so a ratio near 1 says that the rest costs little, not that it costs nothing.
"""

from __future__ import annotations

from benchmarks.measure import OFFICIAL, Command, compare

ROWS = 1_000_000

_TABLE = """
import duckdb
connection = duckdb.connect("bench.duckdb")
connection.execute("create schema shop")
connection.execute(
    "create table shop.orders as select i as id, i % 97 as n, i * 1.5 as amount, "
    "'customer ' || (i % 1000) as name, timestamp '2026-01-01' + to_seconds(i) as at, "
    "date '2026-01-01' + (i % 365)::int as day, i % 2 = 0 as paid, 'c' || (i % 9) as country "
    f"from range({rows}) t(i)"
)
connection.close()
""".replace("{rows}", str(ROWS))

_READ = """
import dagster as dg, polars as pl, pandas as pd
from {module} import {manager}

@dg.asset(ins={{"orders": dg.AssetIn(["shop", "orders"])}})
def used(orders: {type}) -> None:
    assert len(orders) == {rows}

result = dg.materialize(
    [used, dg.SourceAsset(["shop", "orders"])],
    resources={{"io_manager": {manager}(database="bench.duckdb")}},
)
assert result.success
"""
_READ_FLOOR = """
import dagster as dg, polars as pl, pandas as pd, duckdb

@dg.asset
def used() -> None:
    with duckdb.connect("bench.duckdb", read_only=True) as connection:
        orders = connection.execute("select * from shop.orders"){fetch}
    assert len(orders) == {rows}

assert dg.materialize([used]).success
"""
_FRAME = """
import dagster as dg, polars as pl, duckdb
orders_frame = pl.select(id=pl.int_range(0, {rows})).with_columns(
    n=pl.col("id") % 97, amount=pl.col("id") * 1.5, name="customer " + (pl.col("id") % 1000).cast(pl.String)
)
"""
_WRITE = (
    _FRAME
    + """
from {module} import {manager}

@dg.asset(key_prefix="shop")
def orders() -> pl.DataFrame:
    return orders_frame

io_manager = {manager}(database="bench.duckdb")
assert dg.materialize([orders], resources={{"io_manager": io_manager}}).success
"""
)
_WRITE_FLOOR = (
    _FRAME
    + """
@dg.asset(key_prefix="shop")
def orders() -> None:
    with duckdb.connect("bench.duckdb") as connection:
        connection.begin()
        connection.execute("create schema if not exists shop")
        connection.execute("create or replace table shop.orders as from orders_frame")
        connection.commit()

assert dg.materialize([orders]).success
"""
)


def main() -> None:
    """A million rows, read and written."""
    for library, type_, fetch in (
        ("Polars", "pl.DataFrame", ".pl()"),
        ("Pandas", "pd.DataFrame", ".df()"),
    ):
        manager = f"DuckDB{library}IOManager"
        official_module = f"dagster_duckdb_{library.lower()}"
        ours = Command(
            f"dagweave, {library}",
            _READ.format(module="dagweave.duckdb", manager=manager, type=type_, rows=ROWS),
            setup=_TABLE,
        )
        floor = Command(
            f"bare DuckDB, {fetch}", _READ_FLOOR.format(fetch=fetch, rows=ROWS), setup=_TABLE
        )
        official = Command(
            f"official, {library}",
            _READ.format(module=official_module, manager=manager, type=type_, rows=ROWS),
            python=OFFICIAL,
            setup=_TABLE,
        )
        compare(f"read {ROWS:,} rows as {library}: over the floor", ours, floor, runs=3)
        compare(
            f"read {ROWS:,} rows as {library}: over the official package", ours, official, runs=3
        )

    ours = Command(
        "dagweave",
        _WRITE.format(module="dagweave.duckdb", manager="DuckDBPolarsIOManager", rows=ROWS),
    )
    official = Command(
        "official",
        _WRITE.format(module="dagster_duckdb_polars", manager="DuckDBPolarsIOManager", rows=ROWS),
        python=OFFICIAL,
    )
    compare(
        f"write {ROWS:,} rows: over the atomic floor",
        ours,
        Command("bare DuckDB", _WRITE_FLOOR.format(rows=ROWS)),
        runs=3,
    )
    compare(f"write {ROWS:,} rows: over the official package", ours, official, runs=3)
