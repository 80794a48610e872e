"""The Statement Execution API over minilake's tables, nearer to Databricks than minilake's own.

minilake hands SQL to DuckDB as it is, binds no parameters, answers an error of SQL with an error of
HTTP, and gives every value but numbers as text. Here SQL is Databricks' (sqlglot translates it),
parameters have types, statements have states, Arrow has types, and what Delta refuses is refused:
rows outside of REPLACE WHERE, a type that is not wider, names with dots and spaces.
"""

from __future__ import annotations

import itertools
import json
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import sqlglot
from fastapi import APIRouter, Request, Response
from minilake.app import get_duckdb_pool
from minilake.config import settings
from minilake.errors import DatabricksError
from minilake.services import sql_warehouses
from sqlglot import exp

CHUNK_ROWS = 5_000
"""Small, so that tests see several."""

router = APIRouter()
statements: dict[str, Statement] = {}
faults: dict[str, Any] = {}
"""What the tests want to go wrong: see `set_faults`."""
versions = itertools.count(1)


@dataclass
class Statement:
    id: str
    request: dict[str, Any]
    started_ms: int
    state: str = "PENDING"
    table: pa.Table | None = None
    error: dict[str, str] | None = None
    looks_left: int = 0
    """How often it will be found pending still."""
    chunks: list[pa.Table] = field(default_factory=list)

    @property
    def arrow(self) -> bool:
        return self.request.get("format") == "ARROW_STREAM"

    def answer(self, base: str) -> dict[str, Any]:
        found: dict[str, Any] = {"statement_id": self.id, "status": {"state": self.state}}
        if self.error:
            found["status"]["error"] = self.error
        if self.state == "SUCCEEDED" and self.table is not None:
            columns = [
                {"name": f.name, "type_text": type_text(f.type), "position": at}
                for at, f in enumerate(self.table.schema)
            ]
            found["manifest"] = {
                "format": self.request.get("format", "JSON_ARRAY"),
                "schema": {"column_count": len(columns), "columns": columns},
                "total_chunk_count": len(self.chunks),
                "total_row_count": self.table.num_rows,
            }
            found["result"] = self.chunk(0, base) if self.chunks else {}
        return found

    def chunk(self, at: int, base: str) -> dict[str, Any]:
        rows = self.chunks[at]
        where = {"chunk_index": at, "row_offset": at * CHUNK_ROWS, "row_count": rows.num_rows}
        if at + 1 < len(self.chunks):
            where["next_chunk_index"] = at + 1
        if not self.arrow:
            lines = [
                [None if v is None else _json(v) for v in row.values()] for row in rows.to_pylist()
            ]
            return {**where, "data_array": lines}
        link = f"{base}emulator/links/{self.id}/{at}?sig=a-secret-of-the-link"
        return {"external_links": [{**where, "external_link": link, "byte_count": rows.nbytes}]}


def _json(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | list | dict) else str(value)


@router.post("/api/2.0/sql/statements")
# As SDKs of old write it.
@router.post("/api/2.0/sql/statements/")
async def execute(request: Request) -> Any:
    asked = await request.json()
    warehouse = sql_warehouses._state["warehouses"].get(asked.get("warehouse_id"))
    if warehouse is None:
        raise DatabricksError(
            "NOT_FOUND", f"SQL warehouse {asked.get('warehouse_id')} not found.", 404
        )
    done = Statement(str(uuid.uuid4()), asked, int(time.time() * 1000))
    statements[done.id] = done
    if warehouse["state"] != "RUNNING":
        warehouse["state"] = "RUNNING"
        done.looks_left = 3
    if wanted("keep_running", done):
        done.looks_left = 10**9
    elif wanted("conflict_in", done):
        done.state = "FAILED"
        message = "[DELTA_CONCURRENT_APPEND] Files were added by a concurrent update."
        done.error = {"error_code": "ABORTED", "message": message}
    else:
        await carry_out(done)
    if done.looks_left:
        return {"statement_id": done.id, "status": {"state": "PENDING"}}
    if wanted("lose_answers_of", done):
        return broken()
    return done.answer(str(request.base_url))


def wanted(fault: str, statement: Statement) -> bool:
    """Whether a fault is meant for this statement; then it has happened."""
    if fault in faults and re.search(faults[fault], statement.request["statement"]):
        return bool(faults.pop(fault))
    return False


def broken() -> Response:
    return _Broken()


