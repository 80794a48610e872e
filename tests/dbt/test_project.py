from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dagweave._kernel.errors import InvalidInput, MissingExtra, WorkFailed
from dagweave.dbt import (
    DagsterDbtProjectPreparer,
    DbtCliResource,
    DbtProject,
    build_dbt_asset_specs,
    dbt_assets,
)

MANIFEST = """
os.makedirs(os.environ["DBT_TARGET_PATH"], exist_ok=True)
schema = "https://schemas.getdbt.com/dbt/manifest/v12.json"
content = {"metadata": {"dbt_schema_version": schema}, "nodes": {}, "sources": {}}
with open(os.environ["DBT_TARGET_PATH"] + "/manifest.json", "w") as manifest:
    json.dump(content, manifest)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my_project"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (folder / "profiles.yml").write_text("shop: {target: dev, outputs: {dev: {type: duckdb}}}")
    (folder / "models" / "orders.sql").write_text("select 1 as id")
    return folder


@pytest.fixture
def dev(monkeypatch: pytest.MonkeyPatch, fake_dbt: Any) -> Any:
    """`dagster dev`, and a dbt that makes a manifest of nothing."""
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")
    fake_dbt.prints([], then=MANIFEST)
    return fake_dbt


def commands(fake_dbt: Any) -> list[str]:
    return [call["argv"][0] for call in fake_dbt.calls]


def test_a_project_knows_its_places(folder: Path):
    project = DbtProject(folder, target="prod", profile="other", state_path="state")

    assert project.name == "shop"
    assert project.project_dir == project.profiles_dir == folder
    assert project.manifest_path == folder / "target" / "manifest.json"
    assert project.state_path == folder / "state"
    assert not project.has_uninstalled_deps
    assert project == DbtProject(str(folder), target="prod", profile="other", state_path="state")
    assert hash(project) != hash(DbtProject(folder))


def test_a_relative_folder_means_the_same_wherever_it_is_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fake_dbt: Any, tmp_path: Path
):
    project = DbtProject("my_project", target_path="build")
    resource = DbtCliResource(project_dir=project)
    monkeypatch.chdir("/")

    resource.cli(["run"]).wait()

    assert project.manifest_path == folder / "build" / "manifest.json"
    assert fake_dbt.calls[0]["cwd"] == str(folder)
    assert fake_dbt.calls[0]["env"]["DBT_TARGET_PATH"].startswith(str(folder / "build"))


def test_the_packaged_copy_is_used_where_it_is_except_in_dev(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    packaged = tmp_path / "packaged"
    assert DbtProject(folder, packaged_project_dir=packaged).project_dir == folder

    packaged.mkdir()
    (packaged / "dbt_project.yml").write_text("name: shop_packaged")
    project = DbtProject(folder, packaged_project_dir=packaged)
    assert (project.name, project.project_dir) == ("shop_packaged", packaged)
    assert project.profiles_dir == packaged

    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")
    assert DbtProject(folder, packaged_project_dir=packaged).project_dir == folder


def test_packages_that_are_not_installed_are_noticed(folder: Path):
    (folder / "packages.yml").write_text("packages: []")
    assert DbtProject(folder).has_uninstalled_deps

    (folder / "dbt_packages").mkdir()
    assert not DbtProject(folder).has_uninstalled_deps


def test_a_folder_that_is_no_project_says_what_is_missing(folder: Path, tmp_path: Path):
    with pytest.raises(
        InvalidInput, match=r"no folder .*/nowhere, which project_dir names(?s:.*)__file__"
    ):
        DbtProject("nowhere")
    with pytest.raises(InvalidInput, match=r"has no dbt_project\.yml"):
        DbtProject(tmp_path)
    with pytest.raises(InvalidInput, match="which profiles_dir names"):
        DbtProject(folder, profiles_dir=tmp_path / "nowhere")
    (folder / "dbt_project.yml").write_text("name: [")
    with pytest.raises(InvalidInput, match="is not YAML"):
        DbtProject(folder)
    (folder / "dbt_project.yml").write_text("version: 1")
    with pytest.raises(InvalidInput, match="does not say the project's name"):
        DbtProject(folder)


def test_outside_of_dev_nothing_is_prepared_and_the_missing_manifest_says_how(
    folder: Path, fake_dbt: Any
):
    project = DbtProject(folder)

    project.prepare_if_dev()

    assert fake_dbt.calls == []
    with pytest.raises(
        InvalidInput, match=rf"(?s){project.manifest_path}.*cd {folder} && dbt parse"
    ):
        dbt_assets(manifest=project.manifest_path)


def test_in_dev_the_project_is_parsed_with_its_profile_and_target(folder: Path, dev: Any):
    project = DbtProject(folder, profile="other", target="ci", target_path="build")

    project.prepare_if_dev()

    [call] = dev.calls
    assert call["argv"] == ["parse", "--quiet", "--profile", "other", "--target", "ci"]
    assert call["cwd"] == str(folder)
    assert call["env"]["DBT_TARGET_PATH"] == str(folder / "build")
    assert call["env"]["DBT_PROFILES_DIR"] == str(folder)
    assert project.manifest_path.exists()


def test_in_dev_what_has_not_changed_is_not_parsed_again(
    folder: Path, dev: Any, monkeypatch: pytest.MonkeyPatch
):
    (folder / "models" / "vars.sql").write_text("select '{{ env_var(\"DAY\", '1') }}' as day")

    def times_parsed() -> int:
        DbtProject(folder).prepare_if_dev()
        return len(dev.calls)

    assert times_parsed() == 1
    assert times_parsed() == 1
    (folder / "shop.duckdb").write_text("not read by dbt parse")
    assert times_parsed() == 1

    (folder / "models" / "orders.sql").write_text("select 2 as id")
    assert times_parsed() == 2
    (folder / "models" / "new.yml").write_text("models: []")
    assert times_parsed() == 3
    (folder / "models" / "new.yml").unlink()
    assert times_parsed() == 4
    (folder / "profiles.yml").write_text("shop: {target: prod}")
    assert times_parsed() == 5
    monkeypatch.setenv("DAY", "2")
    assert times_parsed() == 6
    monkeypatch.setenv("DBT_TARGET", "prod")
    assert times_parsed() == 7
    (folder / "target" / "manifest.json").write_text("{}")
    assert times_parsed() == 8
    assert times_parsed() == 8


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("models/a.sql", "select '{{ env_var(name) }}'"),
        ("dbt_project.yml", "name: shop\nmodel-paths: [models, ../shared]\n"),
    ],
)
def test_what_cannot_be_known_to_be_unchanged_is_parsed_again(
    file: str, text: str, folder: Path, dev: Any
):
    (folder / file).write_text(text)

    DbtProject(folder).prepare_if_dev()
    DbtProject(folder).prepare_if_dev()

    assert commands(dev) == ["parse", "parse"]


def test_a_file_that_is_saved_while_dbt_parses_is_parsed_again(folder: Path, dev: Any):
    late = folder / "models" / "late.sql"
    dev.prints([], then=f"{MANIFEST}\nopen({str(late)!r}, 'a').write('select 1')")
    DbtProject(folder).prepare_if_dev()
    dev.prints([], then=MANIFEST)

    DbtProject(folder).prepare_if_dev()
    DbtProject(folder).prepare_if_dev()

    assert commands(dev) == ["parse", "parse"]


def test_where_dbt_only_writes_may_lie_outside_of_the_project(folder: Path, dev: Any):
    (folder / "dbt_project.yml").write_text("name: shop\nlog-path: ../logs\n")

    DbtProject(folder).prepare_if_dev()
    DbtProject(folder).prepare_if_dev()

    assert commands(dev) == ["parse"]


@pytest.mark.parametrize("content", [b"name: caf\xe9", b"name: [", b"- a list"])
def test_a_project_file_that_cannot_be_read_is_named(folder: Path, content: bytes):
    (folder / "dbt_project.yml").write_bytes(content)

    with pytest.raises(InvalidInput, match=r"dbt_project\.yml"):
        DbtProject(folder)


def test_packages_are_installed_when_they_are_wanted_and_again_when_they_change(
    folder: Path, dev: Any
):
    dev.prints([], then=MANIFEST + '\nos.makedirs("dbt_packages", exist_ok=True)')
    (folder / "packages.yml").write_text("packages: [{package: a/b, version: 1.0.0}]")

    DbtProject(folder).prepare_if_dev()
    (folder / "models" / "orders.sql").write_text("select 2 as id")
    DbtProject(folder).prepare_if_dev()
    (folder / "packages.yml").write_text("packages: [{package: a/b, version: 2.0.0}]")
    DbtProject(folder).prepare_if_dev()

    assert commands(dev) == ["deps", "parse", "parse", "deps", "parse"]


def test_preparing_explicitly_always_parses(folder: Path, dev: Any):
    project = DbtProject(folder)

    project.preparer.prepare(project)
    project.preparer.prepare(project)

    assert commands(dev) == ["parse", "parse"]


def test_a_command_of_the_users_choice_prepares(folder: Path, dev: Any):
    DbtProject(folder, prepare_project_cli_args=["compile", "--quiet"]).prepare_if_dev()

    assert dev.calls[0]["argv"] == ["compile", "--quiet"]
    assert DagsterDbtProjectPreparer().using_dagster_dev()


def test_processes_that_prepare_at_once_parse_once(folder: Path, dev: Any):
    dev.prints([], then="time.sleep(0.5)\n" + MANIFEST)
    script = f"from dagweave.dbt import DbtProject\nDbtProject({str(folder)!r}).prepare_if_dev()\n"
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]

    assert [process.wait() for process in processes] == [0, 0, 0]
    assert commands(dev) == ["parse"]


def test_a_preparation_that_makes_no_manifest_is_an_error(folder: Path, dev: Any):
    dev.prints([])

    with pytest.raises(InvalidInput, match=r"did not make .*manifest\.json"):
        DbtProject(folder).prepare_if_dev()


def test_a_preparation_that_fails_says_why_and_leaves_nothing_to_be_taken_for_done(
    folder: Path, dev: Any, log: Any
):
    dev.prints([log.event("Oops", "disk full", level="error")], exit_code=1)
    with pytest.raises(WorkFailed, match="disk full"):
        DbtProject(folder).prepare_if_dev()

    dev.prints([], then=MANIFEST)
    DbtProject(folder).prepare_if_dev()

    assert commands(dev) == ["parse", "parse"]


def test_without_dbt_the_error_says_how_to_install_it(
    folder: Path, dev: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))

    with pytest.raises(MissingExtra, match=r'pip install "dagweave\[dbt\]"'):
        DbtProject(folder).prepare_if_dev()


def test_real_dbt_prepares_and_names_what_is_wrong_in_a_project(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")
    project = DbtProject(folder)
    project.prepare_if_dev()
    assert len(build_dbt_asset_specs(manifest=project.manifest_path)) == 1

    (folder / "models" / "orders.sql").write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(
        InvalidInput, match=r"depends on a node named 'nowhere'(?s:.*)Mend the project"
    ):
        project.prepare_if_dev()


def test_a_profile_that_does_not_resolve_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")

    with pytest.raises(InvalidInput, match="Could not find profile named 'elsewhere'"):
        DbtProject(folder, profile="elsewhere").prepare_if_dev()
