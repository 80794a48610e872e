import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetExecutionContext, materialize
from typer.testing import CliRunner

from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets
from dagweave.dbt.command import app
from dagweave.dbt.run import find_dbt


def run(*arguments: str | Path, exits: int = 0) -> str:
    """Run the command in this process, and return what it prints."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == exits, done.output
    return done.stdout


def dagweave(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = Path(sys.executable).with_name("dagweave")
    return subprocess.run([command, *arguments], capture_output=True, text=True, check=False)


def findings(folder: Path, *options: str, exits: int = 0) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in json.loads(run("doctor", folder, "--json", *options, exits=exits))["findings"]:
        found.setdefault(each["check"], []).append(each)
    return found


def test_every_command_has_an_example_in_its_help():
    project = [["project", "scaffold"], ["project", "prepare-and-package"]]
    for name in (["plan"], ["ls"], ["doctor"], *project):
        assert f"Example: dagweave dbt {' '.join(name)}" in run(*name, "--help")


def test_the_command_line_finds_it_and_shows_an_error_as_one_message(tmp_path: Path):
    shown = dagweave("dbt", "plan", str(tmp_path))

    assert shown.returncode == 1
    assert "is not a dbt project: it has no" in " ".join(shown.stderr.split())
    assert "Traceback" not in shown.stderr


def test_importing_the_command_imports_nothing_heavy():
    heavy = ("dbt", "duckdb", "jinja2", "pyarrow", "sqlglot", "dagweave.dbt.doctor")
    script = f"import dagweave.dbt.command, sys; print(*(set({heavy!r}) & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == [], done.stderr


class TestPlan:
    def test_nodes_come_in_the_order_of_dbt_with_their_tests(self, built_shop: Path):
        made = json.loads(run("plan", built_shop, "--select", "+revenue", "--json"))

        waves = {node["unique_id"]: node["wave"] for node in made["nodes"]}
        order = list(waves)
        assert waves["model.shop.stg_orders"] == 1
        assert waves["test.shop.unique_stg_orders_id.beb6e97f2f"] == 1
        # An ephemeral model stands between them, and is not run.
        assert waves["model.shop.orders"] == 2
        assert waves["model.shop.revenue"] == 3
        assert order[-1] == "test.shop.revenue_is_whole"
        (unit_test,) = [id_ for id_ in order if id_.startswith("unit_test.")]
        assert order.index(unit_test) == order.index("model.shop.revenue") - 1

    def test_it_says_what_each_node_is_in_dagster(self, built_shop: Path):
        made = json.loads(run("plan", built_shop, "--json"))
        nodes = {node["unique_id"]: node for node in made["nodes"]}

        assert nodes["model.shop.revenue"]["asset_key"] == "finance/revenue"
        assert nodes["model.shop.revenue"]["table"] == "warehouse.main_finance.revenue"
        assert nodes["test.shop.one_parent"]["asset_key"] == "orders"
        assert nodes["test.shop.orders_match_customers"]["check"] is None

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"select": "+orders tag:nightly", "exclude": "tag:staging"},
            {"selector": "tidy"},
        ],
    )
    def test_the_command_is_the_one_that_a_run_gives_to_dbt(
        self, options: dict[str, str], built_shop: Path, fake_dbt: Any
    ):
        project = DbtProject(built_shop, target="other")

        @dbt_assets(manifest=project.manifest_path, project=project, **options)
        def models(context: AssetExecutionContext, dbt: DbtCliResource):
            yield from dbt.cli(["build"], context=context, raise_on_error=False).stream()

        materialize([models], resources={"dbt": DbtCliResource(project)}, raise_on_error=False)
        flags = [word for name, value in options.items() for word in (f"--{name}", value)]
        made = json.loads(run("plan", built_shop, "--target", "other", "--json", *flags))

        assert made["argv"] == [str(fake_dbt.path), *fake_dbt.calls[0]["argv"]]

    def test_what_was_modified_is_found_by_dbt_and_the_run_compares_with_the_same(
        self, shop_dir: Path, tmp_path: Path
    ):
        (shop_dir / "target").rename(tmp_path / "state")
        changed = shop_dir / "models/marts/orders.sql"
        changed.write_text(changed.read_text() + " -- changed")
        subprocess.run([find_dbt(), "parse", "--quiet"], cwd=shop_dir, check=True)

        options = ("--select", "state:modified", "--state", tmp_path / "state", "--json")
        made = json.loads(run("plan", shop_dir, *options))

        models = [node["name"] for node in made["nodes"] if node["resource_type"] == "model"]
        assert models == ["orders"]
        assert made["argv"][1:] == [
            *("build", "--select", "state:modified", "--state", str(tmp_path / "state"))
        ]

    def test_a_selection_without_assets_plans_nothing(self, built_shop: Path):
        assert "Nothing" in run("plan", built_shop, "--select", "exposure:dashboard")


class TestLs:
    def test_it_lists_what_dbt_lists_and_leaves_the_artifacts_alone(self, shop_dir: Path):
        manifest = shop_dir / "target" / "manifest.json"
        before = manifest.stat().st_mtime_ns

        shown = json.loads(run("ls", shop_dir, "-s", "tag:nightly+", "--check", "--json"))

        assert "model.shop.revenue" in shown["selected"]
        assert shown["only_here"] == shown["only_in_dbt"] == []
        assert manifest.stat().st_mtime_ns == before

    def test_a_project_that_changed_is_a_difference(self, shop_dir: Path):
        (shop_dir / "models/marts/added.sql").write_text("select 1 as id")
        (shop_dir / "seeds/countries.csv").unlink()

        shown = json.loads(run("ls", shop_dir, "--check", "--json", exits=1))

        assert shown["only_in_dbt"] == ["model.shop.added"]
        assert shown["only_here"] == ["seed.shop.countries"]

    def test_it_is_a_list_for_a_pipe_and_says_what_matches_nothing_beside_it(
        self, built_shop: Path
    ):
        done = CliRunner().invoke(app, ["ls", str(built_shop), "-s", "orders", "-s", "oders"])

        assert "model.shop.orders" in done.stdout.splitlines()
        assert "'oders' matches nothing" in done.stderr.replace("\n", " ")
        assert "Nearest: orders" in done.stderr.replace("\n", " ")


class TestDoctor:
    def test_it_says_what_dagster_will_not_see(self, built_shop: Path):
        found = findings(built_shop)

        (tag,) = found["tag"]
        assert tag["about"] == ["model.shop.stg_customers"]
        reasons = {each["about"][0]: each["what"] for each in found["no-check"]}
        assert "several parents" in reasons["test.shop.orders_match_customers"]
        assert "test sources" in reasons["test.shop.source_not_null_raw_orders_id.f232a64478"]
        about = [name for each in found["no-asset"] for name in each["about"]]
        assert about == ["exposure.shop.dashboard", "model.shop.int_orders"]
        (dbt,) = found["dbt"]
        assert "dbt-core 1." in dbt["what"]
        assert "dbt-duckdb" in dbt["what"]
        assert found.keys() == {"tag", "no-check", "no-asset", "dbt", "profile"}

    def test_a_test_whose_model_is_not_selected_is_no_check(self, built_shop: Path):
        found = findings(built_shop, "-s", "orders", "--exclude", "stg_customers")

        reasons = {name: each["what"] for each in found["no-check"] for name in each["about"]}
        assert "not selected" in reasons["test.shop.revenue_is_whole"]

    def test_warnings_fail_a_build_only_if_asked_to(self, built_shop: Path):
        run("doctor", built_shop)
        run("doctor", built_shop, "--strict", exits=3)

    def test_shared_keys_and_sources_that_are_no_tables_are_found(
        self, write_manifest: Callable[..., Path], shop_dir: Path
    ):
        meta = {"meta": {"dagster": {"asset_key": ["same"]}}}
        path = write_manifest(
            {"unique_id": "model.shop.a", **meta},
            {"unique_id": "model.shop.b", **meta, "depends_on": {"nodes": ["source.shop.raw.f"]}},
            {"unique_id": "source.shop.raw.f", "relation_name": "'files/*.csv'"},
            disabled={"model.shop.off": [{}]},
        )
        path.rename(shop_dir / "target" / "manifest.json")

        found = findings(shop_dir, exits=1)

        assert found["shared-key"][0]["what"] == "2 nodes have the asset key same."
        assert found["source"][0]["about"] == ["source.shop.raw.f"]
        assert found["disabled"][0]["about"] == ["model.shop.off"]

    def test_files_that_changed_since_are_named_and_those_only_touched_are_not(
        self, shop_dir: Path
    ):
        (shop_dir / "models/staging/stg_orders.sql").touch()
        (shop_dir / "seeds/countries.csv").touch()
        changed = shop_dir / "models/marts/orders.sql"
        changed.write_text(changed.read_text() + "-- changed")
        (shop_dir / "models/marts/added.sql").write_text("select 1")
        (shop_dir / "tests/one_parent.sql").unlink()

        (age,) = findings(shop_dir)["age"]

        assert age["about"] == [
            "models/marts/added.sql",
            "models/marts/orders.sql",
            "tests/one_parent.sql (gone)",
        ]

    def test_what_keeps_a_project_from_running_is_an_error_beside_the_others(self, shop_dir: Path):
        (shop_dir / "target" / "manifest.json").unlink()
        (shop_dir / "packages.yml").write_text("packages: []")

        found = findings(shop_dir, "--target", "nowhere", exits=1)

        assert {name for name, each in found.items() if each[0]["severity"] == "error"} == {
            "manifest",
            "packages",
            "profile",
        }
        assert "It has: dev, other." in found["profile"][0]["what"]

    def test_a_profile_shows_none_of_its_secrets(self, shop_dir: Path):
        (shop_dir / "profiles.yml").write_text(
            "shop: {target: dev, outputs: {dev: {type: snowflake, password: hunter2}}}"
        )

        shown = run("doctor", shop_dir)

        assert "hunter2" not in shown
        assert "the target is of snowflake" in shown