class _Broken(Response):
    """An answer that breaks off."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # The server ends the connection when less comes than was announced.
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]}
        )
        await send({"type": "http.response.body", "body": b"{"})


@router.get("/api/2.0/sql/statements/{statement_id}")
async def look(statement_id: str, request: Request) -> Any:
    found = statements[statement_id]
    if found.looks_left:
        found.looks_left -= 1
        return {"statement_id": found.id, "status": {"state": "PENDING"}}
    return found.answer(str(request.base_url))


@router.get("/api/2.0/sql/statements/{statement_id}/result/chunks/{at}")
async def chunk(statement_id: str, at: int, request: Request) -> Any:
    return statements[statement_id].chunk(at, str(request.base_url))


@router.get("/emulator/links/{statement_id}/{at}")
async def follow(statement_id: str, at: int, request: Request) -> Response:
    if request.headers.get("authorization"):
        # As cloud storage does with a link that is signed.
        return Response("two ways to authenticate", 400)
    if faults.pop("expire_a_link", None):
        return Response("the link has expired", 403)
    rows = statements[statement_id].chunks[at]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return Response(sink.getvalue().to_pybytes())


@router.post("/api/2.0/sql/statements/{statement_id}/cancel")
async def cancel(statement_id: str) -> dict[str, Any]:
    found = statements[statement_id]
    found.looks_left, found.state, found.table = 0, "CANCELED", None
    return {}


@router.get("/api/2.0/sql/history/queries")
async def history(request: Request) -> dict[str, Any]:
    since = int(request.query_params.get("filter_by.query_start_time_range.start_time_ms", 0))
    found = [
        {
            "query_id": each.id,
            "query_text": each.request["statement"],
            "status": "FAILED" if each.error else "FINISHED",
            "warehouse_id": each.request["warehouse_id"],
        }
        for each in statements.values()
        if each.started_ms >= since
    ]
    return {"res": found[::-1], "has_next_page": False}


@router.get("/emulator/faults")
async def set_faults(request: Request) -> dict[str, Any]:
    """Let something go wrong once, with a statement that a regular expression finds.

    `lose_answers_of`: it is carried out, and the connection breaks. `conflict_in`: another writer
    was first. `keep_running`: it does not end. `expire_a_link=1`: of the next chunk.
    """
    faults.update(request.query_params)
    return faults


@router.get("/emulator/statements")
async def told(like: str = "") -> list[dict[str, Any]]:
    """The statements that came, for tests of how often one does."""
    return [
        {"statement": s.request["statement"], "state": s.state, "error": s.error}
        for s in statements.values()
        if re.search(like, s.request["statement"])
    ]


@router.get("/.well-known/databricks-config")
async def known(request: Request) -> dict[str, Any]:
    return {"oidc_endpoint": f"{request.base_url}oidc", "workspace_id": "1234567890"}


@router.get("/api/2.1/unity-catalog/schemas/{name}")
async def schema(name: str) -> dict[str, Any]:
    catalog, _, own = name.partition(".")
    rows = await ask(
        "SELECT 1 FROM information_schema.schemata WHERE catalog_name = ? AND schema_name = ?",
        [catalog, own.lower()],
    )
    if not rows:
        raise DatabricksError("SCHEMA_DOES_NOT_EXIST", f"Schema '{name}' does not exist.", 404)
    return {"name": own, "catalog_name": catalog, "full_name": name}


@router.get("/api/2.1/unity-catalog/tables/{name}")
async def table(name: str) -> dict[str, Any]:
    key = [part.lower() for part in name.split(".", 2)]
    rows = await ask(
        "SELECT column_name, data_type, comment, is_nullable FROM duckdb_columns() "
        "WHERE (database_name, schema_name, lower(table_name)) = (?, ?, ?) ORDER BY column_index",
        key,
    )
    if not rows:
        raise DatabricksError("TABLE_DOES_NOT_EXIST", f"Table '{name}' does not exist.", 404)
    quoted = ".".join(f'"{part}"' for part in key)
    types = (await run(f"SELECT * FROM {quoted} LIMIT 0")).schema
    columns = [
        {
            "name": row[0],
            "type_text": type_text(types.field(at).type).lower(),
            "comment": row[2],
            "nullable": row[3],
            "position": at,
        }
        for at, row in enumerate(rows)
    ]
    checks = await ask(
        "SELECT constraint_name, expression FROM duckdb_constraints() WHERE constraint_type = 'CHECK'"
        " AND (database_name, schema_name, lower(table_name)) = (?, ?, ?)",
        key,
    )
    properties = {f"delta.constraints.{check[0]}": check[1] for check in checks}
    return {"name": key[2], "full_name": name, "columns": columns, "properties": properties}


async def ask(sql: str, values: Any = None) -> list[Any]:
    pool = get_duckdb_pool()
    connection = await pool.get_uc_connection()
    async with await pool.get_uc_lock():
        return connection.execute(sql, values).fetchall()


async def run(*sqls: str) -> pa.Table:
    """Run statements in one transaction; what the last one answers."""
    pool = get_duckdb_pool()
    connection = await pool.get_uc_connection()
    async with await pool.get_uc_lock():
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("BEGIN")
        try:
            for sql in sqls:
                found = connection.execute(sql)
            answer = found.to_arrow_table() if found.description else pa.table({})
            connection.execute("COMMIT")
        except Exception:
            connection.execute("ROLLBACK")
            raise
        return answer


class Refusal(Exception):
    """An error of SQL, with the class that Databricks has for it."""


async def carry_out(statement: Statement) -> None:
    asked = statement.request
    try:
        answer = await translated(asked["statement"].strip(), asked.get("parameters") or [])
    except Exception as error:  # noqa: BLE001 -- an answer, whatever it is
        statement.state = "FAILED"
        statement.error = {"error_code": "BAD_REQUEST", "message": classified(error)}
        return
    statement.state, statement.table = "SUCCEEDED", answer
    step = CHUNK_ROWS
    statement.chunks = [answer.slice(at, step) for at in range(0, answer.num_rows, step)]


CLASSES = {
    "TABLE_OR_VIEW_NOT_FOUND": r"(Table|View) with name .* does not exist",
    "SCHEMA_NOT_FOUND": r"(Schema|schema) .*does not exist|Catalog .* does not exist",
    "TABLE_OR_VIEW_ALREADY_EXISTS": r"already exists",
    "UNRESOLVED_COLUMN.WITH_SUGGESTION": r"Referenced column",
    "CAST_OVERFLOW": r"out of range|Type .* can't be cast",
    "CAST_INVALID_INPUT": r"Could not convert string|invalid .* field format",
    "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES": r"CHECK constraint",
    "DELTA_NOT_NULL_CONSTRAINT_VIOLATED": r"NOT NULL constraint",
    "PARSE_SYNTAX_ERROR": r"Parser Error|syntax error|Invalid expression",
}


def classified(error: Exception) -> str:
    if isinstance(error, Refusal):
        return str(error)
    for name, sign in CLASSES.items():
        if re.search(sign, str(error)):
            return f"[{name}] {error} SQLSTATE: 42000"
    return f"[INTERNAL_ERROR] {error}"


async def translated(sql: str, parameters: list[dict[str, Any]]) -> pa.Table:
    bare = re.sub(r"^\s*/\*.*?\*/\s*", "", sql)
    if found := re.match(r"CREATE VOLUME IF NOT EXISTS (.+)$", bare):
        path = settings.data_dir / "dbfs" / "Volumes" / "/".join(_parts(found[1]))
        path.mkdir(parents=True, exist_ok=True)
        return pa.table({})
    if found := re.match(r"DESCRIBE HISTORY (.+) LIMIT 1$", bare):
        return await _remembered(found[1])
    if found := re.match(r"RESTORE TABLE (.+) TO VERSION AS OF (\d+)$", bare):
        name = _duckdb(found[1])
        return await run(f"DELETE FROM {name}", f"INSERT INTO {name} FROM main.version_{found[2]}")
    if found := re.match(r"ALTER TABLE (.+) SET TBLPROPERTIES \((.+)\)$", bare):
        return pa.table({})
    if found := re.match(r"ALTER TABLE (.+) ALTER COLUMN (`.+`) COMMENT '(.*)'$", bare):
        column = found[2].strip("`").replace('"', '""')
        return await run(f"COMMENT ON COLUMN {_duckdb(found[1])}.\"{column}\" IS '{found[3]}'")
    bare = re.sub(r"^(CREATE .*?) TBLPROPERTIES \([^)]*\) AS ", r"\1 AS ", bare)
    tree = sqlglot.parse_one(bare, read="databricks")
    bound = {each["name"]: each for each in parameters}
    tree = tree.transform(lambda node: _made_duckdb(node, bound))
    return await _changed(tree)


async def _changed(tree: exp.Expression) -> pa.Table:
    """Run a statement; of one that changes rows, answer as Databricks does."""
    if isinstance(tree, exp.Create):
        _require_names(tree)
    if isinstance(tree, exp.Insert):
        return await _inserted(tree)
    answer = await run(tree.sql("duckdb"))
    if answer.column_names in (["Count"], ["Success"]) and not answer.num_rows:
        return pa.table({})
    counted = answer.column("Count")[0].as_py() if answer.column_names == ["Count"] else None
    if isinstance(tree, exp.Merge):
        return pa.table(
            {
                "num_affected_rows": [counted],
                "num_inserted_rows": [counted],
                "num_updated_rows": [0],
                "num_deleted_rows": [0],
            }
        )
    if counted is not None:
        names = ["num_affected_rows", "num_inserted_rows"]
        return pa.table(
            {name: [counted] for name in names[: 1 + (not isinstance(tree, exp.Delete))]}
        )
    return answer


async def _inserted(tree: exp.Insert) -> pa.Table:
    where, overwrite = tree.args.get("where"), tree.args.get("overwrite")
    tree.set("where", None)
    tree.set("overwrite", None)
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    name, insert = target.sql("duckdb"), tree.sql("duckdb")
    before: list[str] = []
    if where is not None:
        condition = where.sql("duckdb")
        columns = [row[0] for row in await ask(f"DESCRIBE {name}")]
        placed = ", ".join('"' + column.replace('"', '""') + '"' for column in columns)
        rows = f"({tree.expression.sql('duckdb')}) AS incoming({placed})"
        [[strays]] = await ask(f"SELECT count(*) FROM {rows} WHERE ({condition}) IS NOT TRUE")
        if strays:
            raise Refusal(
                "[DELTA_REPLACE_WHERE_MISMATCH] Written data does not conform to partial table "
                f"overwrite condition or constraint '{condition}'."
            )
        before = [f"DELETE FROM {name} WHERE {condition}"]
    if overwrite:
        before = [f"DELETE FROM {name}"]
    counted = (await run(*before, insert)).column("Count")[0].as_py()
    return pa.table({"num_affected_rows": [counted], "num_inserted_rows": [counted]})


async def _remembered(table: str) -> pa.Table:
    """The version of a table, kept to be restored."""
    version = next(versions)
    await run(f"CREATE TABLE main.version_{version} AS FROM {_duckdb(table)}")
    return pa.table({"version": [version]})


def _made_duckdb(node: exp.Expression, bound: dict[str, dict[str, Any]]) -> exp.Expression:
    if isinstance(node, exp.Placeholder):
        given = bound[node.name]
        value = given.get("value")
        literal = exp.null() if value is None else exp.Literal.string(value)
        return exp.cast(literal, exp.DataType.build(given.get("type", "STRING"), "databricks"))
    if isinstance(node, exp.Table) and node.db.lower() == "information_schema":
        return exp.Table(this=node.this, db=node.args["db"])
    if isinstance(node, exp.Table) and node.db.lower() == "parquet":
        if not node.name.startswith("/Volumes/"):
            raise Refusal(f"[PATH_NOT_FOUND] Path does not exist: {node.name}")
        files = settings.data_dir / "dbfs" / node.name.lstrip("/") / "*.parquet"
        read = exp.func("read_parquet", exp.Literal.string(str(files)))
        return exp.Table(this=read, alias=node.args.get("alias"))
    return node


def _require_names(tree: exp.Create) -> None:
    table = tree.find(exp.Table)
    if table is not None and re.search(r"[. /\x00-\x1f\x7f]", table.name):
        raise Refusal(f"[INVALID_SCHEMA_OR_RELATION_NAME] {table.name} is not a valid name.")


def _parts(name: str) -> list[str]:
    table = exp.to_table(name, dialect="databricks")
    return [part.name for part in table.parts]


def _duckdb(name: str) -> str:
    return exp.to_table(name, dialect="databricks").sql("duckdb")


_TEXTS = {
    "bool": "BOOLEAN", "int8": "TINYINT", "int16": "SMALLINT", "int32": "INT", "int64": "BIGINT",
    "float": "FLOAT", "double": "DOUBLE", "string": "STRING", "binary": "BINARY",
    "date32[day]": "DATE", "timestamp[us]": "TIMESTAMP_NTZ", "null": "VOID",
}  # fmt: skip


def type_text(type_: Any) -> str:
    """A type as the API spells it."""
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision},{type_.scale})"
    if pa.types.is_timestamp(type_) and type_.tz:
        return "TIMESTAMP"
    if pa.types.is_list(type_):
        return f"ARRAY<{type_text(type_.value_type)}>"
    if pa.types.is_map(type_):
        return f"MAP<{type_text(type_.key_type)}, {type_text(type_.item_type)}>"
    if pa.types.is_struct(type_):
        return "STRUCT<" + ", ".join(f"{f.name}: {type_text(f.type)}" for f in type_) + ">"
    return _TEXTS[str(type_)]
