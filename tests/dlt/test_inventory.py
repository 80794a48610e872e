import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import dlt
import pytest
from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetSpec,
    DagsterInstance,
    RetryPolicy,
    materialize,
)

from dagweave._dagster.snapshots import refreshing
from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.state import SnapshotUnusable, state_dir
from dagweave.dlt import (
    DagsterDltResource,
    DagsterDltTranslator,
    build_dlt_asset_specs,
    dlt_assets,
)

called: list[tuple[str, str]] = []
has_lines = True


@pytest.fixture(autouse=True)
def _nothing_was_called():
    global has_lines
    called.clear()
    has_lines = True


@dlt.source
def github(access_token: str = dlt.secrets.value, repository: str = "house/web"):
    called.append((access_token, repository))

    @dlt.resource(write_disposition="merge", primary_key="id")
    def issues():
        """What is to be done."""
        yield [{"id": 1, "labels": [{"name": "bug"}]}]

    @dlt.transformer(data_from=issues)
    def comments(items):
        yield items

    return (issues, comments) if has_lines else (issues,)


def snapshot() -> dict:
    (file,) = state_dir().glob("dlt/*.json")
    return json.loads(file.read_bytes())


def test_definitions_load_without_the_credentials_of_the_source(make_pipeline):
    specs = build_dlt_asset_specs(github, make_pipeline(), name="github")

    issues, comments = specs
    assert [issues.key, comments.key] == [
        AssetKey(["github", "issues"]),
        AssetKey(["github", "comments"]),
    ]
    assert issues.description == "What is to be done."
    assert issues.metadata["dagster/table_name"] == "wh.raw.issues"
    assert issues.kinds == {"dlt", "duckdb"}
    assert [dep.asset_key for dep in comments.deps] == [AssetKey("github_issues")]
    # What has a default keeps it.
    assert [repository for _, repository in called] == ["house/web"]


def test_the_specs_are_those_of_the_source_itself(make_pipeline, monkeypatch):
    of_function = build_dlt_asset_specs(github, make_pipeline(), name="github")
    monkeypatch.setenv("SOURCES__ACCESS_TOKEN", "t0ken-of-the-environment")
    of_source = build_dlt_asset_specs(github(), make_pipeline(), name="github")

    assert [spec.replace_attributes(metadata=dict(spec.metadata)) for spec in of_function] == list(
        of_source
    )


def test_a_source_is_called_once_and_then_known_from_its_snapshot(make_pipeline):
    first = build_dlt_asset_specs(github, make_pipeline(), name="github")

    again = build_dlt_asset_specs(github, make_pipeline(), name="github")

    assert list(again) == list(first)
    assert len(called) == 1
    issues = snapshot()["data"]["resources"][0]
    assert issues["primary_key"] == ["id"]
    assert issues["write_disposition"] == "merge"
    assert snapshot()["data"]["resources"][1]["parent"] == "issues"


def test_a_snapshot_holds_no_secret(make_pipeline, monkeypatch):
    monkeypatch.setenv("SOURCES__ACCESS_TOKEN", "t0ken-of-the-environment")
    source = functools.partial(github, access_token="t0ken-as-an-argument")

    build_dlt_asset_specs(github, make_pipeline(), name="github")
    build_dlt_asset_specs(source, make_pipeline(), name="other")

    assert called[0][0] == "t0ken-of-the-environment"
    files = [path for path in state_dir().rglob("*") if path.is_file()]
    assert len(files) == 2
    for file in files:
        assert "t0ken" not in file.name + file.read_text()


def test_the_table_follows_the_pipeline_of_now_and_not_that_of_the_snapshot(make_pipeline):
    build_dlt_asset_specs(github, make_pipeline(), name="github")

    moved = build_dlt_asset_specs(github, make_pipeline(dataset_name="prod"), name="github")

    assert moved[0].metadata["dagster/table_name"] == "wh.prod.issues"


