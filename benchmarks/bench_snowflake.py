"""Statements and logins of a store and a load in Snowflake: ours and the official I/O manager's.

Both speak to the same emulator through a server that counts. Times of an emulator would say nothing
of Snowflake, where a statement costs tenths of a second and a login seconds. The emulator does not
take the official package's PUT: its stores are counted up to there, and would take several more.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.measure import OFFICIAL, OURS, ROOT

sys.path.insert(0, str(ROOT / "tests"))

_SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
import dagster as dg, pandas as pd
from {module} import SnowflakePandasIOManager

host, port, database, *wanted = sys.argv[1:]
DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")

@dg.asset
def whole() -> pd.DataFrame:
    return pd.DataFrame({{"id": range(1000)}})

@dg.asset
def reads(whole: pd.DataFrame) -> None:
    assert len(whole) == 1000

@dg.asset(partitions_def=DAYS, metadata={{"partition_expr": "day"}})
def part(context) -> pd.DataFrame:
    return pd.DataFrame({{"day": [context.partition_key] * 1000, "id": range(1000)}})

@dg.asset(partitions_def=DAYS)
def reads_part(part: pd.DataFrame) -> None:
    assert len(part) == 1000

@dg.asset
def reads_again(whole: pd.DataFrame) -> None:
    assert len(whole) == 1000

io_manager = SnowflakePandasIOManager(
    account="acme-bench", user="loader", password="secret", database=database, schema="SHOP",
    additional_snowflake_connection_args=dict(
        host=host, port=int(port), protocol="http", network_timeout=1
    ),
)
dg.materialize(
    [whole, reads, reads_again, part, reads_part],
    selection=wanted,
    resources={{"io_manager": io_manager}},
    partition_key="2026-01-05" if any("part" in each for each in wanted) else None,
)
"""

_MODULES = {
    "dagweave": (OURS, "dagweave.snowflake"),
    "official": (OFFICIAL, "dagster_snowflake_pandas"),
}
_STORES = {
    "store a table (first time)": ["whole"],
    "store a table": ["whole"],
    "store a partition (first time)": ["part"],
    "store a partition": ["part"],
}
_LOADS = {
    "load a table": ["reads"],
    "load a partition": ["reads_part"],
    "load a table twice": ["reads", "reads_again"],
}


@contextmanager
def _counting() -> Iterator[Any]:
    from emulators import running
    from snowflake_proxy import between

    with running("snowflake") as at, between(at) as told:
        yield told


def _done(told: Any, who: str, wanted: list[str], database: str) -> str:
    """Do some work in a new process; return what it took."""
    python, module = _MODULES[who]
    host, port = told.url.removeprefix("http://").split(":")
    logins, statements = told.logins, len(told.statements)
    arguments = [host, port, database, *wanted]
    done = subprocess.run(
        [python, "-c", _SCRIPT.format(module=module), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    ran = told.statements[statements:]
    # The emulator has the connector ask twice where to put a file.
    puts = sum(each.startswith("PUT") for each in ran)
    count = len(ran) - puts // 2
    failed = "" if done.returncode == 0 else f"  (stopped: {done.stderr.strip().splitlines()[-1]})"
    return f"{count:3} statements, {told.logins - logins} logins{failed}"


def main() -> None:
    """Print what each takes."""
    with _counting() as told:
        for what, wanted in _STORES.items():
            print(f"\n{what}")
            for who in _MODULES:
                print(f"  {who}: {_done(told, who, wanted, 'STORED')}")
        # The official one empties a table before it fails.
        for wanted in ("whole", "part"):
            _done(told, "dagweave", [wanted], "LOADED")
        for what, wanted in _LOADS.items():
            print(f"\n{what}")
            for who in _MODULES:
                print(f"  {who}: {_done(told, who, wanted, 'LOADED')}")


if __name__ == "__main__":
    main()
