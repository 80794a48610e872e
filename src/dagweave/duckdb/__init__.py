"""DuckDB: tables of a file as assets, and a connection for code of one's own."""

from __future__ import annotations

from dagweave._dagster.private import DbTypeHandler, TablePartitionDimension, TableSlice
from dagweave.duckdb.io_manager import (
    DuckDBIOManager,
    DuckDBPandasIOManager,
    DuckDBPandasTypeHandler,
    DuckDBPolarsIOManager,
    DuckDBPolarsTypeHandler,
    build_duckdb_io_manager,
    duckdb_pandas_io_manager,
    duckdb_polars_io_manager,
)
from dagweave.duckdb.resource import DuckDBResource

__all__ = [
    "DbTypeHandler",
    "DuckDBIOManager",
    "DuckDBPandasIOManager",
    "DuckDBPandasTypeHandler",
    "DuckDBPolarsIOManager",
    "DuckDBPolarsTypeHandler",
    "DuckDBResource",
    "TablePartitionDimension",
    "TableSlice",
    "build_duckdb_io_manager",
    "duckdb_pandas_io_manager",
    "duckdb_polars_io_manager",
]
