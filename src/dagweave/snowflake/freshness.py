"""When tables were changed last."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from typing import TYPE_CHECKING, Any

from dagweave._kernel.errors import InvalidInput
from dagweave.snowflake.dialect import SNOWFLAKE, stored
from dagweave.snowflake.failures import translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def fetch_last_updated_timestamps(
    *,
    snowflake_connection: Any,
    schema: str,
    tables: Sequence[str],
    database: str | None = None,
    ignore_missing_tables: bool | None = False,
) -> Mapping[str, dt.datetime]:
    """When each of the tables was changed last, in UTC: by its rows, or its definition.

    ```python
    from dagster import MaterializeResult, asset
    from dagweave.snowflake import SnowflakeResource, fetch_last_updated_timestamps

    @asset
    def report(snowflake: SnowflakeResource) -> MaterializeResult:
        with snowflake.get_connection() as connection:
            changed = fetch_last_updated_timestamps(
                snowflake_connection=connection, schema="RAW", tables=["orders"]
            )
        return MaterializeResult(metadata={"as_of": changed["orders"].isoformat()})
    ```

    Args:
        snowflake_connection: What `SnowflakeResource.get_connection()` gives.
        schema: The schema of the tables. A name matches in upper case if not as it is written.
        tables: Their names, likewise.
        database: Their database, if it is not the connection's.
        ignore_missing_tables: Whether to leave out tables that there are not.

    Raises:
        InvalidInput: There is no such table, and `ignore_missing_tables` is not set; or `tables` is
            empty.
        DagweaveError: Why Snowflake did not say: see `dagweave._kernel.errors`.
    """
    if not tables:
        raise InvalidInput("No tables were given to fetch the timestamps of.")
    names = sorted({*tables, *map(stored, tables)})
    schemas = sorted({schema, stored(schema)})
    where = f"{SNOWFLAKE.quote(stored(database))}." if database else ""
    # A connection of ADBC has no such property, and takes question marks alone.
    mark = "%s" if getattr(snowflake_connection, "is_pyformat", False) else "?"
    sql = (
        f"SELECT table_schema, table_name, last_altered FROM {where}INFORMATION_SCHEMA.TABLES "  # noqa: S608
        f"WHERE table_schema IN ({_marks(mark, schemas)}) AND table_name IN ({_marks(mark, names)})"
    )
    with (
        translated("Snowflake did not say when its tables were changed."),
        closing(snowflake_connection.cursor()) as cursor,
    ):
        cursor.execute(sql, [*schemas, *names])
        found = {(row[0], row[1]): row[2] for row in cursor.fetchall()}
    changed = {table: _changed(found, schema, table) for table in tables}
    missing = [table for table, at in changed.items() if at is None]
    if missing and not ignore_missing_tables:
        raise InvalidInput(
            f"Snowflake has no table {', '.join(missing)} in the schema {schema}.",
            remedy="Check the spelling, and that the role may see it; or ignore_missing_tables=True.",
        )
    return {table: at.astimezone(dt.UTC) for table, at in changed.items() if at is not None}


def _changed(
    found: Mapping[tuple[str, str], dt.datetime], schema: str, table: str
) -> dt.datetime | None:
    for key in ((schema, table), (schema, stored(table)), (stored(schema), table)):
        if key in found:
            return found[key]
    return found.get((stored(schema), stored(table)))


def _marks(mark: str, values: Sequence[str]) -> str:
    return ", ".join([mark] * len(values))
