"""Snowflake, as far as fakesnow speaks it over HTTP; with what it lacks and we use.

fakesnow keeps tables in DuckDB. Mended here: temporary tables of a schema, which DuckDB has not, are
ordinary ones; ALTER SESSION SET TIMEZONE and MERGE are DuckDB's, MERGE in transactions, too;
comments of columns are kept, and told by DESCRIBE TABLE, which says of times that they are kept to
the microsecond, as DuckDB does; times that are null are so in results; CREATE SCHEMA, PUT and COPY
take names that need quotes.
"""

from __future__ import annotations

import json
import os
import re
import sys
from string import Template
from typing import Any

import fakesnow
import pyarrow as pa
from fakesnow import arrow, copy_into, cursor
from fakesnow.transforms import stage, transforms
from snowflake.connector.errors import ProgrammingError

_TEMPORARY = re.compile(r"^CREATE (OR REPLACE )?TEMPORARY TABLE (?=\S+\.)")
_ZONE = re.compile(r"^ALTER SESSION SET TIMEZONE = '([\w/+-]+)'$")
_SCHEMA = re.compile(r"^CREATE SCHEMA IF NOT EXISTS ")
_NOTE = re.compile(r"^ALTER TABLE (.+) ALTER COLUMN (\"(?:[^\"]|\"\")*\") COMMENT ('.*')$")
_PARTS = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')
_COMMENT = """(
    SELECT comment FROM duckdb_columns() AS c
    WHERE c.database_name = '${catalog}' AND c.schema_name = '${schema}'
    AND c.table_name = '${table}' AND c.column_name = _fs_columns.column_name
) AS "comment\""""


def mended(execute: Any) -> Any:
    def run(self: Any, command: str, *args: Any, **kwargs: Any) -> Any:
        done = None
        if zone := _ZONE.match(command):
            self._duck_conn.execute("SET TimeZone = ?", [zone[1]])
            done = "SELECT 'Statement executed successfully.' AS status"
        elif note := _NOTE.match(command):
            self._duck_conn.execute(f"COMMENT ON COLUMN {note[1]}.{note[2]} IS {note[3]}")
            done = "SELECT 'Statement executed successfully.' AS status"
        elif _SCHEMA.match(command) and '"' in command:
            self._duck_conn.execute(command)
            done = "SELECT 'Schema successfully created.' AS status"
        elif command.startswith("MERGE INTO ") and not kwargs.get("binding_params"):
            (count,) = self._duck_conn.execute(command).fetchone()
            done = f'SELECT {count} AS "number of rows inserted"'
        command = done or command
        try:
            return execute(self, _TEMPORARY.sub("CREATE TABLE ", command), *args, **kwargs)
        except ProgrammingError as error:
            # Who goes by the text, as the official package does, waits for Snowflake's own.
            error.msg = str(error.msg).replace("not exist!", "not exist or not authorized.")
            raise

    return run


def columns_of(table: Any, duck: Any, database: str | None, schema: str | None) -> list[Any]:
    parts = (table.catalog or database, table.db or schema, table.name)
    name = ".".join('"' + str(part).replace('"', '""') + '"' for part in parts)
    return [(row[0], row[1]) for row in duck.execute(f"DESCRIBE {name}").fetchall()]


def parts_of(
    var: str, current_database: str | None, current_schema: str | None
) -> tuple[Any, Any, Any]:
    found = [q.replace('""', '"') if q else p.upper() for q, p in _PARTS.findall(var)]
    return tuple([current_database, current_schema, None][: 3 - len(found)] + found)


def folder_of(find: Any) -> Any:
    def found(fqname: str, path: str = "") -> str:
        database, *schema, name = fqname.split(".")
        return find(f"{database}.{'_dot_'.join(schema)}.{name}", path)

    return found


def with_nulls(made: Any) -> Any:
    def times(column: Any) -> Any:
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        struct = made(column.fill_null(0))
        return pa.StructArray.from_arrays(
            struct.flatten(), fields=list(struct.type), mask=column.is_null()
        )

    return times


def mend() -> None:
    stage.parts_from_var = parts_of
    stage.internal_dir = folder_of(stage.internal_dir)
    arrow.timestamp_to_sf_struct = with_nulls(arrow.timestamp_to_sf_struct)
    cursor.FakeSnowflakeCursor.execute = mended(cursor.FakeSnowflakeCursor.execute)
    copy_into._describe_table = columns_of
    said = transforms.SQL_DESCRIBE_TABLE.template
    said = (
        said.replace("_NTZ(9)", "_NTZ(6)").replace("_TZ(9)", "_TZ(6)").replace("TIME(9)", "TIME(6)")
    )
    transforms.SQL_DESCRIBE_TABLE = Template(said.replace('NULL::VARCHAR AS "comment"', _COMMENT))


def main() -> None:
    # What the server logs must not fill the pipe that nobody reads after the first line.
    told = os.dup(1)
    os.dup2(2, 1)
    mend()
    with fakesnow.server() as reached:
        known = {name: reached[name] for name in ("host", "port", "protocol")}
        os.write(told, json.dumps(known).encode() + b"\n")
        sys.stdin.read()


if __name__ == "__main__":
    main()
