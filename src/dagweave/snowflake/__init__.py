"""Snowflake: a connection for code of one's own, and for components that execute SQL."""

from __future__ import annotations

from dagweave.snowflake.component import SnowflakeConnectionComponent
from dagweave.snowflake.connection import SnowflakeConnection
from dagweave.snowflake.freshness import fetch_last_updated_timestamps
from dagweave.snowflake.legacy import snowflake_resource
from dagweave.snowflake.ops import snowflake_op_for_query
from dagweave.snowflake.resource import SnowflakeResource

__all__ = [
    "SnowflakeConnection",
    "SnowflakeConnectionComponent",
    "SnowflakeResource",
    "fetch_last_updated_timestamps",
    "snowflake_op_for_query",
    "snowflake_resource",
]
