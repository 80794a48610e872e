"""Databricks: tables of Unity Catalog as assets, and a client for code of one's own."""

from __future__ import annotations

from dagweave._dagster.private import DbTypeHandler, TablePartitionDimension, TableSlice
from dagweave.databricks.client import DatabricksClient, DatabricksError
from dagweave.databricks.io_manager import (
    DatabricksArrowIOManager,
    DatabricksArrowTypeHandler,
    DatabricksIOManager,
    DatabricksPandasIOManager,
    DatabricksPandasTypeHandler,
    DatabricksPolarsIOManager,
    DatabricksPolarsTypeHandler,
    build_databricks_io_manager,
)
from dagweave.databricks.resource import (
    AzureServicePrincipalCredentials,
    DatabricksClientResource,
    OauthCredentials,
)

__all__ = [
    "AzureServicePrincipalCredentials",
    "DatabricksArrowIOManager",
    "DatabricksArrowTypeHandler",
    "DatabricksClient",
    "DatabricksClientResource",
    "DatabricksError",
    "DatabricksIOManager",
    "DatabricksPandasIOManager",
    "DatabricksPandasTypeHandler",
    "DatabricksPolarsIOManager",
    "DatabricksPolarsTypeHandler",
    "DbTypeHandler",
    "OauthCredentials",
    "TablePartitionDimension",
    "TableSlice",
    "build_databricks_io_manager",
]
