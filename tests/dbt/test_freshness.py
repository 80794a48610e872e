"""How fresh data is: of sources by dbt, of models by Dagster's record; and what stands on it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    asset,
    define_asset_job,
)

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import (
    DbtCliResource,
    DbtProject,
    build_dbt_exposure_specs,
    build_dbt_source_freshness_checks,
    build_freshness_checks_from_dbt_assets,
    dbt_assets,
)
from dagweave.weaving import weave

RAW_ORDERS = AssetKey(["raw", "orders"])


def defined(shop: DbtProject, **options: Any) -> AssetsDefinition:
    @dbt_assets(manifest=shop.manifest_path, project=shop, name="shop", **options)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream()

    return models


def checked(definitions: Definitions) -> dict[AssetKey, tuple[bool, str, Any]]:
    job = definitions.resolve_job_def("fresh")
    with DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)
    assert result.success
    return {
        each.asset_key: (each.passed, each.severity.value, each.metadata)
        for each in result.get_asset_check_evaluations()
    }


@pytest.fixture
def timed(shop: DbtProject) -> DbtProject:
    """The shop, with a source whose time dbt can compare."""
    yml = shop.project_dir / "models" / "sources.yml"
    yml.write_text(yml.read_text().replace("ordered_on", "cast(ordered_on as timestamp)"))
    shop.preparer.prepare(shop)
    return shop


def fresh(shop: DbtProject) -> Definitions:
    models = defined(shop)
    checks = build_dbt_source_freshness_checks([models])
    job = define_asset_job("fresh", AssetSelection.checks_for_assets(RAW_ORDERS))
    return Definitions(
        assets=[models],
        asset_checks=[checks],
        jobs=[job],
        resources={"dbt": DbtCliResource(shop)},
    )


def test_a_source_that_is_older_than_it_should_be_warns_and_one_that_is_not_passes(
    timed: DbtProject,
):
    [(passed, severity, metadata)] = checked(fresh(timed)).values()

    age = datetime.now(UTC) - datetime(2024, 1, 1, tzinfo=UTC)
    assert (passed, severity) == (age.days < 1000, "WARN" if age.days > 1000 else "ERROR")
    assert metadata["status"].value in ("pass", "warn")
    assert abs(metadata["age_s"].value - age.total_seconds()) < 2 * 86_400

    with duckdb.connect(str(timed.project_dir / "warehouse.duckdb")) as connection:
        connection.execute("update raw.orders_v1 set ordered_on = current_date")

    [(passed, _, metadata)] = checked(fresh(timed)).values()
    assert passed
    assert metadata["status"].value == "pass"


def test_a_source_that_cannot_be_looked_at_is_a_failed_check_that_says_why(shop: DbtProject):
    # Its time is a date.
    [(passed, severity, metadata)] = checked(fresh(shop)).values()

    assert (passed, severity) == (False, "ERROR")
    assert metadata["status"].value == "error"


def test_a_project_without_such_a_source_says_what_to_write(shop: DbtProject, write_manifest: Any):
    path = write_manifest({"unique_id": "model.shop.a"}, {"unique_id": "source.shop.raw.a"})

    @dbt_assets(manifest=path)
    def models(context: AssetExecutionContext): ...

    with pytest.raises(InvalidInput, match="loaded_at_field"):
        build_dbt_source_freshness_checks([models])


def hinted(write_manifest: Any, **said: Any) -> Path:
    return write_manifest(
        {"unique_id": "model.shop.orders", "meta": {"dagster": {"freshness_check": said}}},
        {"unique_id": "model.shop.plain"},
    )


@pytest.mark.filterwarnings("ignore:.*is superseded")
@pytest.mark.parametrize("partitions", [None, DailyPartitionsDefinition("2026-01-01")])
def test_a_model_says_how_fresh_it_should_be(write_manifest: Any, partitions: Any):
    path = hinted(write_manifest, lower_bound_delta_seconds="86400", deadline_cron="0 9 * * *")

    @dbt_assets(manifest=path, partitions_def=partitions)
    def models(context: AssetExecutionContext): ...

    [checks] = build_freshness_checks_from_dbt_assets(dbt_assets=[models])

    assert {key.asset_key for key in checks.check_keys} == {AssetKey("orders")}


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ({"lower_bound_delta_seconds": "a day"}, r"'orders'(?s:.*)a day"),
        ({"lower_bound_delta_seconds": 60, "severity": "info"}, r"'orders'.*INFO(?s:.*)WARN"),
    ],
)
def test_a_model_that_says_it_wrongly_is_named(write_manifest: Any, said: Any, seen: str):
    @dbt_assets(manifest=hinted(write_manifest, **said))
    def models(context: AssetExecutionContext): ...

    with pytest.raises(InvalidInput, match=seen):
        build_freshness_checks_from_dbt_assets(dbt_assets=[models])


def test_exposures_are_assets_downstream_of_what_they_show(shop: DbtProject):
    @asset(metadata={"dagster/table_name": "warehouse.raw.customers"})
    def customers() -> None: ...

    models = defined(shop)
    dbt = DbtCliResource(shop)
    woven = weave(Definitions([models, customers], resources={"dbt": dbt}))
    [made] = [each for each in woven.assets or () if "stg_orders" in str(each)]
    [dashboard] = build_dbt_exposure_specs([made])

    assert dashboard.key == AssetKey(["exposures", "dashboard"])
    assert {dep.asset_key for dep in dashboard.deps} == {
        AssetKey(["finance", "revenue"]),
        AssetKey("customers"),
    }
    assert dashboard.kinds == {"exposure", "dashboard"}
    assert list(dashboard.owners) == ["bi@example.com"]
    Definitions([models, dashboard], resources={"dbt": dbt}).resolve_asset_graph()
