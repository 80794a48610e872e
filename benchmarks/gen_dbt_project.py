#!/usr/bin/env python3
"""Generate a synthetic, deterministic dbt project that runs on DuckDB.

The project has three layers (staging -> intermediate -> marts) grouped in
domains, with sources, described and typed columns, generic tests, tags, dbt
groups with owners, a few ephemeral/incremental models, seeds and exposures.
The same arguments always produce byte-identical files.

    python gen_dbt_project.py OUT --models 1000 --seed 7 --tests-per-model 2

Then, inside OUT (profiles.yml is included; the database path can be set with
DBT_DUCKDB_PATH):

    dbt parse                              # manifest.json only
    dbt run-operation create_raw_tables    # once, before the first build
    dbt build
"""

from __future__ import annotations

import argparse
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

LAYERS = ("staging", "intermediate", "marts")
COLUMN_POOL = (
    ("amount", "double", "i * 1.5"),
    ("quantity", "integer", "i % 17"),
    ("status", "varchar", "case i % 3 when 0 then 'open' when 1 then 'paid' else 'void' end"),
    ("country_code", "varchar", "case i % 2 when 0 then 'FR' else 'US' end"),
    ("is_active", "boolean", "i % 5 <> 0"),
    ("unit_price", "double", "i / 3.0"),
    ("discount", "double", "(i % 10) / 100.0"),
    ("channel", "varchar", "'web'"),
    ("score", "integer", "(i * 7) % 100"),
    ("segment", "varchar", "'s' || (i % 4)"),
)
BASE_COLUMNS = (
    ("id", "integer", "i"),
    ("created_at", "timestamp", "timestamp '2024-01-01' + to_days(cast(i as integer))"),
)


@dataclass
class Model:
    name: str
    layer: str
    domain: str
    columns: list[tuple[str, str, str]]
    parents: list[Model] = field(default_factory=list)
    source: int | None = None
    materialized: str = "view"
    tags: list[str] = field(default_factory=list)
    tests: list[tuple[str, object]] = field(default_factory=list)


