from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetSelection,
    AssetSpec,
    Component,
    Config,
    Definitions,
    materialize,
)
from dagster.components import build_defs_for_component

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import DagsterDbtTranslatorSettings, DbtProject, DbtProjectComponent

TYPE = "dagweave.dbt.DbtProjectComponent"


def names(defs: Definitions) -> set[str]:
    keys = defs.resolve_asset_graph().materializable_asset_keys
    return {key.to_user_string() for key in keys}


def test_dg_finds_it_through_its_entry_point():
    (entry,) = [
        each
        for each in entry_points(group="dagster_dg_cli.registry_modules")
        if each.name == "dagweave_dbt"
    ]

    assert issubclass(entry.load().DbtProjectComponent, Component)


def test_a_defs_folder_loads_and_a_model_is_built(dg: Any, shop_dir: Path):
    dg.says(
        "shop",
        project=str(shop_dir),
        cli_args=["build", {"--vars": {"run_date": "{{ '2024' }}-02-01"}}],
        include_metadata=["row_count"],
        op={"name": "the_shop", "tags": {"team": "data"}, "pool": "duckdb"},
        exclude="resource_type:snapshot",
        translation={"key_prefix": "house", "group_name": "{{ node.resource_type }}"},
        translation_settings={"enable_source_tests_as_checks": True},
    )

    defs = dg.load()

    assert "house/order_history" not in names(defs)
    assert "house/stg_orders" in names(defs)
    asset = defs.resolve_assets_def(AssetKey(["house", "orders"]))
    assert (asset.op.name, asset.op.tags["team"], asset.op.pool) == ("the_shop", "data", "duckdb")
    spec = asset.get_asset_spec(AssetKey(["house", "orders"]))
    assert spec.group_name == "model"
    assert {dep.asset_key for dep in spec.deps} == {
        AssetKey(["house", "stg_orders"]),
        AssetKey(["house", "stg_customers"]),
    }
    assert "dagster/code_references" in spec.metadata
    result = materialize([asset], selection=AssetSelection.assets(["house", "countries"]))
    (built,) = result.asset_materializations_for_node("the_shop")
    assert built.asset_key == AssetKey(["house", "countries"])
    assert built.metadata["dagster/row_count"].value == 2


@pytest.mark.parametrize(("granularity", "count"), [("model", 8), ("group", 8), (None, 1)], ids=str)
def test_a_project_is_as_many_steps_as_it_says(
    dg: Any, shop_dir: Path, granularity: str | None, count: int
):
    dg.says("shop", project=str(shop_dir), granularity=granularity, op={"pool": "duckdb"})

    graph = dg.load().resolve_asset_graph()

    steps = [each for each in graph.assets_defs if each.is_executable]
    assert len(steps) == count
    assert {step.op.pool for step in steps} == {"duckdb"}
    chosen = [step for step in steps if AssetKey("countries") in step.keys]
    result = materialize(chosen, selection=AssetSelection.assets("countries"))
    [step] = {event.step_key for event in result.all_events if event.is_step_success}
    assert step == ("shop__countries" if granularity else "shop")


def test_a_selection_that_matches_nothing_is_no_steps(dg: Any, shop_dir: Path):
    dg.says("shop", project=str(shop_dir), granularity="model", select="tag:nowhere")

    assert names(dg.load()) == set()


def test_paths_are_relative_to_the_file_that_says_them(dg: Any, shop_dir: Path):
    shop_dir.rename(dg.package / "defs" / "shop_dbt")
    dg.says("mine", project={"project_dir": "../shop_dbt", "target": "other"}, select="countries")
    (dg.package / "defs" / "shop_dbt" / "models").rename(dg.root / "models_aside")

    assert names(dg.load()) == {"countries"}


def test_several_components_of_one_project_and_of_another_stand_side_by_side(
    dg: Any, shop_dir: Path, write_manifest: Any
):
    other = dg.root / "other"
    (other / "target").mkdir(parents=True)
    (other / "dbt_project.yml").write_text("name: other\nprofile: shop\n")
    write_manifest({"unique_id": "model.other.theirs"}, project="other").rename(
        other / "target" / "manifest.json"
    )
    dg.says("staging", project=str(shop_dir), select="tag:staging")
    dg.says("rest", project=str(shop_dir), select="tag:marts")
    dg.says("rest", project=str(shop_dir), select="resource_type:seed")
    dg.says("other", project="{{ context.project_root }}/other")

    defs = dg.load()

    assert {"stg_orders", "orders", "countries", "theirs"} <= names(defs)
    graph = defs.resolve_asset_graph()
    ops = {each.op.name for each in graph.assets_defs if each.is_executable}
    assert ops == {"shop_staging", "shop_rest", "shop_rest_1", "other"}
    assert AssetKey("stg_orders") in graph.get(AssetKey("orders")).parent_keys


