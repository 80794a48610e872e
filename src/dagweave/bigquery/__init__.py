"""BigQuery: tables of a project as assets, and a client for code of one's own."""

from __future__ import annotations

from dagweave._dagster.private import DbTypeHandler, TablePartitionDimension, TableSlice
from dagweave.bigquery.component import BigQueryResourceComponent
from dagweave.bigquery.failures import BigQueryError
from dagweave.bigquery.freshness import fetch_last_updated_timestamps
from dagweave.bigquery.io_manager import (
    BigQueryArrowIOManager,
    BigQueryArrowTypeHandler,
    BigQueryIOManager,
    BigQueryPandasIOManager,
    BigQueryPandasTypeHandler,
    BigQueryPolarsIOManager,
    BigQueryPolarsTypeHandler,
    bigquery_pandas_io_manager,
    build_bigquery_io_manager,
)
from dagweave.bigquery.legacy import bigquery_resource
from dagweave.bigquery.ops import (
    bq_create_dataset,
    bq_delete_dataset,
    bq_op_for_queries,
    import_df_to_bq,
    import_file_to_bq,
    import_gcs_paths_to_bq,
)
from dagweave.bigquery.resource import BigQueryResource

__all__ = [
    "BigQueryArrowIOManager",
    "BigQueryArrowTypeHandler",
    "BigQueryError",
    "BigQueryIOManager",
    "BigQueryPandasIOManager",
    "BigQueryPandasTypeHandler",
    "BigQueryPolarsIOManager",
    "BigQueryPolarsTypeHandler",
    "BigQueryResource",
    "BigQueryResourceComponent",
    "DbTypeHandler",
    "TablePartitionDimension",
    "TableSlice",
    "bigquery_pandas_io_manager",
    "bigquery_resource",
    "bq_create_dataset",
    "bq_delete_dataset",
    "bq_op_for_queries",
    "build_bigquery_io_manager",
    "fetch_last_updated_timestamps",
    "import_df_to_bq",
    "import_file_to_bq",
    "import_gcs_paths_to_bq",
]