def plan(args: argparse.Namespace, rng: random.Random) -> tuple[list[Model], int]:
    n_staging = max(1, round(args.models * 0.4))
    n_intermediate = round((args.models - n_staging) / 2)
    counts = (n_staging, n_intermediate, args.models - n_staging - n_intermediate)
    n_sources = args.sources or max(1, n_staging // 2)
    n_domains = max(1, args.models // args.models_per_domain)

    models: list[Model] = []
    by_layer: dict[str, list[Model]] = {layer: [] for layer in LAYERS}
    for layer, count in zip(LAYERS, counts, strict=True):
        prefix = {"staging": "stg", "intermediate": "int", "marts": "mart"}[layer]
        for i in range(count):
            domain = f"domain_{i * n_domains // max(1, count):03d}"
            extra = rng.sample(COLUMN_POOL, max(0, args.columns - len(BASE_COLUMNS)))
            model = Model(f"{prefix}_{domain}_{i:05d}", layer, domain, [*BASE_COLUMNS, *extra])
            if layer == "staging":
                model.source = i % n_sources
            else:
                pool = (
                    by_layer["staging"]
                    if layer == "intermediate"
                    else by_layer["intermediate"] or by_layer["staging"]
                )
                # mostly local references, as in a real project
                centre = int(i / max(1, count) * len(pool))
                lo, hi = max(0, centre - 20), min(len(pool), centre + 20)
                picks = rng.sample(range(lo, hi), min(hi - lo, rng.randint(1, 3)))
                if rng.random() < 0.1:
                    picks.append(rng.randrange(len(pool)))
                model.parents = [pool[j] for j in sorted(set(picks))]
                roll = rng.random()
                if layer == "intermediate":
                    model.materialized = "ephemeral" if roll < args.ephemeral_share else "view"
                else:
                    model.materialized = "incremental" if roll < 0.15 else "table"
            model.tags = [layer, rng.choice(("hourly", "daily", "weekly"))]
            candidates: list[tuple[str, object]] = [("not_null", "id"), ("unique", "id")]
            for column, _, _ in model.columns:
                if column != "id":
                    candidates.append(("not_null", column))
            model.tests = candidates[: args.tests_per_model]
            if (
                model.parents
                and args.tests_per_model >= 3
                and model.parents[0].materialized != "ephemeral"
            ):
                model.tests[-1] = ("relationships", model.parents[0].name)
            by_layer[layer].append(model)
            models.append(model)
    return models, n_sources


def model_sql(m: Model) -> str:
    config = f"{{{{ config(materialized='{m.materialized}'"
    if m.materialized == "incremental":
        config += ", unique_key='id'"
    config += f", tags={m.tags!r}) }}}}"
    lines = [config, "", "with"]
    if m.layer == "staging":
        lines += [
            "src as (",
            "    -- one row per record of the raw table",
            f"    select i from {{{{ source('raw', 't_{m.source:05d}') }}}}",
            "),",
        ]
        main = "src"
        exprs = {c: e for c, _, e in m.columns}
    else:
        for k, parent in enumerate(m.parents):
            lines += [f"p{k} as (", f"    select * from {{{{ ref('{parent.name}') }}}}", "),"]
        lines += ["joined as (", "    select p0.id as i", "    from p0"]
        for k in range(1, len(m.parents)):
            lines.append(f"    left join p{k} on p{k}.id = p0.id")
        lines += ["),"]
        main = "joined"
        exprs = {c: e for c, _, e in m.columns}
    lines += ["final as (", "    select"]
    cols = [f"        cast({exprs[c]} as {t}) as {c}" for c, t, _ in m.columns]
    lines.append(",\n".join(cols))
    lines += [f"    from {main}", ")", "", "select * from final"]
    if m.materialized == "incremental":
        lines += [
            "{% if is_incremental() %}",
            "where id > (select coalesce(max(id), 0) from {{ this }})",
            "{% endif %}",
        ]
    return "\n".join(lines) + "\n"


def properties_yml(models: list[Model]) -> str:
    out = ["version: 2", "", "models:"]
    for m in models:
        out += [
            f"  - name: {m.name}",
            "    description: >",
            f"      {m.layer.capitalize()} model of {m.domain}. One row per id. It combines",
            f"      {len(m.parents) or 1} upstream relation(s) and exposes {len(m.columns)} columns.",
            "    config:",
            f"      group: {m.domain}",
            f"      meta: {{owner: team-{m.domain}, tier: {len(m.name) % 3}}}",
            "    columns:",
        ]
        for c, t, _ in m.columns:
            out += [
                f"      - name: {c}",
                f"        data_type: {t}",
                f"        description: The {c} of the {m.layer} record.",
            ]
            tests = [(k, v) for k, v in m.tests if v == c]
            rel = [v for k, v in m.tests if k == "relationships" and c == "id"]
            if tests or rel:
                out.append("        data_tests:")
                for kind, _ in tests:
                    out.append(f"          - {kind}")
                for target in rel:
                    out += [
                        "          - relationships:",
                        "              arguments:",
                        f"                to: ref('{target}')",
                        "                field: id",
                    ]
    return "\n".join(out) + "\n"


def write_project(args: argparse.Namespace) -> None:
    out = Path(args.out)
    if out.exists() and args.force:
        shutil.rmtree(out)
    out.mkdir(parents=True)
    rng = random.Random(args.seed)
    models, n_sources = plan(args, rng)

    def put(path: str, text: str) -> None:
        p = out / path
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_text(text, encoding="utf-8")

    put(
        "dbt_project.yml",
        f"""name: {args.name}
version: "1.0.0"
config-version: 2
profile: {args.name}
model-paths: [models]
macro-paths: [macros]
seed-paths: [seeds]
test-paths: [tests]
models:
  {args.name}:
    staging: {{+materialized: view}}
    marts: {{+materialized: table}}
""",
    )
    put(
        "profiles.yml",
        f"""{args.name}:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: "{{{{ env_var('DBT_DUCKDB_PATH', 'warehouse.duckdb') }}}}"
      threads: {args.threads}
""",
    )
    put(
        "macros/create_raw_tables.sql",
        f"""{{% macro create_raw_tables() %}}
  {{% do run_query("create schema if not exists raw") %}}
  {{% for k in range({n_sources}) %}}
    {{% do run_query("create table if not exists raw.t_" ~ "%05d" % k ~ " as select range::integer as i from range({args.rows})") %}}
  {{% endfor %}}
{{% endmacro %}}
""",
    )
    src = [
        "version: 2",
        "",
        "sources:",
        "  - name: raw",
        "    schema: raw",
        "    description: Raw tables.",
        "    tables:",
    ]
    for k in range(n_sources):
        src += [
            f"      - name: t_{k:05d}",
            f"        description: Raw table {k}.",
            "        columns: [{name: i, data_type: integer, description: Row number.}]",
        ]
    put("models/staging/_sources.yml", "\n".join(src) + "\n")
    domains = sorted({m.domain for m in models})
    put(
        "models/_groups.yml",
        "groups:\n"
        + "".join(
            f"  - name: {d}\n    owner: {{name: Team {d}, email: {d}@example.com}}\n"
            for d in domains
        ),
    )
    grouped: dict[tuple[str, str], list[Model]] = {}
    for m in models:
        put(f"models/{m.layer}/{m.domain}/{m.name}.sql", model_sql(m))
        grouped.setdefault((m.layer, m.domain), []).append(m)
    for (layer, domain), members in grouped.items():
        put(f"models/{layer}/{domain}/_{layer}_{domain}.yml", properties_yml(members))
    for k in range(args.seeds):
        put(
            f"seeds/seed_{k:03d}.csv", "id,label\n" + "".join(f"{i},label_{i}\n" for i in range(10))
        )
    marts = [m for m in models if m.layer == "marts"]
    if marts and args.exposures:
        lines = ["version: 2", "", "exposures:"]
        for k in range(args.exposures):
            m = marts[k * len(marts) // args.exposures]
            lines += [
                f"  - name: dashboard_{k:03d}",
                "    type: dashboard",
                "    owner: {email: bi@example.com}",
                f"    depends_on: [ref('{m.name}')]",
            ]
        put("models/_exposures.yml", "\n".join(lines) + "\n")
    for k in range(args.singular_tests):
        m = models[k * len(models) // args.singular_tests]
        put(
            f"tests/assert_positive_{k:03d}.sql",
            f"select * from {{{{ ref('{m.name}') }}}} where id < 0\n",
        )


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("out", help="folder to create")
    p.add_argument("--models", type=int, default=100)
    p.add_argument("--seed", type=int, default=7, help="random seed")
    p.add_argument("--tests-per-model", type=int, default=2)
    p.add_argument("--columns", type=int, default=8, help="columns per model")
    p.add_argument(
        "--sources", type=int, default=0, help="source tables (0: half the staging models)"
    )
    p.add_argument("--models-per-domain", type=int, default=50)
    p.add_argument("--ephemeral-share", type=float, default=0.05)
    p.add_argument("--seeds", type=int, default=2, help="dbt seed files")
    p.add_argument("--exposures", type=int, default=2)
    p.add_argument("--singular-tests", type=int, default=1)
    p.add_argument("--rows", type=int, default=100, help="rows per raw table")
    p.add_argument("--threads", type=int, default=4, help="dbt threads in profiles.yml")
    p.add_argument("--name", default="synthetic")
    p.add_argument("--force", action="store_true", help="replace OUT if it exists")
    write_project(p.parse_args())


if __name__ == "__main__":
    main()
