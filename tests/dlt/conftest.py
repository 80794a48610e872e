"""A DuckDB warehouse and pipelines into it, in the test's own folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    ExecuteInProcessResult,
    materialize,
)
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext

from dagweave.dlt import DagsterDltResource, dlt_assets


@dataclass(frozen=True)
class Loaded:
    """What came of materializing assets."""

    result: ExecuteInProcessResult

    @property
    def metadata(self) -> dict[str, Mapping[str, Any]]:
        """By asset, in the order they were reported: the values of the metadata."""
        return {
            event.asset_key.to_user_string(): {
                key: value.value for key, value in event.materialization.metadata.items()
            }
            for event in self.result.get_asset_materialization_events()
            if event.asset_key
        }

    @property
    def failure(self) -> Any:
        """What Dagster keeps of the one step that failed."""
        (failed,) = [event for event in self.result.all_events if event.is_step_failure]
        return failed.step_failure_data

    @property
    def complaint(self) -> str:
        """What the one failed step says."""
        return self.failure.user_failure_data.description


@pytest.fixture(autouse=True)
def _no_pipeline_is_active() -> None:
    """dlt gives a new source the rules of the pipeline that was made last: none, to begin with."""
    Container()[PipelineContext].deactivate()


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """Where the DuckDB file will be."""
    return tmp_path / "wh.duckdb"


@pytest.fixture
def make_pipeline(tmp_path: Path, warehouse: Path) -> Callable[..., dlt.Pipeline]:
    """Make a pipeline into the warehouse; settings as those of `dlt.pipeline`."""

    def make(pipeline_name: str = "shop", **settings: Any) -> dlt.Pipeline:
        settings = {
            "destination": dlt.destinations.duckdb(str(warehouse)),
            "dataset_name": "raw",
            "pipelines_dir": str(tmp_path / "pipelines"),
            **settings,
        }
        return dlt.pipeline(pipeline_name, **settings)

    return make


@pytest.fixture
def assets_of(make_pipeline: Callable[..., dlt.Pipeline]) -> Callable[..., AssetsDefinition]:
    """Make assets that load a source into the warehouse; settings as those of `dlt_assets`."""

    def make(source: Any, **settings: Any) -> AssetsDefinition:
        count = settings.pop("fetch_row_count", False)
        options = settings.pop("options", {})
        settings.setdefault("dlt_pipeline", None)
        settings["dlt_pipeline"] = settings["dlt_pipeline"] or make_pipeline()

        @dlt_assets(dlt_source=source, **settings)
        def loaded(context: AssetExecutionContext, dlt: DagsterDltResource):
            events = dlt.run(context=context, **options)
            yield from events.fetch_row_count() if count else events

        return loaded

    return make


@pytest.fixture
def load() -> Callable[..., Loaded]:
    """Materialize assets in this process; options as those of `materialize`."""

    def materialized(*assets: AssetsDefinition, **options: Any) -> Loaded:
        resources = options.pop("resources", {"dlt": DagsterDltResource()})
        return Loaded(materialize(assets, resources=resources, **options))

    return materialized


@pytest.fixture
def query(warehouse: Path) -> Callable[[str], list[tuple[Any, ...]]]:
    """Ask the warehouse."""

    def ask(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    return ask
