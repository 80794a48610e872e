"""Where bqemulator does otherwise than BigQuery, and our tests would notice: made right."""

from __future__ import annotations

import re
from typing import Any

from bqemulator.api.routes import tables
from bqemulator.jobs import executor
from bqemulator.storage.engine import DuckDBEngine

QUOTED = r"`([^`]+)`"
ALTER = re.compile(rf"ALTER TABLE {QUOTED}\.{QUOTED}\.{QUOTED} (.*)", re.DOTALL)
ADD = re.compile(rf"ADD COLUMN {QUOTED} (.*)")
DROP = re.compile(rf"DROP COLUMN {QUOTED}")
RETYPE = re.compile(rf"ALTER COLUMN {QUOTED} SET DATA TYPE (.*)")
TYPE = re.compile(r"(\w+)(?:\((\d+), (\d+)\))?")
KEPT = ("time_partitioning", "clustering", "description", "labels", "expiration_time")


def apply() -> None:
    _starts_without_a_download()
    _keeps_digits()
    _truncates_the_schema_too()
    _binds_in_scripts()
    _knows_what_was_altered()


def _starts_without_a_download() -> None:
    """It would fetch an extension for geography, which nothing here needs."""
    DuckDBEngine._load_spatial = lambda self: None


def _keeps_digits() -> None:
    """It forgets those of NUMERIC(22, 2)."""
    parse, to_rest = tables._parse_schema_fields, tables._field_to_rest

    def parsed(raw: list[dict[str, Any]]) -> tuple[Any, ...]:
        return tuple(
            field.model_copy(
                update={key: int(each[key]) for key in ("precision", "scale") if each.get(key)}
            )
            for field, each in zip(parse(raw), raw, strict=True)
        )

    def as_rest(field: Any) -> dict[str, Any]:
        digits = {"precision": field.precision, "scale": field.scale}
        return to_rest(field) | {key: str(n) for key, n in digits.items() if n is not None}

    tables._parse_schema_fields, tables._field_to_rest = parsed, as_rest


def _truncates_the_schema_too() -> None:
    """WRITE_TRUNCATE lets a table take the columns of what is loaded; it only deletes the rows."""
    dispose = executor._apply_load_write_disposition

    def disposed(job: Any, ctx: Any) -> None:
        dispose(job, ctx)
        if job.write_disposition != "WRITE_TRUNCATE" or "schema" not in job.raw_config:
            return
        name = {
            "project_id": job.project_id,
            "dataset_id": job.dataset_id,
            "table_id": job.table_id,
        }
        before = ctx.catalog.get_table(*name.values())
        ctx.engine.execute(f"DROP TABLE {job.target_ref}")
        ctx.catalog.delete_table(*name.values())
        executor._maybe_create_load_destination(
            dest_project=job.project_id,
            dest_dataset=job.dataset_id,
            dest_table_id=job.table_id,
            load_config=job.raw_config,
            now=ctx.clock.now(),
            ctx=ctx,
        )
        after = ctx.catalog.get_table(*name.values())
        kept = {key: getattr(before, key) for key in KEPT if hasattr(before, key)}
        ctx.catalog.update_table(after.model_copy(update=kept))

    executor._apply_load_write_disposition = disposed


def _binds_in_scripts() -> None:
    """It binds the parameters of single statements only."""
    run = executor._run_query_body

    async def bound(*, bq_sql: str, query_params: Any, is_scripted: bool, **others: Any) -> Any:
        if is_scripted:
            for each in query_params or ():
                bq_sql = re.sub(rf"@{each['name']}\b", lambda _, e=each: _literal(e), bq_sql)
        return await run(
            bq_sql=bq_sql, query_params=query_params, is_scripted=is_scripted, **others
        )

    executor._run_query_body = bound


def _literal(parameter: dict[str, Any]) -> str:
    type_, value = parameter["parameterType"]["type"], parameter["parameterValue"]["value"]
    if type_ in {"INT64", "FLOAT64", "BOOL"}:
        return str(value)
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'" if type_ == "STRING" else f"{type_} '{text}'"


def _knows_what_was_altered() -> None:
    """What ALTER TABLE did, tables.get does not tell."""
    run = executor._run_query_body

    async def altered(*, bq_sql: str, ctx: Any, **others: Any) -> Any:
        result = await run(bq_sql=bq_sql, ctx=ctx, **others)
        if found := ALTER.match(bq_sql):
            project, dataset, table, what = found.groups()
            meta = ctx.catalog.get_table(project, dataset, table)
            fields = _with(list(meta.schema_.fields), what)
            schema = meta.schema_.model_copy(update={"fields": tuple(fields)})
            ctx.catalog.update_table(meta.model_copy(update={"schema_": schema}))
        return result

    executor._run_query_body = altered


def _with(fields: list[Any], what: str) -> list[Any]:
    if added := ADD.match(what):
        return [*fields, *tables._parse_schema_fields([_field(*added.groups())])]
    if dropped := DROP.match(what):
        return [field for field in fields if field.name != dropped.group(1)]
    if retyped := RETYPE.match(what):
        name, type_ = retyped.groups()
        new = tables._parse_schema_fields([_field(name, type_)])[0]
        return [new if field.name == name else field for field in fields]
    return fields


def _field(name: str, type_: str) -> dict[str, Any]:
    kind, precision, scale = TYPE.fullmatch(type_).groups()
    return {"name": name, "type": kind, "precision": precision, "scale": scale}
