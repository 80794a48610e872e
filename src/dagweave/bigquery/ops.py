"""Ops that query BigQuery, load into it, and make and delete datasets.

Each needs the resource `bigquery`. Without `from __future__ import annotations`: Dagster reads the
annotations of ops.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from dagster import In, List, Nothing, OpDefinition, OpExecutionContext, Out, op

from dagweave._dagster.failures import failures
from dagweave._kernel.errors import InvalidInput
from dagweave.bigquery.columns import fields_of, stored
from dagweave.bigquery.connections import retry
from dagweave.bigquery.dialect import BIGQUERY
from dagweave.bigquery.failures import translated
from dagweave.bigquery.jobs import Jobs
from dagweave.bigquery.options import (
    CREATE_CONFIG,
    DELETE_CONFIG,
    LOAD_CONFIG,
    load_config,
    query_config,
    query_schema,
)
from dagweave.bigquery.parquet import list_inference, parquet_of
from dagweave.warehouse.arrow import converted
from dagweave.warehouse.columns import storable
from dagweave.warehouse.frames import PandasFrames, exporter_of

_RESOURCE = {"bigquery"}


def bq_op_for_queries(sql_queries: Sequence[str]) -> OpDefinition:
    """Make an op that runs queries one after the other, and returns their rows as pandas frames.

    It starts after what its input `start` is connected to.

    ```python
    from dagster import job
    from dagweave.bigquery import BigQueryResource, bq_op_for_queries

    counts = bq_op_for_queries(["SELECT COUNT(*) AS orders FROM shop.orders"])

    @job(resource_defs={"bigquery": BigQueryResource(project="my-project")})
    def nightly():
        counts()
    ```

    Args:
        sql_queries: The queries. The config `query_job_config` holds for all of them.

    Raises:
        InvalidInput: It is one text, and no list of them.
    """
    if isinstance(sql_queries, str):
        raise InvalidInput(
            "bq_op_for_queries was given a text and no list of them.",
            remedy="Write bq_op_for_queries([...]).",
        )
    queries = list(sql_queries)
    digest = hashlib.sha1("".join(queries).encode(), usedforsecurity=False).hexdigest()

    @op(
        name=f"bq_op_{digest[:10]}",
        ins={"start": In(Nothing)},
        config_schema=query_schema(),
        required_resource_keys=_RESOURCE,
        tags={"kind": "sql", "sql": "\n".join(queries)},
    )
    def bq_op(context: OpExecutionContext) -> Any:
        client = context.resources.bigquery
        results: list[Any] = []
        with failures(), translated("A query of BigQuery failed."):
            for sql in queries:
                context.log.info("Executing query: %s", sql)
                config = query_config(context.op_config.get("query_job_config", {}))

                def begin(name: str, sql: str = sql, config: Any = config) -> Any:
                    return client.query(
                        sql, job_config=config, job_id=name, retry=None, job_retry=None
                    )

                rows = _jobs(context).done(begin).result()
                table = rows.to_arrow(create_bqstorage_client=False)
                results.append(PandasFrames().from_stream(table.to_reader()))
        return results

    return bq_op


def _load(context: OpExecutionContext, what: str, load: Callable[..., Any]) -> None:
    destination = context.op_config["destination"]
    context.log.info("Loading %s into %s", what, destination)
    with failures(), translated(f"{what} was not loaded into {destination}."):
        config = load_config(context.op_config.get("load_job_config", {}))
        client = context.resources.bigquery

        def begin(name: str) -> Any:
            return load(client, destination, job_id=name, job_config=config)

        done = _jobs(context).done(begin)
        context.log.info("Loaded %s rows by job %s", done.output_rows, done.job_id)


def _jobs(context: OpExecutionContext) -> Jobs:
    return Jobs(context.resources.bigquery)


def _gcs_paths(context: OpExecutionContext, paths: list[str]) -> None:
    def load(client: Any, destination: str, **how: Any) -> Any:
        return client.load_table_from_uri(paths, destination, **how)

    _load(context, f"{len(paths)} paths", load)


def _frame(context: OpExecutionContext, df: Any) -> None:
    with failures():
        kind = cast("type[Any]", type(df))
        exporter = exporter_of(kind)
        if exporter is None:
            raise InvalidInput(f"import_df_to_bq was given no frame, but {kind}.")
        stream = exporter.to_stream(df)
        stream = converted(stream, storable(stream.schema, (), BIGQUERY.fold))
        columns = stored(stream.schema)
        with parquet_of(stream, columns) as file:

            def load(client: Any, destination: str, job_config: Any, **how: Any) -> Any:
                job_config.source_format = "PARQUET"
                job_config.parquet_options = list_inference()
                job_config.schema = job_config.schema or fields_of(columns, {}, {})
                return client.load_table_from_file(
                    file, destination, rewind=True, job_config=job_config, **how
                )

            _load(context, "A frame", load)


def _file(context: OpExecutionContext, path: str) -> None:
    def load(client: Any, destination: str, **how: Any) -> Any:
        with Path(path).open("rb") as file:
            return client.load_table_from_file(file, destination, **how)

    with failures():
        if not Path(path).is_file():
            raise InvalidInput(f"There is no file {path} to load into BigQuery.")
    _load(context, path, load)


def _create(context: OpExecutionContext) -> None:
    config = context.op_config
    with failures(), translated(f"The dataset {config['dataset']} was not made."):
        context.resources.bigquery.create_dataset(
            config["dataset"], exists_ok=config.get("exists_ok", False), retry=retry()
        )


def _delete(context: OpExecutionContext) -> None:
    config = context.op_config
    with failures(), translated(f"The dataset {config['dataset']} was not deleted."):
        context.resources.bigquery.delete_dataset(
            config["dataset"],
            delete_contents=config.get("delete_contents", False),
            not_found_ok=config.get("not_found_ok", False),
            retry=retry(),
        )


def _made(name: str, work: Callable[..., None], what: str, **how: Any) -> OpDefinition:
    """An op. What it does is said here: Dagster would read a docstring at length for its inputs."""
    made = op(name=name, description=what, required_resource_keys=_RESOURCE, **how)(work)
    made.__doc__ = what
    return made


import_gcs_paths_to_bq = _made(
    "import_gcs_paths_to_bq",
    _gcs_paths,
    "Load files of Cloud Storage, `gs://bucket/*.parquet`, into a table.",
    ins={"paths": In(List[str])},
    out=Out(Nothing),
    config_schema=LOAD_CONFIG,
)
import_df_to_bq = _made(
    "import_df_to_bq",
    _frame,
    "Load a frame into a table: of pandas, Polars or Arrow.",
    ins={"df": In()},
    out=Out(Nothing),
    config_schema=LOAD_CONFIG,
)
import_file_to_bq = _made(
    "import_file_to_bq",
    _file,
    "Load a file of this machine into a table.",
    ins={"path": In(str)},
    out=Out(Nothing),
    config_schema=LOAD_CONFIG,
)
bq_create_dataset = _made(
    "bq_create_dataset",
    _create,
    "Make a dataset.",
    ins={"start": In(Nothing)},
    config_schema=CREATE_CONFIG,
)
bq_delete_dataset = _made(
    "bq_delete_dataset",
    _delete,
    "Delete a dataset.",
    ins={"start": In(Nothing)},
    config_schema=DELETE_CONFIG,
)
