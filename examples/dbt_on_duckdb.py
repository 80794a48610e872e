"""A Python asset loads sales, dbt builds on them, and `weave` links the two.

    dagster dev -f examples/dbt_on_duckdb.py

Nobody has told Dagster that dbt's source `till.sales` is what the asset `sales` writes: both name
the same table, `coffee.raw.sales`.
"""

from pathlib import Path

import duckdb
from dagster import (
    AssetExecutionContext,
    Definitions,
    MaterializeResult,
    ScheduleDefinition,
    asset,
    define_asset_job,
)

from dagweave.dbt import DbtCliResource, DbtProject, build_dbt_asset_selection, dbt_assets
from dagweave.weaving import TableRef, weave

project = DbtProject(Path(__file__).parent / "dbt_project")
project.prepare_if_dev()

SALES = [
    ("2026-01-05", "Espresso", 250),
    ("2026-01-05", "Flat white", 420),
    ("2026-01-06", "Filter", 310),
    ("2026-01-06", "Espresso", 250),
]


@asset(metadata=TableRef("sales", "raw", "coffee", "duckdb").to_metadata(), group_name="sales")
def sales() -> MaterializeResult:
    """The sales of the tills, as they come."""
    with duckdb.connect(str(project.project_dir / "coffee.duckdb")) as connection:
        connection.execute("create schema if not exists raw")
        connection.execute(
            "create or replace table raw.sales (sold_on date, drink text, price_cents integer)"
        )
        connection.executemany("insert into raw.sales values (?, ?, ?)", SALES)
    return MaterializeResult(metadata={"dagster/row_count": len(SALES)})


@dbt_assets(manifest=project.manifest_path, project=project)
def coffee(context: AssetExecutionContext, dbt: DbtCliResource):
    """All models of the project; its tests are asset checks."""
    yield from dbt.cli(["build"], context=context).stream().fetch_row_counts()


nightly = define_asset_job(
    "nightly", build_dbt_asset_selection([coffee], dbt_select="tag:marts").upstream()
)

defs = weave(
    Definitions(
        assets=[sales, coffee],
        schedules=[ScheduleDefinition(job=nightly, cron_schedule="0 6 * * *")],
        resources={"dbt": DbtCliResource(project_dir=project)},
    )
)
