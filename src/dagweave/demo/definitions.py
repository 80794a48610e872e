"""The pipeline: what is loaded, built, computed, scheduled and watched.

`dagweave demo` runs it, and `dagweave demo --ui` opens it in Dagster.
"""

# The signatures of two functions of Dagster are partly untyped.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from dagster import (
    AssetSelection,
    Definitions,
    EnvVar,
    ScheduleDefinition,
    build_schedule_from_partitioned_job,
    define_asset_job,
)

from dagweave.dbt import DbtCliResource
from dagweave.demo.delays import daily_delays, worst_days
from dagweave.demo.home import Home
from dagweave.demo.ingest import ingested_flights
from dagweave.demo.transform import flight_models, project
from dagweave.dlt import DagsterDltResource
from dagweave.duckdb import DuckDBPolarsIOManager
from dagweave.slack import SlackResource, slack_on_failure
from dagweave.weaving import weave

alerts = {slack_on_failure("#data-alerts")}

flights = define_asset_job(
    "flights",
    AssetSelection.groups("ingestion") | AssetSelection.assets(flight_models),
    description="Load the flights, build the marts, test them.",
    hooks=alerts,
)
delays = define_asset_job(
    "delays",
    AssetSelection.groups("delays"),
    description="Delay statistics of the chosen months.",
    hooks=alerts,
)

defs = weave(
    Definitions(
        assets=[ingested_flights, flight_models, daily_delays, worst_days],
        jobs=[flights, delays],
        schedules=[
            ScheduleDefinition(job=flights, cron_schedule="0 5 * * *"),
            build_schedule_from_partitioned_job(delays),
        ],
        resources={
            "dlt": DagsterDltResource(),
            "dbt": DbtCliResource(project_dir=project),
            "io_manager": DuckDBPolarsIOManager(database=str(Home.current().database)),
            "slack": SlackResource(token=EnvVar("SLACK_BOT_TOKEN")),
        },
    )
)