def test_sources_that_differ_by_an_argument_do_not_share_a_snapshot(make_pipeline):
    for repository in ("house/web", "house/app"):
        source = functools.partial(github, repository=repository)
        build_dlt_asset_specs(source, make_pipeline(), name="github")

    assert len(list(state_dir().glob("dlt/*.json"))) == 2


def test_a_run_calls_the_source_with_its_credentials(make_pipeline, assets_of, load, monkeypatch):
    assets = assets_of(github, name="github")
    monkeypatch.setenv("SOURCES__ACCESS_TOKEN", "t0ken-of-the-environment")
    called.clear()

    loaded = load(assets, selection=[AssetKey(["github", "issues"])])

    assert called == [("t0ken-of-the-environment", "house/web")]
    assert loaded.metadata["github/issues"]["rows_loaded"] == 1
    assert list(loaded.metadata) == ["github/issues"]


def test_credentials_missing_at_the_run_are_named_and_not_retried(assets_of, load):
    assets = assets_of(github, name="github", retry_policy=RetryPolicy(max_retries=2))

    loaded = load(assets, raise_on_error=False)

    assert "InvalidInput: dlt pipeline 'shop' misses configuration" in loaded.complaint
    assert "ACCESS_TOKEN" in loaded.complaint
    assert "stand-in" not in loaded.complaint
    assert loaded.result.retry_attempts_for_node("github") == 0


def test_a_resource_that_is_gone_is_named_with_the_command_to_run(assets_of, load, monkeypatch):
    global has_lines
    assets = assets_of(github, name="github")
    monkeypatch.setenv("SOURCES__ACCESS_TOKEN", "t0ken")
    has_lines = False

    complaint = load(assets, raise_on_error=False).complaint

    assert "dlt source 'github' has no resource 'comments' any more" in complaint
    assert "dagweave refresh" in complaint


def test_a_resource_that_is_new_is_left_out_and_said(assets_of, load, monkeypatch, capfd):
    global has_lines
    has_lines = False
    assets = assets_of(github, name="github")
    monkeypatch.setenv("SOURCES__ACCESS_TOKEN", "t0ken")
    has_lines = True

    assert list(load(assets).metadata) == ["github/issues"]
    assert (
        "resources that are no assets yet, and are not loaded: comments" in capfd.readouterr().err
    )


def test_a_refresh_finds_what_is_new(make_pipeline):
    global has_lines
    has_lines = False
    build_dlt_asset_specs(github, make_pipeline(), name="github")
    has_lines = True
    assert len(build_dlt_asset_specs(github, make_pipeline(), name="github")) == 1

    with refreshing() as done:
        build_dlt_asset_specs(github, make_pipeline(), name="github")

    assert [each.changed for each in done] == [True]
    assert len(build_dlt_asset_specs(github, make_pipeline(), name="github")) == 2


def test_a_snapshot_of_an_older_format_is_made_anew_or_named(make_pipeline, monkeypatch):
    build_dlt_asset_specs(github, make_pipeline(), name="github")
    (file,) = state_dir().glob("dlt/*.json")
    file.write_text(file.read_text().replace('"format": 1', '"format": 0'))

    def broken():
        raise ConnectionError("no route to the source")

    broken.__module__, broken.__qualname__ = github.__module__, github.__qualname__
    with pytest.raises(SnapshotUnusable, match="Its format is 0, and this version reads 1"):
        build_dlt_asset_specs(broken, make_pipeline(), name="github")
    assert len(build_dlt_asset_specs(github, make_pipeline(), name="github")) == 2
    assert snapshot()["format"] == 1


def test_a_source_that_cannot_be_called_offline_says_what_to_do(make_pipeline, monkeypatch):
    monkeypatch.setenv("SHOP_API_KEY", "k3y-of-the-shop")

    @dlt.source
    def discovered():
        raise ConnectionError("401 for https://api.example.com/tables?key=k3y-of-the-shop")

    with pytest.raises(InvalidInput, match="has no inventory of dlt source") as refused:
        build_dlt_asset_specs(discovered, make_pipeline())

    assert "dagweave refresh" in str(refused.value)
    assert "ConnectionError: 401" in str(refused.value)
    assert "k3y" not in str(refused.value)


