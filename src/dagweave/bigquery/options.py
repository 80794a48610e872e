"""What the operations can be configured with: the options of jobs, in the words of Google's client.

https://cloud.google.com/python/docs/reference/bigquery/latest/google.cloud.bigquery.job.QueryJobConfig
https://cloud.google.com/python/docs/reference/bigquery/latest/google.cloud.bigquery.job.LoadJobConfig
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from dagster import Enum, EnumValue, Field, Permissive, StringSource

from dagweave.bigquery.connections import bigquery_module

if TYPE_CHECKING:
    from collections.abc import Mapping


def _one_of(name: str, *values: str) -> Enum:
    return Enum(name, [EnumValue(each) for each in values])


_SHARED: Final[dict[str, Any]] = {
    "clustering_fields": [str],
    "create_disposition": _one_of("BQCreateDisposition", "CREATE_IF_NEEDED", "CREATE_NEVER"),
    "destination_encryption_configuration": StringSource,
    "schema_update_options": [
        _one_of("BQSchemaUpdateOption", "ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION")
    ],
    "time_partitioning": {
        "expiration_ms": Field(int, is_required=False),
        "field": Field(StringSource, is_required=False),
        "require_partition_filter": Field(bool, is_required=False),
        "type_": Field(StringSource, is_required=False),
    },
    "write_disposition": _one_of(
        "BQWriteDisposition", "WRITE_APPEND", "WRITE_EMPTY", "WRITE_TRUNCATE"
    ),
    "labels": Permissive(),
}
_LOAD: Final[dict[str, Any]] = {
    **_SHARED,
    "allow_jagged_rows": bool,
    "allow_quoted_newlines": bool,
    "autodetect": bool,
    "destination_table_description": StringSource,
    "destination_table_friendly_name": StringSource,
    "encoding": _one_of("BQEncoding", "ISO-8859-1", "UTF-8"),
    "field_delimiter": StringSource,
    "ignore_unknown_values": bool,
    "max_bad_records": int,
    "null_marker": StringSource,
    "quote_character": StringSource,
    "schema": [Permissive()],
    "skip_leading_rows": int,
    "source_format": _one_of(
        "BQSourceFormat",
        "AVRO",
        "CSV",
        "DATASTORE_BACKUP",
        "NEWLINE_DELIMITED_JSON",
        "ORC",
        "PARQUET",
    ),
    "use_avro_logical_types": bool,
}


def _optional(known: Mapping[str, Any]) -> dict[str, Field]:
    return {name: Field(type_, is_required=False) for name, type_ in known.items()}


LOAD_CONFIG: Final = Field(
    {
        "destination": Field(
            StringSource,
            description="The table: `project.dataset.table` or `dataset.table`, with `$20260105` for a "
            "partition of it.",
        ),
        "load_job_config": Field(_optional(_LOAD), is_required=False),
    }
)
CREATE_CONFIG: Final = {
    "dataset": Field(StringSource, description="The dataset: `project.dataset` or `dataset`."),
    "exists_ok": Field(
        bool,
        is_required=False,
        description="Whether it may be there already. By default it may not.",
    ),
}
DELETE_CONFIG: Final = {
    "dataset": Field(StringSource, description="The dataset: `project.dataset` or `dataset`."),
    "delete_contents": Field(
        bool,
        is_required=False,
        description="Whether its tables go with it. By default, a dataset that has any is refused.",
    ),
    "not_found_ok": Field(
        bool, is_required=False, description="Whether it may be missing. By default it may not."
    ),
}


@cache
def query_schema() -> dict[str, Field]:
    """What an op that queries can be configured with."""
    known = {
        **_SHARED,
        "allow_large_results": bool,
        "default_dataset": StringSource,
        "destination": StringSource,
        "dry_run": bool,
        "flatten_results": bool,
        "maximum_billing_tier": int,
        "maximum_bytes_billed": int,
        "priority": _one_of("BQPriority", "BATCH", "INTERACTIVE"),
        "query_parameters": [str],
        "use_legacy_sql": bool,
        "use_query_cache": bool,
    }
    return {"query_job_config": Field(_optional(known), is_required=False)}


def query_config(given: Mapping[str, Any]) -> Any:
    """The configuration of a query."""
    bigquery = bigquery_module("A query")
    options = _prepared(given)
    if values := options.pop("query_parameters", None):
        options["query_parameters"] = [
            bigquery.ScalarQueryParameter(None, "STRING", value) for value in values
        ]
    return bigquery.QueryJobConfig(**options)


def load_config(given: Mapping[str, Any]) -> Any:
    """The configuration of a load job."""
    return bigquery_module("A load job").LoadJobConfig(**_prepared(given))


def _prepared(given: Mapping[str, Any]) -> dict[str, Any]:
    bigquery = bigquery_module("A job")
    options = dict(given)
    if key := options.pop("destination_encryption_configuration", None):
        options["destination_encryption_configuration"] = bigquery.EncryptionConfiguration(
            kms_key_name=key
        )
    if partitioning := options.pop("time_partitioning", None):
        options["time_partitioning"] = bigquery.TimePartitioning(**partitioning)
    return options
