"""Snowflake as an engine of the warehouse family: what it does in its own way."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import InvalidInput, Unavailable
from dagweave.snowflake import staging
from dagweave.snowflake.dialect import SNOWFLAKE
from dagweave.snowflake.failures import connector, lost, number_of
from dagweave.snowflake.results import schema_of, stream_of
from dagweave.snowflake.types import arrow_of, spelt
from dagweave.warehouse.capabilities import all_but, never
from dagweave.warehouse.columns import Column
from dagweave.warehouse.engine import Staged, Told
from dagweave.warehouse.sql import Sql
from dagweave.warehouse.writing import ZONE_NOTE

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from dagweave.warehouse.arrow import Schema, Stream
    from dagweave.warehouse.capabilities import Capabilities
    from dagweave.warehouse.slices import Slice
    from dagweave.warehouse.sql import Dialect
    from dagweave.weaving.table_ref import TableRef

CAPABILITIES: Final = all_but(
    # https://docs.snowflake.com/en/sql-reference/sql/alter-table-column
    WIDEN=never("Snowflake changes neither the kind of a column nor its scale in place."),
    NESTED=never("ARRAY and OBJECT come back as the text of JSON, as Snowflake hands them over."),
)

_NOT_THERE: Final = frozenset({2003, 2043})
_NOT_ALLOWED: Final = 3001
_CHANGES_ROWS: Final = ("INSERT INTO", "DELETE", "UPDATE", "MERGE")


@dataclass(eq=False, slots=True)
class _Statements:
    """Statements that are run when the batch ends: DDL ends a transaction, and one alone needs none."""

    engine: SnowflakeEngine
    told: Told = field(default_factory=Told)
    waiting: list[Sql] = field(default_factory=list[Sql])

    def run(self, statement: Sql) -> int:
        self.waiting.append(statement)
        return len(self.waiting) - 1

    def end(self) -> None:
        """Run them; those that change rows and stand together, in one transaction."""
        together: list[Sql] = []
        for statement in self.waiting:
            if _changes_rows(statement):
                together.append(statement)
                continue
            self._run_together(together)
            together = []
            self._run(statement)
        self._run_together(together)
        self.told.url = _url_of(self.engine.connection, self.told.query_ids)

    def _run_together(self, together: Sequence[Sql]) -> None:
        if len(together) < 2:
            for statement in together:
                self._run(statement)
            return
        with self.engine.transaction():
            for statement in together:
                self._run(statement)

    def _run(self, statement: Sql) -> None:
        cursor = self.engine.execute(statement)
        counts = _changes_rows(statement) or _text(statement).startswith("INSERT OVERWRITE")
        self.told.rows.append(cursor.rowcount if counts else None)
        if cursor.sfqid:
            self.told.query_ids.append(cursor.sfqid)


@dataclass(eq=False, slots=True)
class SnowflakeEngine:
    """An open connection, on which each statement commits by itself. Belongs to one thread."""

    connection: Any
    _in_transaction: bool = False
    _zone_set: bool = False
    _said: dict[TableRef, list[dict[str, Any]]] = field(
        default_factory=dict["TableRef", "list[dict[str, Any]]"]
    )
    """What DESCRIBE said last of a table."""

    @property
    def dialect(self) -> Dialect:
        """Snowflake's SQL."""
        return SNOWFLAKE

    @property
    def capabilities(self) -> Capabilities:
        """What Snowflake can do."""
        return CAPABILITIES

    def execute(self, statement: Sql) -> Any:
        """Run a statement; return its cursor."""
        text, values = SNOWFLAKE.bound(statement)
        return self.connection.cursor().execute(text, values or None)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All that is done within the context, or nothing of it. DDL within ends it too soon.

        Raises:
            Unavailable: The connection was lost, and with it the answer whether all was done.
        """
        if self._in_transaction:
            yield
            return
        self._command("BEGIN")
        self._in_transaction = True
        try:
            yield
        except BaseException:
            with suppress(connector("A transaction").Error):
                self._command("ROLLBACK")
            raise
        else:
            self._commit()
        finally:
            self._in_transaction = False

    def _commit(self) -> None:
        try:
            self._command("COMMIT")
        except connector("A transaction").Error as error:
            if not lost(error):
                raise
            raise Unavailable(
                "The connection to Snowflake was lost before it answered whether it had committed.",
                seen=str(error),
                remedy="The rows are in the table either wholly or not at all. Run the step again: a "
                "replacement or a merge gives the same table, and an append looks first into the "
                "table dagweave_writes whether its rows are there.",
            ) from error

    @contextmanager
    def batch(self) -> Generator[_Statements]:
        """Statements that take effect when the context ends."""
        statements = _Statements(self)
        yield statements
        statements.end()

    def describe(self, table: TableRef) -> tuple[Column, ...] | None:
        """The columns of a table or view; `None` if there is none of that name."""
        said = self._describe(table)
        if said is None:
            return None
        return tuple(Column(each["name"], each["type"], arrow_of(each["type"])) for each in said)

    def tables(self, table: TableRef) -> Sequence[str]:
        """All that there are in the database, as far as the role may see them."""
        where = SNOWFLAKE.quote(table.database) if table.database else ""
        rows = self._rows(f"SHOW TABLES IN DATABASE {where}")
        return [f"{row['schema_name']}.{row['name']}" for row in rows]

    def create_schema(self, table: TableRef) -> None:
        """Let the schema of a table be there, if the role may make it."""
        if table.schema is None:
            return
        parts = (table.database, table.schema)
        name = ".".join(SNOWFLAKE.quote(part) for part in parts if part is not None)
        try:
            self._command(f"CREATE SCHEMA IF NOT EXISTS {name}")
        except connector("A schema").ProgrammingError as error:
            # It may be there all the same; if not, who makes a table in it is told so.
            if number_of(error) != _NOT_ALLOWED:
                raise

    def as_stored(self, frame: Schema) -> tuple[Column, ...]:
        """The columns of a table that would be made of a frame."""
        return tuple(
            Column(SNOWFLAKE.fold(each.name), (type_ := spelt(each)), arrow_of(type_))
            for each in frame
        )

    def schema_of(self, query: Sql) -> Schema:
        """The columns that a query gives; Snowflake only compiles it."""
        text, values = SNOWFLAKE.bound(query)
        try:
            return schema_of(self.connection.cursor().describe(text, values or None))
        except connector("A query").ProgrammingError as error:
            raise InvalidInput("Snowflake cannot run the query.", seen=str(error)) from error

    def count(self, query: Sql) -> int:
        """The one number that a query gives."""
        (number,) = self.execute(query).fetchone()
        return int(number)

    def stream(self, query: Sql) -> Stream:
        """The rows of a query, as Arrow."""
        return stream_of(self.execute(query))

    def read_expression(self, column: Column) -> str | None:  # noqa: ARG002 -- none needs any
        """Nothing: each column can be read as it is."""
        return None

    def given_back(self, column: Column) -> Any:
        """The type that the table says, which a result may say less exactly."""
        return column.arrow

    @contextmanager
    def staged(self, stream: Stream, table: TableRef, *, again: bool) -> Generator[Staged]:  # noqa: ARG002
        """The rows in a temporary table, made before any transaction begins."""
        with staging.staged(stream, table, self._command) as source:
            yield Staged(source, again=True)

    def keep_time_in(self, slice_: Slice | None) -> None:
        """Let `t::TIMESTAMP_NTZ` and the like mean the wall clock that the partitions mean.

        A column by itself needs it not, and what is in UTC is so already.
        """
        if slice_ is None or all(each.isidentifier() for each in slice_.expressions):
            return
        self._set_zone(slice_.time_zone)
        self._zone_set = slice_.time_zone != "UTC"

    def leave_no_trace(self) -> None:
        """Set the session back, for who uses it next."""
        if self._zone_set:
            self._set_zone("UTC")
            self._zone_set = False

    def zones(self, table: TableRef) -> Mapping[str, str]:
        """The time zone that each column's values were written in, where that was noted."""
        said = self._said.get(table) or self._describe(table) or []
        return {
            each["name"]: str(each["comment"]).removeprefix(ZONE_NOTE)
            for each in said
            if each["comment"] and str(each["comment"]).startswith(ZONE_NOTE)
        }

    def declared(self, table: TableRef) -> Sequence[str]:
        """The keys, defaults and NOT NULLs of a table. Its grants are kept in any case."""
        said = self._said.get(table) or self._describe(table) or []
        found: list[str] = []
        for each in said:
            marks = {
                "PRIMARY KEY": each["primary key"] == "Y",
                "UNIQUE": each["unique key"] == "Y",
                "NOT NULL": each["null?"] == "N",
                f"DEFAULT {each['default']}": each["default"] is not None,
            }
            found += [f"{mark} ({each['name']})" for mark, is_there in marks.items() if is_there]
        return found

    def _describe(self, table: TableRef) -> list[dict[str, Any]] | None:
        self._said.pop(table, None)
        try:
            said = self._rows(f"DESCRIBE TABLE {SNOWFLAKE.table(table)}")
        except connector("A table").ProgrammingError as error:
            if number_of(error) in _NOT_THERE:
                return None
            raise
        self._said[table] = said
        return said

    def _rows(self, text: str) -> list[dict[str, Any]]:
        cursor = self._command(text)
        names = [each.name for each in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _set_zone(self, zone: str) -> None:
        self._command(f"ALTER SESSION SET TIMEZONE = {SNOWFLAKE.literal(zone)}")

    def _command(self, text: str) -> Any:
        return self.execute(Sql.of(text))


def _text(statement: Sql) -> str:
    return str(statement.parts[0])


def _changes_rows(statement: Sql) -> bool:
    return _text(statement).startswith(_CHANGES_ROWS)


def _url_of(connection: Any, query_ids: Sequence[str]) -> str | None:
    """Where Snowflake shows the last statement: https://docs.snowflake.com/en/user-guide/ui-snowsight-activity."""
    organization, dash, account = str(connection.account or "").partition("-")
    if not (query_ids and dash and str(connection.host).endswith(".snowflakecomputing.com")):
        return None
    history = f"https://app.snowflake.com/{organization}/{account}/#/compute/history/queries"
    return f"{history}/{query_ids[-1]}/detail"
