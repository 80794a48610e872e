"""Loading the definitions of a dbt project, over the official package.

`DAGWEAVE_BENCH_MODELS=1000,5000,10000` says for how many models. Three questions for each:

- the integration's own share, in the process: decoding, selection, specs and check specs;
- the whole, from the start of the process to the snapshot of each job;
- the whole with ten schedules by dbt selection, over ours without them, and the official's with them.
"""

from __future__ import annotations

from benchmarks.dbt_projects import project, sizes
from benchmarks.measure import OFFICIAL, OURS, Command, Figures, compare

OURS_PACKAGE, OFFICIAL_PACKAGE = "dagweave.dbt", "dagster_dbt"
OWN = """
import time, {package}
from pathlib import Path

started = time.process_time()
{package}.build_dbt_asset_specs(manifest=Path({manifest!r}))
print("own share:", time.process_time() - started)
"""
LOAD = """
import dagster, {package}
from pathlib import Path

@{package}.dbt_assets(manifest=Path({manifest!r}))
def models(context): ...

schedules = [
    {package}.build_schedule_from_dbt_selection(
        [models], job_name=f"job_{{n}}", cron_schedule="@daily", dbt_select=select
    )
    for n, select in enumerate({selects})
]
repository = dagster.Definitions([models], schedules=schedules).get_repository_def()
for job in repository.get_all_jobs():
    job.get_job_snapshot()
"""
# As users have them: by tag, by folder, and with what is upstream or downstream.
SELECTS = (
    *("tag:hourly", "tag:daily", "tag:weekly", "tag:marts", "tag:staging"),
    *(
        "staging.*",
        "tag:intermediate,tag:hourly",
        "+mart_domain_000_*",
        "stg_domain_000_*+",
        "marts.*",
    ),
)


def own_share(figures: Figures) -> float:
    """What the script measured of itself, in CPU seconds."""
    return float(figures.said.partition("own share:")[2])


def main() -> None:
    """All three, for the sizes asked for."""
    for models in sizes("1000"):
        manifest = str(project(models, OURS) / "target" / "manifest.json")

        def command(script: str, package: str, selects: tuple[str, ...] = ()) -> Command:
            text = script.format(package=package, manifest=manifest, selects=selects)  # noqa: B023
            label = f"{package}, {len(selects)} schedules" if selects else package
            return Command(label, text, python=OURS if package == OURS_PACKAGE else OFFICIAL)

        ours, official = (command(OWN, each) for each in (OURS_PACKAGE, OFFICIAL_PACKAGE))
        compare(
            f"dbt: own share of loading {models:,} models", ours, official, runs=3, of=own_share
        )
        ours, official = (command(LOAD, each) for each in (OURS_PACKAGE, OFFICIAL_PACKAGE))
        compare(f"dbt: load {models:,} models", ours, official, runs=3)
        scheduled, theirs = (
            command(LOAD, each, SELECTS) for each in (OURS_PACKAGE, OFFICIAL_PACKAGE)
        )
        compare(
            f"dbt: load {models:,} models and {len(SELECTS)} schedules", scheduled, ours, runs=3
        )
        compare(
            f"dbt: load {models:,} models and {len(SELECTS)} schedules", scheduled, theirs, runs=1
        )


if __name__ == "__main__":
    main()
