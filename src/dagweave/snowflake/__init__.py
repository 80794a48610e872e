"""Snowflake: tables as assets, and a connection for code of one's own and for components."""

from __future__ import annotations

from dagweave._dagster.private import DbTypeHandler, TablePartitionDimension, TableSlice
from dagweave.snowflake.component import SnowflakeConnectionComponent
from dagweave.snowflake.connection import SnowflakeConnection
from dagweave.snowflake.freshness import fetch_last_updated_timestamps
from dagweave.snowflake.io_manager import (
    SnowflakeArrowIOManager,
    SnowflakeArrowTypeHandler,
    SnowflakeIOManager,
    SnowflakePandasIOManager,
    SnowflakePandasTypeHandler,
    SnowflakePolarsIOManager,
    SnowflakePolarsTypeHandler,
    build_snowflake_io_manager,
    snowflake_pandas_io_manager,
    snowflake_polars_io_manager,
)
from dagweave.snowflake.legacy import snowflake_resource
from dagweave.snowflake.ops import snowflake_op_for_query
from dagweave.snowflake.resource import SnowflakeResource

__all__ = [
    "DbTypeHandler",
    "SnowflakeArrowIOManager",
    "SnowflakeArrowTypeHandler",
    "SnowflakeConnection",
    "SnowflakeConnectionComponent",
    "SnowflakeIOManager",
    "SnowflakePandasIOManager",
    "SnowflakePandasTypeHandler",
    "SnowflakePolarsIOManager",
    "SnowflakePolarsTypeHandler",
    "SnowflakeResource",
    "TablePartitionDimension",
    "TableSlice",
    "build_snowflake_io_manager",
    "fetch_last_updated_timestamps",
    "snowflake_op_for_query",
    "snowflake_pandas_io_manager",
    "snowflake_polars_io_manager",
    "snowflake_resource",
]
