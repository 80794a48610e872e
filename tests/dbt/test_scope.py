"""What dbt is told to run, for all that can be selected in Dagster; by a stand-in for dbt.

What dbt makes of it is evaluated by our `select`, which other tests compare with dbt's own.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dagster import (
    AssetCheckKey,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    AssetSpec,
    materialize,
    multi_asset,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagweave.dbt import (
    DagsterDbtError,
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    DbtProject,
    build_dbt_asset_specs,
    dbt_assets,
)
from dagweave.dbt.arguments import Arguments
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.origin import Origin
from dagweave.dbt.scope import Scope
from dagweave.dbt.select import select
from dagweave.dbt.telling import tell

ORDERS = AssetKey("stg_orders")
UNIQUE = AssetCheckKey(ORDERS, "unique_stg_orders_id")
NOT_NULL = AssetCheckKey(ORDERS, "not_null_stg_orders_id")


@pytest.fixture
def dbt(fake_dbt: Any, shop_dir: Path) -> DbtCliResource:
    return DbtCliResource(project_dir=str(shop_dir))


@pytest.fixture
def told(
    dbt: DbtCliResource, fake_dbt: Any, manifest_path: Path
) -> Callable[..., tuple[list[str], str | None]]:
    """Run what is selected; return the arguments that dbt got, and its indirect selection."""

    def run(
        selection: AssetSelection | None,
        *args: str,
        settings: DagsterDbtTranslatorSettings | None = None,
        **definition: Any,
    ) -> tuple[list[str], str | None]:
        translator = DagsterDbtTranslator(settings)
        definition = {"manifest": manifest_path, **definition}

        @dbt_assets(dagster_dbt_translator=translator, **definition)
        def models(context: AssetExecutionContext, dbt: DbtCliResource):
            yield from dbt.cli(args or ("run",), context=context).stream()

        result = materialize(
            [models], selection=selection, resources={"dbt": dbt}, raise_on_error=False
        )
        if not fake_dbt.calls:
            [failure] = [event for event in result.all_events if event.is_step_failure]
            raise AssertionError(failure.event_specific_data.error_display_string)
        call = fake_dbt.calls[-1]
        return call["argv"], call["env"].get("DBT_INDIRECT_SELECTION")

    return run


def nodes(manifest: Path, argv: Sequence[str], indirect: str | None) -> set[str]:
    """The assets and tests that dbt would run for these arguments."""
    words: dict[str, list[str]] = {"--select": [], "--exclude": []}
    into: list[str] = []
    for arg in argv:
        into = words.get(arg, into)
        if arg not in words:
            into.append(arg)
    whole = Manifest.of(manifest)
    found = select(
        whole,
        select=" ".join(words["--select"]),
        exclude=" ".join(words["--exclude"]),
        indirect=indirect or "eager",
    ).ids
    return {
        whole.node(id_).name
        for id_ in found
        if whole.node(id_).is_asset or whole.node(id_).resource_type == "test"
    }


def test_a_whole_definition_is_told_as_it_was_written(told: Callable[..., Any]):
    argv, indirect = told(None, select="staging.* tag:marts", exclude="revenue+ tag:x")

    assert argv == [
        "run", "--select", "staging.*", "tag:marts", "--exclude", "revenue+", "tag:x",
    ]  # fmt: skip
    assert indirect is None


def test_a_selector_is_told_by_its_name(told: Callable[..., Any]):
    argv, _ = told(None, selector="nightly")

    assert argv == ["run", "--selector", "nightly"]


def test_a_part_is_told_node_by_node_and_its_tests_come_along(
    told: Callable[..., Any], manifest_path: Path
):
    argv, indirect = told(AssetSelection.assets("stg_customers", "countries"))

    assert argv == ["run", "--select", "fqn:shop.staging.stg_customers", "fqn:shop.countries"]
    assert nodes(manifest_path, argv[1:], indirect) >= {
        "stg_customers",
        "countries",
        "unique_stg_customers_id",
    }


def test_assets_without_their_checks_run_no_test(told: Callable[..., Any], manifest_path: Path):
    selection = AssetSelection.assets(ORDERS) - AssetSelection.all_asset_checks()

    argv, indirect = told(selection)

    assert indirect == "empty"
    assert nodes(manifest_path, argv[1:], indirect) == {"stg_orders"}


def test_a_check_alone_runs_one_test(told: Callable[..., Any], manifest_path: Path):
    argv, indirect = told(AssetSelection.checks(UNIQUE))

    assert nodes(manifest_path, argv[1:], indirect) == {"unique_stg_orders_id"}


def test_an_asset_with_one_of_its_checks_runs_the_two(
    told: Callable[..., Any], manifest_path: Path
):
    only = AssetSelection.assets(ORDERS) - AssetSelection.all_asset_checks()

    argv, indirect = told(only | AssetSelection.checks(NOT_NULL))

    assert nodes(manifest_path, argv[1:], indirect) == {"stg_orders", "not_null_stg_orders_id"}


def test_a_check_whose_name_dbt_would_misread_is_found(
    told: Callable[..., Any], manifest_path: Path
):
    argv, indirect = told(AssetSelection.checks(AssetCheckKey(ORDERS, "amounts_odd_ones")))

    assert nodes(manifest_path, argv[1:], indirect) == {"amounts,odd:ones"}


def test_what_the_definition_excludes_does_not_come_back_in_a_part(
    told: Callable[..., Any], manifest_path: Path
):
    argv, indirect = told(AssetSelection.assets("orders"), exclude="test_type:singular")

    assert nodes(manifest_path, argv[1:], indirect) == {"orders", "unique_orders_id"}


def test_the_users_own_selection_is_added(told: Callable[..., Any]):
    argv, _ = told(
        AssetSelection.assets("countries"),
        "build", "--exclude", "tag:slow", "--select", "tag:extra", "-x",
    )  # fmt: skip

    assert argv == [
        "build", "-x", "--exclude", "tag:slow", "--select", "tag:extra",
        "--select", "fqn:shop.countries",
    ]  # fmt: skip


def test_tests_are_not_lost_where_dbt_selects_them_with_caution(
    told: Callable[..., Any], manifest_path: Path, monkeypatch: pytest.MonkeyPatch
):
    related = "relationships_stg_orders_customer_id__id__ref_stg_customers_"
    monkeypatch.setenv("DBT_INDIRECT_SELECTION", "cautious")

    for argv, indirect in (
        told(AssetSelection.assets(ORDERS)),
        told(None, select="stg_orders"),
        told(None, "run", "--indirect-selection", "buildable", select="stg_orders"),
    ):
        assert indirect in ("cautious", "buildable")
        assert related in nodes(manifest_path, argv[1:], indirect)


def test_a_selector_of_the_command_line_cannot_run_a_part(told: Callable[..., Any], fake_dbt: Any):
    with pytest.raises(AssertionError, match=r"--selector cannot run a part(?s:.*)@dbt_assets"):
        told(AssetSelection.assets("countries"), "build", "--selector", "nightly")


def test_names_alone_select_where_the_settings_say_so(told: Callable[..., Any]):
    by_name = DagsterDbtTranslatorSettings(enable_dbt_selection_by_name=True)
    selection = AssetSelection.assets(ORDERS) - AssetSelection.all_asset_checks()

    argv, _ = told(selection | AssetSelection.checks(UNIQUE), settings=by_name)

    assert argv == ["run", "--select", "stg_orders", "unique_stg_orders_id"]


def test_tests_of_sources_run_with_what_reads_them(told: Callable[..., Any], manifest_path: Path):
    as_checks = DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True)

    for selection, definition in (
        (AssetSelection.assets(ORDERS), {}),
        (None, {"select": "marts.* stg_orders"}),
    ):
        argv, indirect = told(selection, settings=as_checks, **definition)

        assert "source_not_null_raw_orders_id" in nodes(manifest_path, argv[1:], indirect)


def test_a_model_beside_a_folder_of_its_name_is_run_alone(
    told: Callable[..., Any], write_manifest: Callable[..., Path]
):
    manifest = write_manifest(
        {"unique_id": "model.shop.sales", "fqn": ["shop", "sales"]},
        {"unique_id": "model.shop.us", "fqn": ["shop", "sales", "us"]},
        {"unique_id": "model.shop.eu", "fqn": ["shop", "sales", "eu"]},
    )

    argv, indirect = told(AssetSelection.assets("sales"), manifest=manifest)

    assert nodes(manifest, argv[1:], indirect) == {"sales"}


def test_thousands_of_nodes_run_in_the_project_itself(
    told: Callable[..., Any],
    fake_dbt: Any,
    dbt: DbtCliResource,
    write_manifest: Callable[..., Path],
):
    manifest = write_manifest(
        *(
            {"unique_id": f"model.shop.m{n}", "fqn": ["shop", "a_long_folder" * 5, f"m{n}"]}
            for n in range(1_500)
        )
    )
    selection = AssetSelection.all() - AssetSelection.assets("m7")

    argv, _ = told(selection, manifest=manifest)

    assert len(argv) == 2 + 1_499
    assert fake_dbt.calls[-1]["cwd"] == dbt.project_dir


@pytest.fixture(scope="module")
def whole(manifest_path: Path) -> Scope:
    @dbt_assets(manifest=manifest_path)
    def models(context: AssetExecutionContext): ...

    origin = Origin.of(models)
    assert origin is not None
    return Scope(SimpleNamespace(), models, origin)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_part_runs_what_was_selected_and_no_other_asset_and_no_other_check_of_its_own(
    whole: Scope, data: st.DataObject
):
    models = whole.assets_def
    keys = data.draw(st.sets(st.sampled_from(sorted(models.keys))), label="assets")
    checks = data.draw(st.sets(st.sampled_from(sorted(models.check_keys))), label="checks")
    part = models.subset_for(keys, checks)
    context = SimpleNamespace(selected_asset_keys=keys, selected_asset_check_keys=checks)
    scope = Scope(context, part, whole.origin)

    selection = tell(scope, Arguments(["build"]))

    chosen, _, excluded = " ".join(selection.arguments).partition("--exclude")
    found = select(
        whole.manifest,
        select=chosen.removeprefix("--select"),
        exclude=excluded,
        indirect=selection.indirect or "eager",
    ).ids
    by_id = {str(spec.metadata["dagster_dbt/unique_id"]): spec.key for spec in models.specs}
    by_test = {str(spec.metadata["dagster_dbt/unique_id"]): spec.key for spec in models.check_specs}
    assert {key for id_, key in by_id.items() if id_ in found} == keys
    tested = {key for id_, key in by_test.items() if id_ in found}
    assert tested >= checks
    assert {key for key in tested if key.asset_key in keys} == {
        key for key in checks if key.asset_key in keys
    }


def argv_of(assets_def: AssetsDefinition, dbt: DbtCliResource, fake_dbt: Any) -> list[str]:
    materialize([assets_def], resources={"dbt": dbt}, raise_on_error=False)
    return fake_dbt.calls[-1]["argv"]


@pytest.mark.parametrize("foreign_first", [True, False])
def test_a_definition_of_specs_runs_its_own_nodes_and_not_the_whole_project(
    dbt: DbtCliResource, fake_dbt: Any, manifest_path: Path, foreign_first: bool
):
    specs = [*build_dbt_asset_specs(manifest=manifest_path, select="staging.*"), AssetSpec("mine")]

    @multi_asset(specs=specs[::-1] if foreign_first else specs, can_subset=True)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["run"], context=context).stream()

    argv = argv_of(models, dbt, fake_dbt)

    names = {"fqn:shop.staging.stg_customers", "fqn:shop.staging.stg_orders"}
    assert argv[:2] == ["run", "--select"]
    assert set(argv[2:]) >= names
    assert not [arg for arg in argv if "marts" in arg]


SOURCE_CHECKS = DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True)


def test_a_test_of_a_source_that_the_definition_excludes_is_no_check(manifest_path: Path):
    @dbt_assets(
        manifest=manifest_path,
        exclude="resource_type:test resource_type:unit_test",
        dagster_dbt_translator=DagsterDbtTranslator(SOURCE_CHECKS),
    )
    def models(context: AssetExecutionContext): ...

    assert not list(models.check_specs)


def test_a_whole_definition_with_tests_of_sources_is_told_as_it_was_written(
    told: Callable[..., Any],
):
    argv, _ = told(None, settings=SOURCE_CHECKS, select="fqn:*")

    assert argv == ["run", "--select", "fqn:*"]


def test_a_users_own_exclusion_holds_beside_a_selector(
    told: Callable[..., Any], manifest_path: Path
):
    argv, indirect = told(None, "build", "--exclude", "resource_type:test", selector="nightly")

    found = nodes(manifest_path, argv[1:], indirect)
    assert {"orders", "revenue"} <= found
    assert "unique_orders_id" not in found


def test_who_asks_for_no_tests_gets_none(told: Callable[..., Any], manifest_path: Path):
    for selection in (None, AssetSelection.assets(ORDERS)):
        argv, indirect = told(
            selection, "build", "--indirect-selection", "empty", select="stg_orders"
        )

        assert nodes(manifest_path, argv[1:], indirect) == {"stg_orders"}


def test_a_definition_runs_in_its_own_project_and_profile(
    fake_dbt: Any, shop_dir: Path, tmp_path: Path
):
    other = shutil.copytree(shop_dir, tmp_path / "other")
    project = DbtProject(shop_dir, target="ci")

    @dbt_assets(manifest=project.manifest_path, project=project)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["run"], context=context).stream()

    argv = argv_of(models, DbtCliResource(DbtProject(other)), fake_dbt)

    assert argv[argv.index("--target") + 1] == "ci"
    assert fake_dbt.calls[-1]["env"]["DBT_PROFILES_DIR"] == str(shop_dir)
    assert fake_dbt.calls[-1]["cwd"] == str(shop_dir)


def test_more_arguments_than_a_system_takes_are_an_error_that_says_so(dbt: DbtCliResource):
    names = [f"a_model_with_a_rather_long_name_{n:08}" for n in range(60_000)]

    with pytest.raises(DagsterDbtError, match=r"60,005 arguments(?s:.*)fewer") as refused:
        dbt.cli(["run", "--vars", "password: hunter2", "--select", *names])

    assert "hunter2" not in str(refused.value)
