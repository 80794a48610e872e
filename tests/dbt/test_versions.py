"""The other versions of dbt, each in an environment of its own: parse, load, select, run, retry.

`tests/dbt/versions` says which; `make` installs them. Selections are held against what each selects
itself, a run is retried, and a warm process forks it.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetExecutionContext,
    AssetKey,
    ExecuteInProcessResult,
    RetryPolicy,
    asset,
    materialize,
)

from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.select import select

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".venvs"
VERSIONS = sorted(file.stem for file in (HERE / "versions").glob("*.txt"))

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.parametrize(
        "version",
        [pytest.param(each, marks=pytest.mark.xdist_group(f"dbt-{each}")) for each in VERSIONS],
        scope="module",
    ),
]


def without_arguments(said: Any) -> Any:
    """The tests of a YAML file as they were written before 1.10.5."""
    if isinstance(said, list):
        return [without_arguments(each) for each in said]
    if not isinstance(said, dict):
        return said
    inner = {key: without_arguments(value) for key, value in said.items() if key != "arguments"}
    return {**inner, **said.get("arguments", {})}


@dataclass
class Shop:
    """The shop, parsed by a version of dbt."""

    dbt: Path
    project: DbtProject

    def ls(self, *args: str) -> list[str]:
        keys = ["--resource-type", "all", "--output", "json", "--output-keys", "unique_id"]
        done = subprocess.run(
            [self.dbt, "--quiet", "ls", *keys, *args],
            cwd=self.project.project_dir,
            capture_output=True,
            text=True,
            check=True,
        )
        return sorted(json.loads(line)["unique_id"] for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def shop(version: str, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop") / "shop"
    shutil.copytree(HERE / "shop", folder)
    if version in ("1.8", "1.9"):
        for file in folder.glob("models/**/*.yml"):
            said = without_arguments(yaml.safe_load(file.read_text()))
            file.write_text(yaml.safe_dump(said, sort_keys=False))
    dbt = ENVIRONMENTS / f"dbt-{version}" / "bin" / "dbt"
    assert dbt.exists(), f"make .venvs/dbt-{version}/ready"
    project = DbtProject(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{dbt.parent}{os.pathsep}{os.environ['PATH']}")
        project.preparer.prepare(project)
    return Shop(dbt, project)


@pytest.fixture
def full_run(shop: Shop) -> ExecuteInProcessResult:
    """A run of everything, whose first attempt fails, and a report that stands on it."""

    @dbt_assets(
        manifest=shop.project.manifest_path,
        project=shop.project,
        retry_policy=RetryPolicy(max_retries=1),
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        given = json.dumps({"bad_rows": context.retry_number == 0})
        yield from dbt.cli(["build", "--vars", given], context=context).stream()

    @asset(deps=[AssetKey(["finance", "revenue"])])
    def report() -> None: ...

    dbt = DbtCliResource(shop.project, dbt_executable=shop.dbt)
    return materialize([models, report], resources={"dbt": dbt}, raise_on_error=False)


def test_the_manifest_loads_as_the_same_assets_and_checks_and_selects_as_this_dbt_does(
    version: str, shop: Shop, manifest_path: Path
):
    usual = dbt_assets(manifest=manifest_path, name="usual")(lambda: None)
    assets = dbt_assets(manifest=shop.project.manifest_path, name="models")(lambda: None)

    manifest = Manifest.of(shop.project.manifest_path)
    assert manifest.dbt_version.startswith(f"{version}.")
    assert assets.keys == usual.keys
    assert {spec.key for spec in assets.check_specs} == {spec.key for spec in usual.check_specs}
    said = "stg_* tag:nightly,+finance.* @stg_customers,test_type:unit", "dim_customers.v1"
    ours = select(manifest, select=said[0], exclude=said[1], indirect="cautious").ids
    asked = ("--select", said[0], "--exclude", said[1], "--indirect-selection", "cautious")
    assert sorted(ours) == shop.ls(*asked)


def test_a_run_that_fails_is_completed_by_its_retry(
    version: str, shop: Shop, full_run: ExecuteInProcessResult
):
    assert version
    assert full_run.success
    runs = sorted(
        shop.project.project_dir.glob(f"target/*-{full_run.run_id[:7]}-*/run_results.json"),
        key=lambda path: path.stat().st_mtime_ns,
    )
    first, second = (
        {each["unique_id"]: each["status"] for each in json.loads(file.read_text())["results"]}
        for file in runs
    )
    assert first["model.shop.orders"] == "skipped"
    assert second["model.shop.orders"] == "success"
    assert "model.shop.stg_customers" not in second
    made = {event.asset_key for event in full_run.get_asset_materialization_events()}
    assert {AssetKey(["orders"]), AssetKey(["stg_customers"]), AssetKey(["report"])} <= made
    checked = {each.check_name: each.passed for each in full_run.get_asset_check_evaluations()}
    assert checked["unique_stg_orders_id"]
    assert checked["amounts_odd_ones"] is False


@pytest.mark.skipif(sys.platform != "linux", reason="the warm runner is of Linux")
def test_a_part_runs_warm_with_row_counts_and_columns(
    version: str,
    shop: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    assert version
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))

    @dbt_assets(manifest=shop.project.manifest_path, project=shop.project)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        events = dbt.cli(["build"], context=context).stream()
        yield from events.fetch_row_counts().fetch_column_metadata()

    dbt = DbtCliResource(shop.project, dbt_executable=shop.dbt, runner="warm")
    result = materialize([models], resources={"dbt": dbt}, selection=[AssetKey(["countries"])])

    assert "not by the warm runner" not in caplog.text
    [event] = result.get_asset_materialization_events()
    assert event.materialization.metadata["dagster/row_count"].value
    schema: Any = event.materialization.metadata["dagster/column_schema"].value
    assert {column.name for column in schema.columns} >= {"code"}
    [socket] = (runtime / "dagweave").glob("*.sock")
    socket.unlink()
