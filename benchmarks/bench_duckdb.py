"""Frames in and out of DuckDB: against DuckDB itself, and against the official I/O managers.

Importing Dagster takes longer than reading a million rows. So each script is run twice, once doing
the work once, and once doing it more often; what is compared is the difference. Against the official package both
sides run on the same DuckDB, 1.x, since its Polars manager cannot load on 2.x.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.measure import OFFICIAL, OURS, ROOT, Command, Figures, run

ROWS = 1_000_000
PARTITIONS = 100
ROWS_OF_A_PARTITION = 20_000
OURS_ON_DUCKDB_1 = ROOT / ".venvs" / "duckdb1" / "bin" / "python"

_TABLE = f"""
import duckdb
with duckdb.connect("bench.duckdb") as connection:
    connection.execute("SET enable_progress_bar = false; CREATE SCHEMA shop")
    connection.execute(
        "CREATE TABLE shop.orders AS SELECT i AS id, (i % 1000)::INTEGER AS n, random() AS share, "
        "(i * 0.01)::DECIMAL(12, 2) AS amount, 'customer ' || (i % 50000) AS name, "
        "if(i % 7 = 0, NULL, md5(i::VARCHAR)) AS token, DATE '2026-01-01' + (i % 365)::INTEGER AS day, "
        "TIMESTAMP '2026-01-01' + to_seconds(i) AS moment FROM range({ROWS}) t(i)"
    )
"""

_COMMON = """
import datetime as dt, os, warnings
warnings.simplefilter("ignore")
import dagster as dg, duckdb, pandas as pd, polars as pl, pyarrow as pa

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2027-01-01")
ON_2 = duckdb.__version__ >= "2"

def arrow(connection, sql):
    # What copies nothing differs between the major versions.
    return (connection.sql(sql) if ON_2 else connection.execute(sql)).to_arrow_reader(100_000)

def a_partition(n):
    day = dt.datetime(2026, 1, 1) + dt.timedelta(days=n)
    rows = pl.DataFrame({"id": range(ROWS)}).with_columns(
        day=pl.lit(day), amount=pl.col("id") * 1.5, name="customer " + pl.col("id").cast(pl.String)
    )
    return day.date().isoformat(), rows
""".replace("ROWS", str(ROWS_OF_A_PARTITION))

_MANAGER = """
from {module} import {manager}

config = {{"database": "bench.duckdb", "connection_config": {{}}}}
manager = {manager}(database="bench.duckdb", schema="shop").create_io_manager(
    dg.build_init_resource_context()
)

def output(**more):
    return dg.build_output_context(
        asset_key=["shop", "orders"], name="result", resource_config=config, **more
    )

def load(type_):
    return dg.build_input_context(
        asset_key=["shop", "orders"],
        upstream_output=output(),
        dagster_type=dg.PythonObjectDagsterType(type_),
        resource_config=config,
    )
"""

# A context takes longer to build than a small table to write, so all are built in either run.
_READ = """
context = load({type})
for _ in range(TIMES):
    assert len(manager.load_input(context)) == {rows}
"""
_READ_FLOOR = """
for _ in range(TIMES):
    with duckdb.connect("bench.duckdb", read_only=True) as connection:
        assert len({fetch}) == {rows}
"""
_FRAME = """
with duckdb.connect("bench.duckdb", read_only=True) as connection:
    frame = {make}(arrow(connection, "SELECT * FROM shop.orders"))
os.remove("bench.duckdb")
"""
_WRITE = """
context = output()
for _ in range(TIMES):
    manager.handle_output(context, frame)
    context.consume_logged_metadata()
"""
_WRITE_FLOOR = """
for _ in range(TIMES):
    with duckdb.connect("bench.duckdb") as connection:
        connection.register("rows", {stream})
        connection.execute("BEGIN")
        connection.execute("CREATE SCHEMA IF NOT EXISTS shop")
        connection.execute("CREATE OR REPLACE TABLE shop.orders AS SELECT * FROM rows")
        connection.execute("COMMIT")
"""
_PARTITIONS = """
frames = dict(map(a_partition, range(MOST)))
contexts = [
    output(
        asset_partitions_def=DAYS, partition_key=key, definition_metadata={"partition_expr": "day"}
    )
    for key in frames
]
for context, frame in list(zip(contexts, frames.values()))[:TIMES]:
    manager.handle_output(context, frame)
