"""Turn what dlt reports about a load into metadata and events, one per resource."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from dagster import (
    AssetKey,
    AssetMaterialization,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
)

from dagweave._dagster.metadata import (
    COLUMN_SCHEMA,
    PARTITION_ROW_COUNT,
    ROW_COUNT,
    STORAGE_KIND,
)
from dagweave._kernel.errors import DagweaveError
from dagweave.dlt.errors import dlt_errors
from dagweave.dlt.schema_check import schema_checked
from dagweave.dlt.source import Dataset, duckdb_file, storage_kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from dagster import AssetExecutionContext, OpExecutionContext
    from dlt import Pipeline, Schema
    from dlt.destinations.sql_client import SqlClientBase
    from dlt.extract import DltResource

    from dagweave.dlt.run import Load

DltEventType: TypeAlias = AssetMaterialization | MaterializeResult[Any]

_OF_THE_RUN = (
    "first_run",
    "started_at",
    "finished_at",
    "dataset_name",
    "destination_name",
    "destination_type",
)
# https://dlthub.com/docs/general-usage/schema#tables-and-columns
_HINTS = frozenset(
    {"cluster", "dedup_sort", "hard_delete", "merge_key", "partition", "primary_key", "root_key",
     "row_key", "parent_key", "sort"}
)  # fmt: skip

_Table: TypeAlias = "Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class LoadedTables:
    """What a load did for one resource.

    `rows` is the number of rows loaded, without those of nested tables; `None` if dlt did not
    count (its runtime trace is off). `tables` are the resource's own, nested ones left out.
    """

    tables: Sequence[str]
    rows: int | None
    metadata: Mapping[str, Any]
    changes: Mapping[str, Sequence[str]]
    """By table that was there before, nested ones included: columns that came or changed."""


class LoadReport:
    """What dlt reports about one run of a pipeline, read once for all its resources."""

    def __init__(self, pipeline: Pipeline, source_name: str, load: Load) -> None:
        self.pipeline = pipeline
        self.schema: Schema = pipeline.schemas[source_name]
        self.tables = cast("Mapping[str, _Table]", self.schema.tables)
        self._rows = load.rows
        facts = load.info.asdict() if load.info else {}
        # Where nothing was loaded, dlt names no dataset and no times.
        known = {"dataset_name": pipeline.dataset_name} | {
            key: value for key, value in facts.items() if value is not None
        }
        self._of_the_run = {
            key: _plain(known[key]) for key in _OF_THE_RUN if known.get(key) is not None
        }
        self._changes = _changes(load)
        self._jobs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._load_ids: dict[str, str] = {}
        for package in facts.get("load_packages", ()):
            self._load_ids[package["schema_name"]] = package["load_id"]
            for job in package["jobs"]:
                # Its file is gone when this is read.
                shown = {key: _plain(value) for key, value in job.items() if key != "file_path"}
                self._jobs[job["table_name"]].append(shown)
        self._dataset = _dataset(pipeline, self.schema)

    def of(self, resource: DltResource) -> LoadedTables:
        """What was loaded for `resource`."""
        return self._of(self._tables_of(resource))

    def of_nested(self, table: str) -> LoadedTables:
        """What was loaded into a nested table."""
        return self._of([self.schema.naming.normalize_tables_path(table)])

    def _of(self, tables: Sequence[str]) -> LoadedTables:
        rows = None if self._rows is None else sum(self._rows.get(table, 0) for table in tables)
        return LoadedTables(tables, rows, self._metadata(tables, rows), self._changed(tables))

    def _changed(self, tables: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """What changed in these tables and those nested in them, unless they are new as a whole."""
        return {
            name: self._changes[name]
            for table in tables
            if not set(self.tables.get(table, {}).get("columns", ()))
            <= set(self._changes.get(table, ()))
            for name in self._with_nested([table])
            if name in self._changes
        }

    def _tables_of(self, resource: DltResource) -> list[str]:
        """The table that a resource names, and those that got rows by way of its data."""
        tables: list[str] = []
        if not resource.has_dynamic_table_name:
            tables.append(self.schema.naming.normalize_tables_path(str(resource.table_name)))
        for name, table in self.tables.items():
            loaded = self._rows is None or bool(self._rows.get(name))
            if table.get("resource") == resource.name and loaded and name not in tables:
                tables.append(name)
        return tables

    def _metadata(self, tables: Sequence[str], rows: int | None) -> Mapping[str, Any]:
        metadata: dict[str, Any] = {}
        for name in self._with_nested(tables):
            if len(tables) > 1 or name not in tables:
                metadata[name] = _table_schema(self.tables[name])
        metadata |= self._of_the_run
        metadata["schema_version"] = self.schema.version
        metadata["jobs"] = [job for table in tables for job in self._jobs.get(table, ())]
        if load_id := self._load_ids.get(self.schema.name):
            metadata["load_id"] = load_id
        if rows is not None:
            metadata["rows_loaded"] = MetadataValue.int(rows)
        if kind := storage_kind(self.pipeline.destination):
            metadata[STORAGE_KIND] = kind
        if len(tables) == 1:
            if self._dataset:
                metadata |= self._dataset.table(tables[0]).to_metadata()
            if self._has_columns(tables[0]):
                metadata[COLUMN_SCHEMA] = _table_schema(self.tables[tables[0]])
        return metadata

    def _with_nested(self, tables: Sequence[str]) -> Iterator[str]:
        """The tables that have columns, each followed by those nested in it."""
        from dlt.common.schema.utils import get_nested_tables

        for table in tables:
            for nested in get_nested_tables(self.schema.tables, table):
                name = nested.get("name")
                if name and self._has_columns(name):
                    yield name

    def _has_columns(self, table: str) -> bool:
        return bool(self.tables.get(table, {}).get("columns"))


@dataclass(frozen=True, slots=True)
class LoadedAsset:
    """An asset whose resource was loaded, and what there is to say about it."""

    key: AssetKey
    report: LoadReport
    loaded: LoadedTables
    metadata: Mapping[str, Any]
    is_checked: bool = False
    """Whether the check of its schema is to be reported, too."""


class DltEventIterator(Iterator[DltEventType]):
    """The events of a run, which starts when the first one is asked for.

    `MaterializeResult` where assets are materialized, `AssetMaterialization` in an op.
    """

    def __init__(
        self, assets: Iterator[LoadedAsset], context: AssetExecutionContext | OpExecutionContext
    ) -> None:
        self._assets = assets
        self._context = context

    def __next__(self) -> DltEventType:
        """The event of the next resource."""
        asset = next(self._assets)
        if self._context.has_assets_def:
            version = asset.report.schema.version
            checks = (
                [schema_checked(asset.key, asset.loaded.changes, version)]
                if asset.is_checked
                else None
            )
            return MaterializeResult(
                asset_key=asset.key, metadata=asset.metadata, check_results=checks
            )
        return AssetMaterialization(asset_key=asset.key, metadata=asset.metadata)

    def fetch_row_count(self) -> DltEventIterator:
        """Add to each event how many rows the table has: `dagster/row_count`.

        For one partition it is `dagster/partition_row_count`, the number of rows loaded, and the
        destination is not asked. A query that fails is logged, and its event goes without.
        """
        return DltEventIterator(self._counted(), self._context)

    def _counted(self) -> Iterator[LoadedAsset]:
        with ExitStack() as connection:
            count = _Counter(connection)
            for asset in self._assets:
                if self._context.has_partition_key:
                    key, rows = PARTITION_ROW_COUNT, asset.loaded.rows
                else:
                    key, rows = ROW_COUNT, self._in_destination(asset, count)
                counted = {} if rows is None else {key: MetadataValue.int(rows)}
                yield replace(asset, metadata={**asset.metadata, **counted})

    def _in_destination(self, asset: LoadedAsset, count: _Counter) -> int | None:
        try:
            return count(asset)
        except DagweaveError as error:
            self._context.log.warning("The rows were not counted. %s", error)
            return None


class _Counter:
    """Counts the rows of assets, all over one connection, opened for the first."""

    def __init__(self, connection: ExitStack) -> None:
        self._connection = connection
        self._client: SqlClientBase[Any] | None = None

    def __call__(self, asset: LoadedAsset) -> int:
        report = asset.report
        # A table that never got a row was never made.
        made = set(report.schema.data_table_names(seen_data_only=True))
        with dlt_errors(report.pipeline):
            client = self._client
            if client is None:
                opened = report.pipeline.sql_client(report.schema.name)
                self._client = client = self._connection.enter_context(
                    cast("AbstractContextManager[SqlClientBase[Any]]", opened)
                )
            return sum(_row_count(client, table) for table in asset.loaded.tables if table in made)


def _row_count(client: SqlClientBase[Any], table: str) -> int:
    name = client.make_qualified_table_name(table)
    rows = client.execute_sql(f"SELECT count(*) FROM {name}")  # noqa: S608 -- dlt has quoted it
    return int(rows[0][0]) if rows else 0


def _changes(load: Load) -> Mapping[str, Sequence[str]]:
    """By table, the columns that the destination did not have before."""
    packages = load.info.load_packages if load.info else ()
    return {
        table: list(update.get("columns", ()))
        for package in packages
        for table, update in package.schema_update.items()
    }


def _dataset(pipeline: Pipeline, schema: Schema) -> Dataset | None:
    """Where the run wrote, with the database now that the credentials are resolved."""
    from dlt.common.destination.client import DestinationClientDwhConfiguration
    from dlt.destinations.job_client_impl import SqlJobClientBase

    client = pipeline.destination_client(schema.name)
    if not isinstance(client.config, DestinationClientDwhConfiguration):
        return None
    name = client.config.normalize_dataset_name(schema)
    database = (
        client.sql_client.catalog_name(quote=False)
        if isinstance(client, SqlJobClientBase)
        else None
    )
    if not name:
        return None
    file = duckdb_file(client.config)
    return Dataset.of(name, pipeline.destination, client.capabilities, file, database)


def _table_schema(table: _Table) -> TableSchema:
    return TableSchema(
        columns=[
            TableColumn(
                name=column["name"],
                type=column.get("data_type") or "text",
                description=column.get("description"),
                constraints=TableColumnConstraints(
                    nullable=column.get("nullable", True),
                    unique=column.get("unique", False),
                    other=[hint for hint in column if hint in _HINTS and column[hint]],
                ),
            )
            for column in table["columns"].values()
        ]
    )


def _plain(value: object) -> str | float | bool | None:
    """The value as JSON has it: a time, say, as text."""
    return value if isinstance(value, str | int | float | bool | None) else str(value)
