"""BigQuery as an engine of the warehouse family: what it does in its own way."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import InvalidInput
from dagweave.bigquery.columns import arrow_of, column_of, fields_of, stored
from dagweave.bigquery.connections import Connection, bigquery_module, retry
from dagweave.bigquery.dialect import BIGQUERY, ODD_NAMES
from dagweave.bigquery.failures import is_missing, is_refused, ours
from dagweave.bigquery.jobs import Jobs, console_url
from dagweave.bigquery.parquet import NULLS_IN_LISTS, list_inference, parquet_of
from dagweave.warehouse.arrow import pyarrow
from dagweave.warehouse.capabilities import all_but, never
from dagweave.warehouse.engine import Merged, Staged, Told
from dagweave.warehouse.sql import Sql, Value
from dagweave.warehouse.statements import BOOK
from dagweave.warehouse.writing import ZONE_NOTE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from google.cloud.bigquery import SchemaField

    from dagweave.warehouse.arrow import Schema, Stream
    from dagweave.warehouse.capabilities import Capabilities
    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.slices import Slice
    from dagweave.warehouse.sql import Dialect
    from dagweave.weaving.table_ref import TableRef

CAPABILITIES: Final = all_but(
    NULLS_IN_LISTS=never(NULLS_IN_LISTS),
    ODD_NAMES=never(ODD_NAMES),
)

STAGE: Final = "dagweave_stage_"
# What a writer that was killed leaves behind is gone by then.
_STAGE_LIFE: Final = dt.timedelta(days=1)
_DDL: Final = ("CREATE", "ALTER", "DROP")


@dataclass(eq=False, slots=True)
class _Batch:
    """Statements that are sent when the batch ends: those that change rows as one transaction."""

    engine: BigQueryEngine
    told: Told = field(default_factory=Told)
    statements: list[Sql] = field(default_factory=list[Sql])

    def run(self, statement: Sql) -> int:
        self.statements.append(statement)
        self.told.rows.append(None)
        return len(self.statements) - 1

    def send(self) -> None:
        numbered = list(enumerate(self.statements))
        # No transaction takes a statement that defines a table: those that there are come first.
        for place, statement in numbered:
            if _is_ddl(statement):
                self._note(place, self.engine.run(statement))
        some = [each for each in numbered if not _is_ddl(each[1])]
        if len(some) > 1:
            self._tell(self.engine.run(_transaction([statement for _, statement in some])))
        else:
            for place, statement in some:
                self._note(place, self.engine.run(statement))

    def _note(self, place: int, job: Any) -> None:
        self._tell(job)
        stats = job.dml_stats
        if stats is not None:
            changed = (stats.inserted_row_count, stats.updated_row_count, stats.deleted_row_count)
            self.told.merged[place] = merged = Merged(*changed)
            self.told.rows[place] = merged.inserted

    def _tell(self, job: Any) -> None:
        self.told.query_ids.append(job.job_id)
        self.told.url = console_url(job)


@dataclass(frozen=True, slots=True)
class BigQueryEngine:
    """A client of BigQuery, for one thread's reading or writing."""

    clients: Connection
    jobs: Jobs
    _state: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def connection(self) -> Any:
        """Google's client."""
        return self.clients.client

    @property
    def dialect(self) -> Dialect:
        """BigQuery's SQL."""
        return BIGQUERY

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return CAPABILITIES

    @contextmanager
    def batch(self) -> Generator[_Batch]:
        """Statements that are sent when the context ends, and not if it fails."""
        batch = _Batch(self)
        yield batch
        batch.send()

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table or view; `None` if there is none of that name."""
        found = self._table(table)
        return None if found is None else tuple(map(column_of, found.schema))

    def tables(self, table: TableRef) -> Sequence[str]:
        """Those of the same dataset."""
        try:
            found = self.connection.list_tables(_dataset(table), retry=retry())
            names: list[str] = [each.table_id for each in found]
        except Exception as error:
            if is_missing(error):
                return []
            raise
        return [f"{table.schema}.{n}" for n in names if n != BOOK and not n.startswith(STAGE)]

    def create_schema(self, table: TableRef) -> None:
        """Let the dataset of a table be there."""
        dataset = bigquery_module("A dataset").Dataset(_dataset(table))
        if self.connection.location:
            dataset.location = self.connection.location
        self.connection.create_dataset(dataset, exists_ok=True, retry=retry())

    def as_stored(self, frame: Schema) -> tuple[Column, ...]:
        """The columns of a table that would be made of a frame."""
        return stored(frame)

    def schema_of(self, query: Sql) -> Schema:
        """The columns that a query gives, by a dry run, which costs nothing."""
        sql, config = self._query(query)
        config.dry_run = True
        try:
            job = self.connection.query(sql, job_config=config, retry=retry())
        except Exception as error:
            if not is_refused(error):
                raise
            found = ours(error, "BigQuery cannot run the query.")
            raise InvalidInput(
                "BigQuery cannot run the query.", seen=found.seen if found else str(error)
            ) from error
        return pyarrow().schema([(each.name, arrow_of(each)) for each in job.schema or ()])

    def count(self, query: Sql) -> int:
        """The one number that a query gives."""
        ((number,),) = self.run(query).result()
        return int(number)

    def run(self, statement: Sql) -> Any:
        """Run a statement, and return the job, done."""
        sql, config = self._query(statement)

        def begin(name: str) -> Any:
            return self.connection.query(
                sql, job_config=config, job_id=name, retry=None, job_retry=None
            )

        return self.jobs.done(begin)

    def stream(self, query: Sql) -> Stream:
        """The rows of a query: by the Storage API where it is there and lets us, else by pages."""
        rows = self.run(query).result()
        schema: Sequence[SchemaField] = rows.schema
        batches = self._batches(rows)
        first = next(batches, None)
        if first is None:
            nothing = pyarrow().schema([(each.name, arrow_of(each)) for each in schema])
            return nothing.empty_table().to_reader()
        every = itertools.chain([first], batches)
        return pyarrow().RecordBatchReader.from_batches(first.schema, every)

    def read_expression(self, column: Column) -> str | None:  # noqa: ARG002
        """None: Arrow can tell all that BigQuery has."""
        return None

    def given_back(self, column: Column) -> Any:
        """A column's own type: the stream has all decimals with as many digits as there may be."""
        return column.arrow

    @contextmanager
    def staged(self, stream: Stream, table: TableRef, *, again: bool) -> Generator[Staged]:  # noqa: ARG002
        """The rows in a table of their own beside `table`, which BigQuery drops if we cannot."""
        bigquery = bigquery_module("A table")
        columns = stored(stream.schema)
        stage = bigquery.Table(
            f"{_dataset(table)}.{STAGE}{uuid.uuid4().hex}", schema=fields_of(columns, {}, {})
        )
        stage.expires = dt.datetime.now(dt.UTC) + _STAGE_LIFE
        self.connection.create_table(stage, retry=retry())
        try:
            self._load(stream, stage.reference, columns, stage.schema, "WRITE_APPEND")
            yield Staged(f"`{stage.project}`.`{stage.dataset_id}`.`{stage.table_id}`", again=True)
        finally:
            with contextlib.suppress(Exception):
                self.connection.delete_table(stage, not_found_ok=True, retry=retry())

    def load(
        self,
        stream: Stream,
        table: TableRef,
        columns: Sequence[Column],
        zones: Mapping[str, str],
        *,
        replace: bool,
    ) -> Told:
        """Make a table of a stream by one load job, which takes effect at its end or not at all."""
        there = self._table(table)
        known = {each.name: each for each in there.schema} if there is not None else {}
        notes = {name: ZONE_NOTE + zone for name, zone in zones.items()}
        fields = fields_of(columns, known, notes)
        how = "WRITE_TRUNCATE" if replace else "WRITE_EMPTY"
        reference = bigquery_module("A table").TableReference.from_string(_id(table))
        job = self._load(stream, reference, columns, fields, how)
        return Told(rows=[job.output_rows], query_ids=[job.job_id], url=console_url(job))

    def keep_time_in(self, slice_: Slice | None) -> None:
        """Let `CAST(t AS DATETIME)` and the like mean the wall clock that the partitions mean."""
        self._state["time_zone"] = slice_.time_zone if slice_ else "UTC"

    def zones(self, table: TableRef) -> Mapping[str, str]:
        """The time zone that each column's values were written in, where that was noted."""
        found = self._table(table)
        return {
            each.name: each.description.removeprefix(ZONE_NOTE)
            for each in (found.schema if found is not None else ())
            if (each.description or "").startswith(ZONE_NOTE)
        }

    def declared(self, table: TableRef) -> Sequence[str]:  # noqa: ARG002
        """Nothing: a load that replaces a table leaves it what people gave it."""
        return ()

    def _table(self, table: TableRef) -> Any:
        try:
            return self.connection.get_table(_id(table), retry=retry())
        except Exception as error:
            if is_missing(error):
                return None
            raise

    def _query(self, statement: Sql) -> tuple[str, Any]:
        bigquery = bigquery_module("A query")
        names = itertools.count()
        values: list[Any] = []
        text = ""
        for part in statement.parts:
            if isinstance(part, Value):
                name = f"p{next(names)}"
                values.append(bigquery.ScalarQueryParameter(name, _type(part.value), part.value))
                text += f"@{name}"
            else:
                text += part
        config = bigquery.QueryJobConfig(query_parameters=values)
        zone = self._state.get("time_zone", "UTC")
        if zone != "UTC":
            config.connection_properties = [bigquery.ConnectionProperty("time_zone", zone)]
        return text, self.jobs.labelled(config)

    def _load(
        self,
        stream: Stream,
        table: Any,
        columns: Sequence[Column],
        fields: Sequence[SchemaField],
        how: str,
    ) -> Any:
        bigquery = bigquery_module("A load job")
        config = bigquery.LoadJobConfig(
            source_format="PARQUET",
            schema=fields,
            write_disposition=how,
            parquet_options=list_inference(),
        )
        config = self.jobs.labelled(config)
        with parquet_of(stream, columns) as file:

            def begin(name: str) -> Any:
                return self.connection.load_table_from_file(
                    file, table, rewind=True, job_id=name, job_config=config
                )

            return self.jobs.done(begin)

    def _batches(self, rows: Any) -> Iterator[Any]:
        storage = self.clients.storage
        if storage is None:
            return iter(rows.to_arrow_iterable())
        batches = iter(rows.to_arrow_iterable(bqstorage_client=storage))
        try:
            first = next(batches, None)
        except Exception as error:
            # Who comes may not use the Storage API, or it does not know the result.
            if not is_refused(error):
                raise
            return iter(rows.to_arrow_iterable())
        return iter(()) if first is None else itertools.chain([first], batches)


def _dataset(table: TableRef) -> str:
    return f"{table.database}.{table.schema}"


def _id(table: TableRef) -> str:
    return f"{_dataset(table)}.{table.name}"


def _is_ddl(statement: Sql) -> bool:
    return str(statement.parts[0]).lstrip().upper().startswith(_DDL)


def _transaction(statements: Sequence[Sql]) -> Sql:
    each = Sql.join(";\n", statements)
    return Sql.of("BEGIN TRANSACTION;\n", each, ";\nCOMMIT TRANSACTION")


def _type(value: object) -> str:
    """The type that a value is bound as."""
    match value:
        case bool():
            return "BOOL"
        case int():
            return "INT64"
        case float():
            return "FLOAT64"
        case Decimal():
            return "NUMERIC"
        case dt.datetime():
            return "TIMESTAMP" if value.tzinfo else "DATETIME"
        case dt.date():
            return "DATE"
        case dt.time():
            return "TIME"
        case bytes():
            return "BYTES"
        case _:
            return "STRING"
