import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import AssetKey, Definitions, Failure, load_from_defs_folder, materialize

from dagweave._kernel.errors import InvalidInput
from dagweave.snowflake import SnowflakeConnectionComponent, SnowflakeResource

TYPE = "dagweave.snowflake.SnowflakeConnectionComponent"
SECRET = "a-secret-to-look-for"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of `dg`, with a `defs` folder."""
    root = tmp_path / "house"
    (root / "house" / "defs").mkdir(parents=True)
    (root / "house" / "__init__.py").touch()
    (root / "pyproject.toml").write_text(
        "[tool.dg]\ndirectory_type = 'project'\n\n[tool.dg.project]\nroot_module = 'house'\n"
    )
    monkeypatch.syspath_prepend(root)
    yield root
    for name in [name for name in sys.modules if name.split(".")[0] == "house"]:
        del sys.modules[name]


def says(root: Path, folder: str, kind: str, attributes: dict[str, Any]) -> None:
    place = root / "house" / "defs" / folder
    place.mkdir()
    (place / "defs.yaml").write_text(yaml.safe_dump({"type": kind, "attributes": attributes}))


def load(root: Path) -> Definitions:
    defs = load_from_defs_folder(path_within_project=root)
    Definitions.validate_loadable(defs)
    return defs


def sql(root: Path, statement: str) -> None:
    says(
        root,
        "orders",
        "dagster.TemplatedSqlComponent",
        {
            "sql_template": statement,
            "assets": [{"key": "orders"}],
            "connection": "{{ context.load_component('warehouse') }}",
        },
    )


def test_it_connects_a_component_that_executes_sql(
    root: Path, settings: dict[str, Any], rows: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", SECRET)
    says(root, "warehouse", TYPE, {**settings, "password": "{{ env.SNOWFLAKE_PASSWORD }}"})
    sql(root, "CREATE TABLE orders AS SELECT 7 AS id")

    defs = load(root)
    assert materialize([defs.get_assets_def(AssetKey("orders"))]).success

    assert rows("SELECT id FROM orders") == [(7,)]


def test_a_statement_that_fails_is_a_failure_that_is_not_retried(
    root: Path, settings: dict[str, Any]
):
    says(root, "warehouse", TYPE, settings)
    sql(root, "SELECT * FROM not_there")

    with pytest.raises(Failure, match="NOT_THERE") as caught:
        materialize([load(root).get_assets_def(AssetKey("orders"))])

    assert caught.value.allow_retries is False
    assert SECRET not in str(caught.value)


def test_a_setting_that_there_is_not_is_named(root: Path, settings: dict[str, Any]):
    says(root, "warehouse", TYPE, {**settings, "pasword": "x"})

    with pytest.raises(Exception, match="SnowflakeConnectionComponent") as caught:
        load(root)

    assert "pasword" in str(caught.value.__cause__ or caught.value.__context__)


def test_it_takes_what_the_resource_takes_and_shows_no_secret():
    component = SnowflakeConnectionComponent(user="u", password=SECRET, schema="PUBLIC")

    assert set(SnowflakeConnectionComponent.model_fields) == set(SnowflakeResource.model_fields)
    assert SECRET not in repr(component)
    assert component.resource.schema_ == "PUBLIC"


def test_settings_that_cannot_work_are_refused():
    component = SnowflakeConnectionComponent(user="u")

    with pytest.raises(InvalidInput, match="no way to log in"):
        _ = component.resource


def test_dg_finds_it():
    registered = {entry.value for entry in entry_points(group="dagster_dg_cli.registry_modules")}

    assert "dagweave.snowflake" in registered