class Ours(DbtProjectComponent):
    """As a user may subclass it."""

    class Options(Config):
        full_refresh: bool = False

    @property
    def op_config_schema(self) -> type[Config]:
        return self.Options

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        props = self.get_resource_props(manifest, unique_id)
        return spec.replace_attributes(key=spec.key.with_prefix(props["resource_type"]))

    def get_asset_check_spec(self, asset_spec: Any, manifest: Any, unique_id: str, project: Any):
        check = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        return check and check._replace(blocking=False)

    def get_cli_args(self, context: Any) -> list[str]:
        config = self.Options(**context.op_execution_context.op_config)
        return [
            *super().get_cli_args(context),
            *(["--full-refresh"] if config.full_refresh else []),
        ]

    def execute(self, context: Any, dbt: Any) -> Iterator[Any]:
        context.log.info("ours")
        yield from super().execute(context, dbt)


def test_a_subclass_says_otherwise(shop: DbtProject, fake_dbt: Any):
    ours = Ours(shop, select="stg_orders revenue")

    asset = next(iter(build_defs_for_component(ours).assets or []))
    result = materialize(
        [asset],
        run_config={"ops": {asset.op.name: {"config": {"full_refresh": True}}}},
        raise_on_error=False,
    )

    assert asset.keys == {
        AssetKey(["model", "stg_orders"]),
        AssetKey(["model", "finance", "revenue"]),
    }
    assert not any(check.blocking for check in asset.check_specs)
    assert not result.success
    assert "--full-refresh" in fake_dbt.calls[0]["argv"]
    assert ours.asset_key_for_model("revenue") == AssetKey(["model", "finance", "revenue"])
    selection = ours.get_asset_selection("revenue")
    assert selection.resolve([asset]) == {AssetKey(["model", "finance", "revenue"])}
    assert AssetCheckKey(AssetKey(["model", "stg_orders"]), "unique_stg_orders_id") in {
        check.key for check in asset.check_specs
    }


def test_templates_of_the_command_know_the_partition(shop: DbtProject, fake_dbt: Any, dg: Any):
    dg.says(
        "shop",
        project=str(shop.project_dir),
        select="stg_orders",
        cli_args=["build", {"--vars": {"day": "{{ partition_key }}"}}, {"--threads": 2}],
        translation={
            "partitions_def": {"type": "daily", "start_date": "2024-01-01"},
        },
    )

    asset = dg.load().resolve_assets_def(AssetKey("stg_orders"))
    materialize([asset], partition_key="2024-01-02", raise_on_error=False)

    argv = fake_dbt.calls[0]["argv"]
    assert argv[:5] == ["build", "--vars", '{"day": "2024-01-02"}', "--threads", "2"]


def test_what_is_wrong_in_an_argument_or_a_name_is_said(shop: DbtProject):
    component = DbtProjectComponent(shop)

    with pytest.raises(InvalidInput, match="Nearest: revenue"):
        component.asset_key_for_model("revenues")


def test_code_references_are_on_and_all_else_is_as_the_translator_has_it(shop: DbtProject):
    settings = DbtProjectComponent(shop).translator.settings

    plain = DagsterDbtTranslatorSettings()
    for each in fields(plain):
        if each.name != "enable_code_references":
            assert getattr(settings, each.name) == getattr(plain, each.name)
    assert settings.enable_code_references


def test_it_is_scaffolded_with_the_path_of_a_project(dg: Any, shop_dir: Path):
    from dagster.components.component_scaffolding import scaffold_object

    place = dg.package / "defs" / "mine"
    params = f'{{"project_path": "{shop_dir}"}}'
    scaffold_object(place, TYPE, params, "yaml", dg.root)

    said = yaml.safe_load((place / "defs.yaml").read_text())
    assert said == {
        "type": TYPE,
        "attributes": {"project": "{{ context.project_root }}/../shop"},
    }
    assert "orders" in names(dg.load())
