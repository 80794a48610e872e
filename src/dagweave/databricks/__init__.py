"""Databricks: tables of Unity Catalog as assets, runs of jobs, code on its compute, a client."""

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
from dagweave.databricks.job_runner import DatabricksJobRunner
from dagweave.databricks.legacy import databricks_client
from dagweave.databricks.ops import create_databricks_run_now_op, create_databricks_submit_run_op
from dagweave.databricks.pipes import PipesDatabricksClient, PipesDatabricksServerlessClient
from dagweave.databricks.pipes_dbfs import (
    PipesDbfsContextInjector,
    PipesDbfsLogReader,
    PipesDbfsMessageReader,
)
from dagweave.databricks.pipes_volumes import (
    PipesUnityCatalogVolumesContextInjector,
    PipesUnityCatalogVolumesMessageReader,
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
    "DatabricksJobRunner",
    "DatabricksPandasIOManager",
    "DatabricksPandasTypeHandler",
    "DatabricksPolarsIOManager",
    "DatabricksPolarsTypeHandler",
    "DbTypeHandler",
    "OauthCredentials",
    "PipesDatabricksClient",
    "PipesDatabricksServerlessClient",
    "PipesDbfsContextInjector",
    "PipesDbfsLogReader",
    "PipesDbfsMessageReader",
    "PipesUnityCatalogVolumesContextInjector",
    "PipesUnityCatalogVolumesMessageReader",
    "TablePartitionDimension",
    "TableSlice",
    "build_databricks_io_manager",
    "create_databricks_run_now_op",
    "create_databricks_submit_run_op",
    "databricks_client",
]