"""
_PARTITIONS_FLOOR = """
with duckdb.connect("bench.duckdb") as connection:
    connection.execute("CREATE SCHEMA IF NOT EXISTS shop")
    frames = dict(map(a_partition, range(MOST)))
    for key, frame in list(frames.items())[:TIMES]:
        connection.register("rows", pa.RecordBatchReader.from_stream(frame))
        connection.execute("CREATE TABLE IF NOT EXISTS shop.orders AS SELECT * FROM rows LIMIT 0")
        connection.register("rows", pa.RecordBatchReader.from_stream(frame))
        connection.execute("BEGIN")
        connection.execute("DELETE FROM shop.orders WHERE day = ?", [key])
        connection.execute("INSERT INTO shop.orders BY NAME SELECT * FROM rows")
        connection.execute("COMMIT")
"""


@dataclass(frozen=True)
class Work:
    """A script that does something as often as `TIMES` says."""

    label: str
    script: str
    times: int
    python: Path = OURS
    setup: str = ""

    def net(self) -> Figures:
        """The CPU seconds of doing it `times` times, and the peak memory of the whole process."""
        body = f"MOST = {self.times + 1}\n{_COMMON}{self.script}"
        often = Command(self.label, f"TIMES = {self.times + 1}\n{body}", self.python, self.setup)
        busy, once = run(often), run(replace(often, script="TIMES = 1\n" + body))
        return Figures(busy.cpu_s - once.cpu_s, busy.peak_mb)


def compare(title: str, *works: Work, runs: int = 5) -> None:
    """Do all in turn `runs` times; print the medians, and the first as a ratio to each other."""
    rounds = [[work.net() for work in works] for _ in range(runs)]
    print(f"\n{title}  (medians of {runs} rounds)")
    for at, work in enumerate(works):
        cpu_s = statistics.median(figures[at].cpu_s for figures in rounds) / work.times
        peak_mb = statistics.median(figures[at].peak_mb for figures in rounds)
        ratio = statistics.median(figures[0].cpu_s / figures[at].cpu_s for figures in rounds)
        versus = f"   ours is {ratio:.2f} of it" if at else ""
        print(f"  {work.label:<24} {cpu_s:8.3f} CPU s each {peak_mb:8.0f} MB{versus}")


def manager(library: str, *, official: bool) -> str:
    """Make the I/O manager of a library of frames."""
    module = f"dagster_duckdb_{library.lower()}" if official else "dagweave.duckdb"
    return _MANAGER.format(module=module, manager=f"DuckDB{library}IOManager")


def main() -> None:
    """A million rows of eight columns, read and written whole; and a hundred partitions."""
    for library, type_, fetch in (
        ("Polars", "pl.DataFrame", "arrow(connection, 'SELECT * FROM shop.orders').read_all()"),
        ("Pandas", "pd.DataFrame", "connection.execute('SELECT * FROM shop.orders').df()"),
    ):
        read = _READ.format(type=type_, rows=ROWS)
        floor = _READ_FLOOR.format(fetch=fetch, rows=ROWS)
        ours = Work("dagweave", manager(library, official=False) + read, 5, setup=_TABLE)
        compare(
            f"duckdb: read {ROWS:,} rows as {library}, over {'Arrow' if type_[1] == 'l' else '.df()'}",
            ours,
            Work("DuckDB itself", floor, 5, setup=_TABLE),
        )
        compare(
            f"duckdb: read {ROWS:,} rows as {library}, over the official package",
            replace(ours, python=OURS_ON_DUCKDB_1),
            Work("official", manager(library, official=True) + read, 5, OFFICIAL, _TABLE),
        )

    for library, make, stream in (
        ("Polars", "pl.DataFrame", "pa.RecordBatchReader.from_stream(frame)"),
        ("Pandas", "(lambda r: r.read_all().to_pandas())", "pa.Table.from_pandas(frame)"),
    ):
        frame = _FRAME.format(make=make)
        ours = Work("dagweave", frame + manager(library, official=False) + _WRITE, 5, setup=_TABLE)
        compare(
            f"duckdb: write {ROWS:,} rows from {library}, over the atomic floor",
            ours,
            Work("DuckDB itself", frame + _WRITE_FLOOR.format(stream=stream), 5, setup=_TABLE),
        )
        compare(
            f"duckdb: write {ROWS:,} rows from {library}, over the official package",
            replace(ours, python=OURS_ON_DUCKDB_1),
            Work("official", frame + manager(library, official=True) + _WRITE, 5, OFFICIAL, _TABLE),
        )

    partitions = Work(
        "dagweave",
        manager("Polars", official=False) + _PARTITIONS,
        PARTITIONS,
        OURS_ON_DUCKDB_1,
    )
    compare(
        f"duckdb: {PARTITIONS} partitions of {ROWS_OF_A_PARTITION:,} rows, one by one",
        partitions,
        Work("one connection for all", _PARTITIONS_FLOOR, PARTITIONS, OURS_ON_DUCKDB_1),
        Work("official", manager("Polars", official=True) + _PARTITIONS, PARTITIONS, OFFICIAL),
        runs=3,
    )
