"""The statements that change tables, written for any dialect.

A statement names the columns of its table in the table's spelling; so does the `rows` that it takes
its values from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagweave.warehouse.sql import Sql, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagweave.warehouse.columns import Column
    from dagweave.warehouse.sql import Dialect, TableName


def select_as(dialect: Dialect, source: str, names: Mapping[str, str]) -> Sql:
    """The rows of a source, its columns called otherwise.

    Args:
        names: For each column, in order: what it shall be called.
    """
    columns = ", ".join(
        dialect.quote(old) if old == new else f"{dialect.quote(old)} AS {dialect.quote(new)}"
        for old, new in names.items()
    )
    return Sql.of("SELECT ", columns, " FROM ", source)


def in_brackets(rows: Sql, alias: str) -> Sql:
    """A query as a table within another one."""
    return Sql.of("(", rows, ") AS ", alias)


def where(rows: Sql, condition: Sql) -> Sql:
    """Those rows of a query that a condition holds for."""
    return Sql.of("SELECT * FROM ", in_brackets(rows, "incoming"), " WHERE ", condition)


def create_as(
    dialect: Dialect, table: TableName, columns: Sequence[str], rows: Sql, *, replace: bool
) -> Sql:
    """Make a table of rows; another of its name goes, if it may be replaced."""
    if replace:
        made = f"CREATE OR REPLACE TABLE {dialect.table(table)}{dialect.replaced_with} "
    else:
        made = f"CREATE TABLE {dialect.table(table)} "
    return Sql.of(made, dialect.created_with(columns), "AS ", rows)


def create_empty(dialect: Dialect, table: TableName, types: Mapping[str, str]) -> Sql:
    """Let a table be there; one of its name stays as it is.

    Args:
        types: For each column, in order: its type.
    """
    columns = ", ".join(f"{dialect.quote(name)} {type_}" for name, type_ in types.items())
    return Sql.of(f"CREATE TABLE IF NOT EXISTS {dialect.table(table)} ({columns})")


def delete(dialect: Dialect, table: TableName, condition: Sql) -> Sql:
    """Delete the rows that a condition holds for."""
    return Sql.of("DELETE FROM ", dialect.table(table), " WHERE ", condition)


def insert(dialect: Dialect, table: TableName, columns: Sequence[str], rows: Sql) -> Sql:
    """Add rows."""
    return Sql.of(_into(dialect, "INSERT INTO ", table, columns), rows)


def overwrite(dialect: Dialect, table: TableName, columns: Sequence[str], rows: Sql) -> list[Sql]:
    """Put rows in place of all that there are."""
    if dialect.insert_overwrite:
        return [Sql.of(_into(dialect, f"{dialect.insert_overwrite} ", table, columns), rows)]
    everything = Sql.of("TRUE")
    if dialect.merge_replaces:
        return [_merge(dialect, table, columns, rows, (), (), everything)]
    return [delete(dialect, table, everything), insert(dialect, table, columns, rows)]


def replace_where(
    dialect: Dialect,
    table: TableName,
    columns: Sequence[str],
    rows: Sql,
    condition: Sql,
    *,
    every: Sequence[Column],
    strays: bool,
) -> list[Sql]:
    """Put rows in place of those that a condition holds for.

    Args:
        columns: The columns of the rows.
        every: The columns of the table, in its order.
        strays: Whether the condition does not hold for some of the rows.
    """
    if dialect.merge_replaces:
        return [_merge(dialect, table, columns, rows, (), (), condition)]
    if not dialect.replace_where:
        return [delete(dialect, table, condition), insert(dialect, table, columns, rows)]
    target = dialect.table(table)
    if strays:
        # REPLACE WHERE takes only rows that its condition holds for.
        on = (
            "MERGE INTO ",
            target,
            " AS existing USING ",
            in_brackets(rows, "incoming"),
            " ON FALSE",
        )
        gone = (" WHEN NOT MATCHED BY SOURCE AND (", condition, ") THEN DELETE")
        return [Sql.of(*on, _when_new(dialect, columns), *gone)]
    # It knows columns by their place; by their name only since DBR 18.
    there = frozenset(columns)
    places = ", ".join(
        dialect.quote(each.name)
        if each.name in there
        else f"CAST(NULL AS {each.type}) AS {dialect.quote(each.name)}"
        for each in every
    )
    placed = Sql.of("SELECT ", places, " FROM ", in_brackets(rows, "incoming"))
    return [Sql.of("INSERT INTO ", target, " REPLACE WHERE ", condition, " ", placed)]


def merge(
    dialect: Dialect,
    table: TableName,
    columns: Sequence[str],
    rows: Sql,
    keys: Sequence[str],
    *,
    delete_where: Sql | None,
) -> list[Sql]:
    """Update the rows whose keys are there, add the others.

    Args:
        delete_where: Which rows go if their keys are not among the incoming ones; `None` for none.
    """
    values = [name for name in columns if name not in keys]
    if dialect.replace_where or dialect.merge_replaces:
        return [_merge(dialect, table, columns, rows, keys, values, delete_where)]
    if dialect.merges:
        gone = [] if delete_where is None else [_missing(dialect, table, rows, keys, delete_where)]
        return [*gone, _merge(dialect, table, columns, rows, keys, values, None)]
    target = dialect.table(table)
    incoming = in_brackets(rows, "incoming")
    same = _same(dialect, keys)
    found: list[Sql] = []
    if delete_where is not None:
        missing = Sql.of("NOT EXISTS (SELECT 1 FROM ", incoming, " WHERE ", same, ")")
        condition = Sql.of("(", delete_where, ") AND ", missing)
        found.append(Sql.of("DELETE FROM ", target, " AS existing WHERE ", condition))
    if values:
        sets = ", ".join(f"{dialect.quote(v)} = incoming.{dialect.quote(v)}" for v in values)
        update = ("UPDATE ", target, " AS existing SET ", sets, " FROM ", incoming)
        found.append(Sql.of(*update, " WHERE ", same))
    known = Sql.of("EXISTS (SELECT 1 FROM ", target, " AS existing WHERE ", same, ")")
    fresh = Sql.of("SELECT * FROM ", incoming, " WHERE NOT ", known)
    return [*found, insert(dialect, table, columns, fresh)]


def _merge(
    dialect: Dialect,
    table: TableName,
    columns: Sequence[str],
    rows: Sql,
    keys: Sequence[str],
    values: Sequence[str],
    delete_where: Sql | None,
) -> Sql:
    quote = dialect.quote
    parts: list[str | Sql] = ["MERGE INTO ", dialect.table(table), " AS existing USING "]
    parts += [in_brackets(rows, "incoming"), " ON ", _same(dialect, keys) if keys else "FALSE"]
    if values:
        sets = ", ".join(f"{quote(v)} = incoming.{quote(v)}" for v in values)
        parts.append(f" WHEN MATCHED THEN UPDATE SET {sets}")
    parts.append(_when_new(dialect, columns))
    if delete_where is not None:
        parts += [" WHEN NOT MATCHED BY SOURCE AND (", delete_where, ") THEN DELETE"]
    return Sql.of(*parts)


def _when_new(dialect: Dialect, columns: Sequence[str]) -> str:
    names = ", ".join(map(dialect.quote, columns))
    given = ", ".join(f"incoming.{dialect.quote(name)}" for name in columns)
    return "".join((" WHEN NOT MATCHED THEN INSERT (", names, ") VALUES (", given, ")"))


def _missing(
    dialect: Dialect, table: TableName, rows: Sql, keys: Sequence[str], condition: Sql
) -> Sql:
    """Delete, of the rows that a condition holds for, those whose keys are not among others.

    Without a subquery that looks at each row: not every engine has those for all comparisons.
    """
    quote, target = dialect.quote, dialect.table(table)
    there = ", ".join(f"{quote(key)} AS {quote(f'gone {at}')}" for at, key in enumerate(keys))
    names = ", ".join(map(quote, keys))
    same = " AND ".join(
        f"existing.{quote(key)} IS NOT DISTINCT FROM gone.{quote(f'gone {at}')}"
        for at, key in enumerate(keys)
    )
    gone: list[str | Sql] = ["SELECT ", there, " FROM ", target, " WHERE ", condition]
    gone += [" EXCEPT SELECT ", names, " FROM ", in_brackets(rows, "incoming")]
    using = Sql.of("DELETE FROM ", target, " AS existing USING (", *gone, ") AS gone WHERE ")
    return Sql.of(using, same, " AND (", condition, ")")


def doubled(dialect: Dialect, rows: Sql, keys: Sequence[str]) -> Sql:
    """The keys that more than one of the rows has, and how many have them."""
    names = ", ".join(map(dialect.quote, keys))
    grouped = Sql.of("SELECT ", names, ", count(*) AS times FROM ", in_brackets(rows, "incoming"))
    return Sql.of(grouped, " GROUP BY ", names, " HAVING count(*) > 1 LIMIT 5")


def count(rows: str | Sql, condition: Sql | None = None) -> Sql:
    """How many rows there are, or a condition holds for."""
    counted = Sql.of("SELECT count(*) FROM ", rows)
    return Sql.of(counted, " WHERE ", condition) if condition else counted


def add_column(dialect: Dialect, table: TableName, name: str, type_: str) -> Sql:
    """Give a table one more column, null in each row."""
    return Sql.of(f"ALTER TABLE {dialect.table(table)} ADD COLUMN {dialect.quote(name)} {type_}")


def prepare_widening(dialect: Dialect, table: TableName) -> list[Sql]:
    """What has to be done before columns of a table get another type."""
    if dialect.before_widening is None:
        return []
    return [Sql.of(f"ALTER TABLE {dialect.table(table)} {dialect.before_widening}")]


def alter_type(dialect: Dialect, table: TableName, name: str, type_: str) -> Sql:
    """Give a column another type, and its values with it."""
    change = dialect.alter_type.format(column=dialect.quote(name), type=type_)
    return Sql.of(f"ALTER TABLE {dialect.table(table)} {change}")


def retype(dialect: Dialect, table: TableName, name: str, type_: str) -> list[Sql]:
    """Give a column that holds no value any other type."""
    if dialect.retypes:
        return [alter_type(dialect, table, name, type_)]
    drop = Sql.of(f"ALTER TABLE {dialect.table(table)} DROP COLUMN {dialect.quote(name)}")
    return [drop, add_column(dialect, table, name, type_)]


def comment(dialect: Dialect, table: TableName, column: str, text: str) -> Sql:
    """Note something at a column."""
    said = {"table": dialect.table(table), "column": dialect.quote(column)}
    return Sql.of(dialect.comment.format(**said, text=dialect.literal(text)))


BOOK = "dagweave_writes"
"""The table, one to a schema, that says which appends were done."""


def create_book(dialect: Dialect, book: TableName) -> Sql:
    """Let the table of appends be there."""
    columns = ", ".join(
        f"{name} {dialect.text}" for name in ("table_name", "write_id", "written_at")
    )
    return Sql.of(f"CREATE TABLE IF NOT EXISTS {dialect.table(book)} ({columns})")


def booked(dialect: Dialect, book: TableName, table: str, writes: Sequence[str]) -> Sql:
    """How many of some appends to a table were done."""
    ids = Sql.join(", ", (Value(each) for each in writes))
    condition = Sql.of("table_name = ", Value(table), " AND write_id IN (", ids, ")")
    return count(dialect.table(book), condition)


def book(dialect: Dialect, book_: TableName, table: str, write: str, at: str) -> Sql:
    """Note that an append was done."""
    values = Sql.join(", ", (Value(table), Value(write), Value(at)))
    into = _into(dialect, "INSERT INTO ", book_, ("table_name", "write_id", "written_at"))
    return Sql.of(into, "VALUES (", values, ")")


def _into(dialect: Dialect, verb: str, table: TableName, columns: Sequence[str]) -> str:
    return f"{verb}{dialect.table(table)} ({', '.join(map(dialect.quote, columns))}) "


def _same(dialect: Dialect, keys: Sequence[str]) -> str:
    return " AND ".join(
        dialect.same.format(a=f"existing.{name}", b=f"incoming.{name}")
        for name in map(dialect.quote, keys)
    )
