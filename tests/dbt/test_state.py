"""Selections that compare with another run: evaluated by dbt, and run with what they compare with."""

import shutil
from typing import Any

import pytest
from dagster import AssetExecutionContext, AssetsDefinition, materialize

from dagweave._kernel.errors import InvalidInput, WorkFailed
from dagweave.dbt import DbtCliResource, DbtProject, build_dbt_asset_selection, dbt_assets


@pytest.fixture
def changed(shop: DbtProject) -> DbtProject:
    """The shop with one changed model, beside the manifest of what it was."""
    shutil.copytree(shop.project_dir / "target", shop.project_dir / "state")
    model = shop.project_dir / "models" / "staging" / "stg_customers.sql"
    model.write_text(model.read_text() + "\nwhere true")
    project = DbtProject(shop.project_dir, state_path="state")
    project.preparer.prepare(project)
    return project


def defined(project: DbtProject, **options: Any) -> AssetsDefinition:
    @dbt_assets(manifest=project.manifest_path, project=project, **options)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["run", *dbt.get_defer_args()], context=context).stream()

    return models


def names(definition: AssetsDefinition) -> set[str]:
    return {key.to_user_string() for key in definition.keys}


def test_what_was_modified_is_a_definition_and_runs(changed: DbtProject):
    models = defined(changed, select="state:modified+", exclude="orders+")

    assert names(models) == {"stg_customers", "dim_customers_v1", "dim_customers_v2"}
    result = materialize([models], resources={"dbt": DbtCliResource(changed)})
    assert {event.asset_key for event in result.get_asset_materialization_events()} == models.keys


def test_what_was_modified_can_be_selected_in_dagster(changed: DbtProject):
    models = defined(changed)

    selection = build_dbt_asset_selection([models], "state:modified")

    assert {key.to_user_string() for key in selection.resolve([models])} == {"stg_customers"}


def test_without_a_project_dbt_cannot_be_asked_and_the_error_says_so(changed: DbtProject):
    with pytest.raises(InvalidInput, match=r"'state'(?s:.*)give the project"):
        dbt_assets(manifest=changed.manifest_path, select="state:modified")


def test_without_a_state_to_compare_with_dbt_says_so(shop: DbtProject):
    with pytest.raises((InvalidInput, WorkFailed), match="state"):
        defined(shop, select="state:modified")


def test_a_method_that_nobody_knows_is_refused_by_dbt(shop: DbtProject):
    with pytest.raises((InvalidInput, WorkFailed), match="no_such_method"):
        defined(shop, select="no_such_method:x")
