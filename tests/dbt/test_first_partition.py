"""Runs of several partitions that start at once, of a table that does not exist yet."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    DagsterInstance,
    DailyPartitionsDefinition,
    materialize,
)

from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")


def defined(shop: DbtProject, select: str) -> AssetsDefinition:
    partitions = DailyPartitionsDefinition("2024-01-01")

    @dbt_assets(manifest=shop.manifest_path, project=shop, select=select, partitions_def=partitions)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["run"], context=context).stream()

    return models


def spans(models: AssetsDefinition, shop: DbtProject, folder: Path) -> list[tuple[float, float]]:
    """Run all days at once; return when each dbt ran, the first one first."""
    with DagsterInstance.local_temp(str(folder)) as instance, ThreadPoolExecutor() as pool:

        def run(day: str) -> bool:
            resources = {"dbt": DbtCliResource(shop)}
            return materialize(
                [models], partition_key=day, resources=resources, instance=instance
            ).success

        assert all(pool.map(run, DAYS))
    found = sorted(json.loads(file.read_text()) for file in folder.glob("*.span"))
    assert len(found) == len(DAYS)
    return [(start, end) for start, end in found]


@pytest.fixture
def slow_dbt(fake_dbt: Any, log: Any, tmp_path: Path) -> Path:
    """A dbt that takes its time, and writes down when that was."""
    folder = tmp_path / "home"
    folder.mkdir()
    fake_dbt.prints(
        [log.version(), log.built("model.shop.revenue"), log.built("model.shop.orders")],
        then=f"""
start = time.time()
time.sleep(1.5)
with open({str(folder)!r} + f"/{{os.getpid()}}.span", "w") as span:
    json.dump([start, time.time()], span)
""",
    )
    return folder


def test_the_first_run_of_an_incremental_table_goes_alone(shop: DbtProject, slow_dbt: Path):
    (_, end), (second, _), _ = spans(defined(shop, "revenue"), shop, slow_dbt)

    assert end <= second


def test_other_tables_are_made_at_once(shop: DbtProject, slow_dbt: Path):
    (_, end), (second, _), _ = spans(defined(shop, "orders"), shop, slow_dbt)

    assert second < end
