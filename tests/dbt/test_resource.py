from pathlib import Path
from typing import Any

import pytest
from dagster import AssetExecutionContext, EnvVar, asset, materialize

from dagweave._kernel.errors import InvalidInput, MissingExtra
from dagweave.dbt import DbtCliResource, DbtProject


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dbt_project.yml").write_text("name: shop")
    (folder / "profiles.yml").write_text("shop: {}")
    return folder


def test_constructing_it_runs_nothing(folder: Path, fake_dbt: Any):
    DbtCliResource(project_dir=DbtProject(folder))

    assert fake_dbt.calls == []


def test_it_takes_from_a_project_what_it_is_not_told(folder: Path, tmp_path: Path, fake_dbt: Any):
    project = DbtProject(folder, profile="p", target="t", state_path="state", target_path="build")

    given = DbtCliResource(project_dir=project)
    told = DbtCliResource(project, target="other", global_config_flags=["--debug"])
    given.cli(["run"]).wait()
    told.cli(["run", "--full-refresh"]).wait()

    assert given.state_path == str(folder / "state")
    one, two = fake_dbt.calls
    assert one["argv"] == ["run", "--profile", "p", "--target", "t"]
    assert one["env"]["DBT_PROFILES_DIR"] == str(folder)
    assert one["env"]["DBT_TARGET_PATH"].startswith(str(folder / "build"))
    assert two["argv"] == [
        "--debug",
        "run",
        "--full-refresh",
        "--profile",
        "p",
        "--target",
        "other",
    ]


def test_what_is_not_there_is_named_at_once(folder: Path, tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"There is no folder .*nowhere"):
        DbtCliResource(project_dir=str(tmp_path / "nowhere"))
    with pytest.raises(InvalidInput, match=r"has no dbt_project\.yml"):
        DbtCliResource(project_dir=tmp_path)
    with pytest.raises(InvalidInput, match=r"has no profiles\.yml"):
        DbtCliResource(project_dir=folder, profiles_dir=tmp_path)
    with pytest.raises(MissingExtra, match="my-dbt"):
        DbtCliResource(project_dir=folder, dbt_executable="/opt/my-dbt")


def test_values_from_the_environment_are_read_when_a_run_starts(
    folder: Path, fake_dbt: Any, monkeypatch: pytest.MonkeyPatch
):
    resource = DbtCliResource(project_dir=EnvVar("SHOP_PROJECT"), target=EnvVar("SHOP_TARGET"))
    monkeypatch.setenv("SHOP_PROJECT", str(folder))
    monkeypatch.setenv("SHOP_TARGET", "prod")

    @asset
    def vacuumed(context: AssetExecutionContext, dbt: DbtCliResource):
        dbt.cli(["run-operation", "vacuum"]).wait()

    assert materialize([vacuumed], resources={"dbt": resource}).success
    assert fake_dbt.calls[0]["argv"] == ["run-operation", "vacuum", "--target", "prod"]
    assert fake_dbt.calls[0]["cwd"] == str(folder)


def test_a_subclass_may_have_fields_of_its_own(folder: Path, fake_dbt: Any):
    class Ours(DbtCliResource):
        team: str = "data"

        def cli(self, args: Any, **options: Any) -> Any:
            return super().cli([*args, "--vars", f"team: {self.team}"], **options)

    seen: list[Any] = []

    @asset
    def built(context: AssetExecutionContext, dbt: Ours):
        seen.append(dbt.cli(["run"]).wait())

    assert materialize([built], resources={"dbt": Ours(folder, team="finance")}).success
    assert fake_dbt.calls[0]["argv"] == ["run", "--vars", "team: finance"]


def test_state_is_used_once_it_has_a_manifest(folder: Path):
    resource = DbtCliResource(folder, state_path="state")
    assert (resource.get_defer_args(), resource.get_state_args()) == ([], [])

    (folder / "state").mkdir()
    (folder / "state" / "manifest.json").touch()

    state = str(folder / "state")
    assert resource.get_defer_args() == ["--defer", "--defer-state", state]
    assert resource.get_state_args() == ["--state", state]


def test_an_executable_of_the_users_choice_is_run(folder: Path, fake_dbt: Any):
    DbtCliResource(folder, dbt_executable=fake_dbt.path).cli(["debug"]).wait()

    assert fake_dbt.calls[0]["argv"] == ["debug"]


def test_a_state_given_as_a_path_lies_under_the_project_too(folder: Path):
    (folder / "state").mkdir()
    (folder / "state" / "manifest.json").touch()

    resource = DbtCliResource(folder, state_path=Path("state"))

    assert resource.get_state_args() == ["--state", str(folder / "state")]


def test_an_executable_that_cannot_be_run_is_named(folder: Path, tmp_path: Path):
    with pytest.raises(InvalidInput, match=f"{tmp_path} is no program"):
        DbtCliResource(folder, dbt_executable=tmp_path)
