import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import DbtProject
from dagweave.dbt.command import app
from dagweave.dbt.packaging import projects_of_file, scaffold


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, ["project", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def written(folder: Path, project: Path) -> Path:
    """A file that defines a project with a package beside it."""
    file = folder / "project.py"
    file.write_text(
        "from pathlib import Path\n"
        "from dagweave.dbt import DbtProject\n"
        f"shop = DbtProject({str(project)!r}, packaged_project_dir=Path(__file__).parent / 'shipped')\n"
        "shop.prepare_if_dev()\n"
    )
    return file


class TestScaffold:
    def test_what_is_made_loads_and_knows_the_project(
        self, shop_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.chdir(tmp_path)

        shown = run("scaffold", "--project-name", "my_dagster", "--dbt-project-dir", "shop")

        assert "cd " in shown
        script = (
            "from my_dagster.definitions import defs; import dagster as dg\n"
            "dg.Definitions.validate_loadable(defs)\n"
            "graph = defs.resolve_asset_graph()\n"
            "print(len(graph.materializable_asset_keys), *defs.resolve_job_def('materialize_dbt_models').name.split())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path / "my_dagster",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == ["8", "materialize_dbt_models"], done.stderr
        made = (tmp_path / "my_dagster" / "pyproject.toml").read_text()
        assert '"dagweave[dbt]",\n    "dbt-duckdb",\n]' in made

    @pytest.mark.parametrize(
        ("name", "seen"),
        [("not a name", "package of Python"), ("dagster", "would hide"), ("shop", "there already")],
    )
    def test_a_name_that_cannot_be_is_refused(self, name: str, seen: str, shop_dir: Path):
        with pytest.raises(InvalidInput, match=seen):
            scaffold(name, shop_dir, shop_dir.parent)

    def test_profiles_that_cannot_be_read_show_nothing_of_themselves(self, shop_dir: Path):
        (shop_dir / "profiles.yml").write_text("shop: hunter2")

        with pytest.raises(InvalidInput, match="not a file of profiles") as caught:
            scaffold("mine", shop_dir, shop_dir.parent)

        assert "hunter2" not in str(caught.value)


class TestPrepareAndPackage:
    def test_the_package_is_what_a_deployment_loads(self, shop_dir: Path, tmp_path: Path):
        (shop_dir / "target" / "manifest.json").unlink()
        of_a_run = shop_dir / "target" / "shop-0a1b2c3-4d5e6f7"
        of_a_run.mkdir()
        (shop_dir / ".gitignore").touch()
        file = written(tmp_path, shop_dir)

        run("prepare-and-package", "--file", file)

        shipped = tmp_path / "shipped"
        deployed = DbtProject(shop_dir, packaged_project_dir=shipped)
        assert deployed.project_dir == shipped
        assert deployed.manifest_path.exists()
        assert not (shipped / ".gitignore").exists()
        assert not (shipped / "target" / of_a_run.name).exists()
        assert not (shipped / "target" / "partial_parse.msgpack").exists()

        # A deployment holds it alone.
        elsewhere = shop_dir.rename(tmp_path / "elsewhere")
        assert DbtProject(shop_dir, packaged_project_dir=shipped).project_dir == shipped
        elsewhere.rename(shop_dir)

        # A second time it is made of the project again, and not of itself.
        (shop_dir / "models" / "added.sql").write_text("select 1 as id")
        run("prepare-and-package", "--file", file)
        assert (shipped / "models" / "added.sql").exists()

    def test_a_package_within_the_project_does_not_hold_itself(self, shop_dir: Path):
        run("prepare-and-package", "--file", written(shop_dir, shop_dir))

        assert (shop_dir / "shipped" / "dbt_project.yml").exists()
        assert not (shop_dir / "shipped" / "shipped").exists()
        assert list(shop_dir.glob(".shipped*")) == []

    # Dagster's own.
    @pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")
    def test_the_projects_of_components_are_found(
        self, shop_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(sys, "path", list(sys.path))
        root = tmp_path / "flat"
        place = root / "packaged_house" / "defs" / "shop"
        place.mkdir(parents=True)
        (root / "packaged_house" / "__init__.py").touch()
        (root / "pyproject.toml").write_text(
            "[tool.dg]\ndirectory_type = 'project'\n"
            "[tool.dg.project]\nroot_module = 'packaged_house'\n"
        )
        shipped = tmp_path / "shipped"
        project = {"project_dir": str(shop_dir), "packaged_project_dir": str(shipped)}
        (place / "defs.yaml").write_text(
            yaml.safe_dump(
                {"type": "dagweave.dbt.DbtProjectComponent", "attributes": {"project": project}}
            )
        )

        run("prepare-and-package", "--components", root)

        assert (shipped / "target" / "manifest.json").exists()

    def test_a_file_without_a_project_or_that_fails_is_said_to_be_so(self, tmp_path: Path):
        file = tmp_path / "project.py"
        file.write_text("x = 1")
        with pytest.raises(InvalidInput, match="has no dbt project"):
            projects_of_file(file)

        file.write_text("1 / 0")
        with pytest.raises(InvalidInput, match="ZeroDivisionError"):
            projects_of_file(file)