def test_a_function_that_wants_arguments_is_refused_with_what_to_write(make_pipeline):
    @dlt.source
    def of_repository(repository):
        return dlt.resource([{"id": 1}], name=repository)

    with pytest.raises(InvalidInput, match="wants arguments: repository") as refused:
        build_dlt_asset_specs(of_repository, make_pipeline())

    assert "functools.partial" in str(refused.value)


def rows():
    yield [{"id": 1}]


def no_source():
    return {"id": 1}


@pytest.mark.parametrize(("given", "made"), [(rows, "generator"), (no_source, "dict")])
def test_a_function_that_makes_no_source_is_refused(make_pipeline, given, made):
    with pytest.raises(InvalidInput, match=made) as refused:
        build_dlt_asset_specs(given, make_pipeline())

    assert "dlt source" in str(refused.value)


def test_a_translator_that_raises_is_named_with_the_resource(make_pipeline):
    class Broken(DagsterDltTranslator):
        def get_asset_spec(self, data) -> AssetSpec:
            return super().get_asset_spec(data).replace_attributes(key=data.resource.nonsense)

    with pytest.raises(
        InvalidInput, match="Broken raised for dlt resource 'issues' of source"
    ) as e:
        build_dlt_asset_specs(github, make_pipeline(), Broken())

    assert isinstance(e.value.__cause__, AttributeError)


DEFS = """
from dagster import AssetExecutionContext, Definitions
from dagweave.dlt import DagsterDltResource, dlt_assets

def shop():
    import dlt
    open("called", "a").write("x")

    @dlt.source
    def shop(key: str = dlt.secrets.value):
        @dlt.resource
        def orders():
            yield [{"id": 1, "key": key}]
        return orders
    return shop()

def pipeline():
    import dlt
    destination = dlt.destinations.duckdb("shop.duckdb")
    return dlt.pipeline("shop", destination=destination, dataset_name="raw", pipelines_dir="p")

@dlt_assets(dlt_source=shop, dlt_pipeline=pipeline, name="shop")
def shop_assets(context: AssetExecutionContext, dlt: DagsterDltResource):
    yield from dlt.run(context=context)

defs = Definitions([shop_assets], resources={"dlt": DagsterDltResource()})
"""


def test_refreshed_definitions_load_without_dlt_and_in_a_read_only_container(tmp_path):
    Path("pipeline.py").write_text(DEFS)

    refreshed = subprocess.run(
        [Path(sys.executable).with_name("dagweave"), "refresh", "-f", "pipeline.py", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert refreshed.returncode == 0, refreshed.stderr
    (said,) = json.loads(refreshed.stdout)
    assert (said["area"], said["changed"], said["error"]) == ("dlt", True, None)
    calls = Path("called").read_text()
    for path in [*state_dir().rglob("*"), state_dir()]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    script = (
        "import sys, pipeline\n"
        "spec, = pipeline.shop_assets.specs\n"
        "assert spec.key.path == ['shop', 'orders'], spec\n"
        "assert spec.metadata['dagster/table_name'] == 'shop.raw.orders'\n"
        "assert 'dlt' not in sys.modules and 'duckdb' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path("called").read_text() == calls


def test_a_source_function_can_be_given_to_the_run_as_well(make_pipeline, load, monkeypatch):
    monkeypatch.setenv("SOURCES__ACCESS_TOKEN", "t0ken")

    @dlt_assets(dlt_source=github, dlt_pipeline=make_pipeline(), name="github")
    def assets(context: AssetExecutionContext, dlt: DagsterDltResource):
        source = functools.partial(github, repository="house/app")
        yield from dlt.run(context=context, dlt_source=source)

    with DagsterInstance.ephemeral() as instance:
        result = materialize([assets], resources={"dlt": DagsterDltResource()}, instance=instance)

    assert result.success
    assert called[-1] == ("t0ken", "house/app")
