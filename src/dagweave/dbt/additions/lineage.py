"""Which columns of its parents a column of a query comes from. Knows nothing of dbt or Dagster."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec

from dagweave._kernel.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from sqlglot import exp
    from sqlglot.lineage import Node

Traced: TypeAlias = dict[str, list[tuple[str, str]]]
"""For each column of a query: the tables and columns that it is made from. The table is named as in
`Query.tables`. A `*` that could not be resolved is a column of that name."""

STAR: Final = "*"

_VERSION: Final = 1
"""Part of what a cached lineage is known by: to be raised when the same query is traced otherwise."""

_LONGEST_SQL: Final = 1_000_000
# dbt's adapters whose dialect sqlglot calls otherwise.
# https://docs.getdbt.com/docs/supported-data-platforms, https://sqlglot.com/sqlglot/dialects.html
_DIALECTS: Final[Mapping[str, str]] = {
    "alloydb": "postgres",
    "fabricspark": "spark",
    "glue": "spark",
    "sqlserver": "tsql",
    "synapse": "tsql",
    "timescaledb": "postgres",
}
_LAST_NAME: Final = re.compile(r'"((?:[^"]|"")*)"$')


@dataclass(frozen=True)
class Query:
    """A query, and the columns with their types of the tables that it reads."""

    sql: str
    adapter_type: str | None
    tables: Mapping[str, Sequence[tuple[str, str]]]
    """By the table's whole name, as the query writes it."""

    @property
    def digest(self) -> str:
        """What its lineage depends on: equal texts have equal lineage."""
        said = (
            _VERSION,
            sqlglot_version(),
            self.sql,
            self.adapter_type,
            sorted(self.tables.items()),
        )
        return blake2b(msgspec.json.encode(said), digest_size=16).hexdigest()


def sqlglot_version() -> str:
    """The version of the library that reads SQL.

    Raises:
        MissingExtra: It is not installed.
    """
    return str(require("sqlglot", extra="dbt", what="Column lineage").__version__)


def trace(query: Query) -> Traced:
    """Trace each column of a query to the columns of tables that it is made from.

    What only filters or joins rows does not count. CTEs, subqueries and unions are looked through.

    Raises:
        MissingExtra: sqlglot is not installed.
        Exception: sqlglot does not understand the query; its errors are of several kinds.
    """
    require("sqlglot", extra="dbt", what="Column lineage")
    from sqlglot import exp

    dialect = _dialect(query.adapter_type)
    tables = {name: table for name in query.tables if (table := _table(name, dialect))}
    with _quiet():
        nodes = _nodes(query, tables, dialect)
    names = {_parts(table): name for name, table in tables.items()}
    # The database may spell a column otherwise than the normal form that names are compared in.
    spelt = {
        name: {normal(column, query.adapter_type): column for column, _ in query.tables[name]}
        for name in tables
    }
    traced: Traced = {}
    for column, node in nodes.items():
        found: set[tuple[str, str]] = set()
        for leaf in node.walk():
            if leaf.downstream or not isinstance(leaf.expression, exp.Table):
                continue
            name, last = names.get(_parts(leaf.expression)), _LAST_NAME.search(leaf.name)
            if name is not None and last:
                own = last[1].replace('""', '"')
                found.add((name, spelt[name].get(own, own)))
        traced[column] = sorted(found)
    return traced


def normal(column: str, adapter_type: str | None) -> str:
    """The name of a column as a database spells it, in the form that names are compared in."""
    return _normal(column, _dialect(adapter_type))


def _nodes(query: Query, tables: Mapping[str, exp.Table], dialect: str) -> Mapping[str, Node]:
    """For each column of the query: where sqlglot begins to trace it."""
    from sqlglot import MappingSchema
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    schema = MappingSchema(dialect=dialect, normalize=False)
    depth = max((len(table.parts) for table in tables.values()), default=0)
    for name, table in tables.items():
        if query.tables[name] and len(table.parts) == depth:
            columns = {_normal(column, dialect): type_ for column, type_ in query.tables[name]}
            schema.add_table(table, columns, normalize=False)
    # Quoted throughout, so that names can be told apart in what sqlglot hands out as text.
    expression = qualify(
        _statement(query.sql, dialect),
        schema=schema,
        dialect=dialect,
        validate_qualify_columns=False,
        identify=True,
    )
    given: dict[str, Any] = {
        "sql": expression,
        "schema": schema,
        "dialect": dialect,
        # Once for all columns, and without a copy for each.
        "scope": build_scope(expression),
        "trim_selects": False,
        "copy": False,
    }
    try:
        return _lineage()(None, **given)
    except (SqlglotError, AttributeError, TypeError, ValueError):
        # An older sqlglot knows one column at a time; and one that it cannot trace spoils no other.
        return _one_by_one(expression.named_selects, given)


def _one_by_one(columns: Iterable[str], given: Mapping[str, Any]) -> Mapping[str, Node]:
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    lineage = _lineage()
    found: dict[str, Node] = {}
    failure: SqlglotError | ValueError | None = None
    for column in columns:
        try:
            found[column] = lineage(exp.column(exp.to_identifier(column, quoted=True)), **given)
        except (SqlglotError, ValueError) as error:
            failure = error
    if failure is not None and not found:
        raise failure
    return found


def _lineage() -> Callable[..., Any]:
    from sqlglot import lineage

    return cast("Callable[..., Any]", lineage.lineage)


def _statement(sql: str, dialect: str) -> exp.Query:
    """The query in what may be several statements: the last one is what dbt builds from."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ParseError

    if len(sql) > _LONGEST_SQL:
        raise ParseError(f"The query is of {len(sql):,} characters.")
    queries = [each for each in sqlglot.parse(sql, dialect=dialect) if isinstance(each, exp.Query)]
    if not queries:
        raise ParseError("There is no query.")
    return queries[-1]


def _parts(table: exp.Table) -> tuple[str, ...]:
    return tuple(part.name for part in table.parts)


@lru_cache(maxsize=20_000)
def _table(name: str, dialect: str) -> exp.Table | None:
    """A table by the name that dbt writes; nothing if that is no name, but a file or a function."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.normalize_identifiers import normalize_identifiers

    try:
        table = normalize_identifiers(exp.to_table(name, dialect=dialect), dialect=dialect)
    except (SqlglotError, ValueError):
        return None
    return table if isinstance(table.this, exp.Identifier) else None


@lru_cache(maxsize=50_000)
def _normal(name: str, dialect: str) -> str:
    from sqlglot import exp
    from sqlglot.dialects.dialect import Dialect

    identifier = exp.to_identifier(name, quoted=True)
    return Dialect.get_or_raise(dialect).normalize_identifier(identifier).name


@lru_cache
def _dialect(adapter_type: str | None) -> str:
    """What sqlglot calls an adapter's dialect; of one that it does not know, the common denominator."""
    from sqlglot.dialects.dialect import Dialect

    name = _DIALECTS.get(adapter_type or "", adapter_type or "")
    try:
        Dialect.get_or_raise(name)
    except ValueError:
        return ""
    return name


@contextmanager
def _quiet() -> Generator[None]:
    """Without sqlglot's warnings of each thing in a query that it does not know."""
    log = logging.getLogger("sqlglot")
    before = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before
