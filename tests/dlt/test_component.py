import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    Component,
    DailyPartitionsDefinition,
    Definitions,
    load_from_defs_folder,
    materialize,
)
from dagster.components.scaffold.scaffold import ScaffoldRequest

from dagweave._kernel.errors import InvalidInput
from dagweave.dlt import DagsterDltResource, DltLoadCollectionComponent

TYPE = "dagweave.dlt.DltLoadCollectionComponent"
LOADS = """
import dlt

@dlt.source
def shop(token: str = dlt.secrets.value):
    @dlt.resource(table_name="all_orders")
    def orders():
        yield [{"id": 1, "token": token}]

    return orders

def pipeline():
    destination = dlt.destinations.duckdb("shop.duckdb")
    return dlt.pipeline("shop", destination=destination, dataset_name="raw", pipelines_dir="p")

made = pipeline()
source = shop("given")
"""


class Dg:
    """A project of `dg`, with a `defs` folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.defs = root / "house" / "defs"
        self.place = self.defs / "ingest"
        self.place.mkdir(parents=True)
        (root / "house" / "__init__.py").touch()
        (root / "pyproject.toml").write_text(
            "[tool.dg]\ndirectory_type = 'project'\n\n[tool.dg.project]\nroot_module = 'house'\n"
        )

    def load(self, *loads: dict[str, Any], type: str = TYPE, module: str = LOADS) -> Definitions:  # noqa: A002
        (self.place / "loads.py").write_text(module)
        content = {"type": type, "attributes": {"loads": list(loads)}}
        (self.place / "defs.yaml").write_text(yaml.safe_dump(content))
        return self.again()

    def again(self) -> Definitions:
        defs = load_from_defs_folder(path_within_project=self.root)
        Definitions.validate_loadable(defs)
        return defs


@pytest.fixture
def dg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dg]:
    monkeypatch.syspath_prepend(tmp_path / "project")
    yield Dg(tmp_path / "project")
    for name in [name for name in sys.modules if name.split(".")[0] == "house"]:
        del sys.modules[name]


def definitions(defs: Definitions) -> list[AssetsDefinition]:
    return [each for each in defs.resolve_asset_graph().assets_defs if each.is_materializable]


def only(defs: Definitions) -> AssetSpec:
    (assets,) = definitions(defs)
    (spec,) = assets.specs
    return spec


@pytest.mark.parametrize(
    ("source", "pipeline"), [("shop", "pipeline"), ("source", "made"), ("shop", "made")]
)
def test_a_load_becomes_assets_called_by_dataset_and_table(dg, source, pipeline):
    defs = dg.load({"source": f".loads.{source}", "pipeline": f".loads.{pipeline}"})

    assert only(defs).key == AssetKey(["raw", "all_orders"])


def test_translation_partitions_policy_and_pool_are_said_in_yaml(dg):
    defs = dg.load(
        {
            "source": ".loads.shop",
            "pipeline": ".loads.made",
            "translation": {
                "key_prefix": "bronze",
                "group_name": "ingestion",
                "description": "{{ resource.name }} by {{ pipeline.pipeline_name }}",
            },
            "partitions_def": {"type": "daily", "start_date": "2026-01-01"},
            "backfill_policy": {"type": "multi_run", "max_partitions_per_run": 3},
            "pool": "warehouse",
        }
    )

    spec = only(defs)
    assert spec.key == AssetKey(["bronze", "raw", "all_orders"])
    assert (spec.group_name, spec.description) == ("ingestion", "orders by shop")
    (assets,) = definitions(defs)
    assert isinstance(assets.partitions_def, DailyPartitionsDefinition)
    assert assets.backfill_policy == BackfillPolicy.multi_run(3)
    assert assets.op.pool == "warehouse"


def test_it_loads_without_credentials_and_runs_with_them(dg, monkeypatch):
    defs = dg.load({"source": ".loads.shop", "pipeline": ".loads.pipeline"})
    (assets,) = definitions(defs)
    monkeypatch.setenv("SOURCES__TOKEN", "t0ken")

    result = materialize([assets])

    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["rows_loaded"].value == 1


def test_loads_of_one_source_into_one_dataset_are_two_definitions(dg):
    load = {"source": ".loads.shop", "pipeline": ".loads.made"}
    defs = dg.load(load, load | {"translation": {"key_prefix": "again"}})

    assert len(definitions(defs)) == 2


SUBCLASS = """
from dagweave.dlt import DltLoadCollectionComponent

class Ours(DltLoadCollectionComponent):
    def get_asset_spec(self, data):
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(
            key=spec.key.with_prefix("ours"), tags={"resource": data.resource.name}
        )

    def execute(self, context, dlt_pipeline_resource):
        context.log.info("execute of ours")
        yield from super().execute(context, dlt_pipeline_resource).__iter__()
"""


def test_a_subclass_says_otherwise_and_translation_comes_after_it(dg, monkeypatch, capfd):
    (dg.root / "house" / "ours.py").write_text(SUBCLASS)
    defs = dg.load(
        {
            "source": ".loads.source",
            "pipeline": ".loads.made",
            "translation": {"group_name": "late"},
        },
        type="house.ours.Ours",
    )

    spec = only(defs)
    assert spec.key == AssetKey(["ours", "raw", "all_orders"])
    assert (spec.tags["resource"], spec.group_name) == ("orders", "late")
    (assets,) = definitions(defs)
    assert materialize([assets]).success
    assert "execute of ours" in capfd.readouterr().err


@pytest.mark.parametrize("path", [".loads.nothing", ".nowhere.source", "source"])
def test_a_path_that_leads_nowhere_is_named(dg, path):
    with pytest.raises(Exception, match="Error while loading component") as raised:
        dg.load({"source": path, "pipeline": ".loads.made"})

    chain: BaseException | None = raised.value
    said = []
    while chain is not None:
        said.append(str(chain))
        chain = chain.__cause__ or chain.__context__
    assert any(f"There is no {path!r}" in each for each in said)


def scaffold(dg: Dg, **params: Any) -> None:
    from dagweave.dlt.scaffold import DltLoadCollectionScaffolder, DltScaffolderParams

    DltLoadCollectionScaffolder().scaffold(
        ScaffoldRequest(
            type_name=TYPE,
            target_path=dg.place,
            scaffold_format="yaml",
            project_root=dg.root,
            params=DltScaffolderParams(**params),
        )
    )


def test_what_is_scaffolded_loads_and_runs(dg, tmp_path, monkeypatch):
    # There dlt remembers, for each pipeline, which folder is its own.
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    scaffold(dg)

    defs = dg.again()

    assert only(defs).key == AssetKey(["my_data", "hello_world"])
    assert not (dg.place / ".dlt").exists()
    (assets,) = definitions(defs)
    assert materialize([assets]).success


def test_a_destination_can_be_named_when_scaffolding_and_a_source_not_without_one(dg):
    scaffold(dg, destination="snowflake")

    assert "destination='snowflake'" in (dg.place / "loads.py").read_text()
    with pytest.raises(InvalidInput, match="without a destination"):
        scaffold(dg, source="github")


def test_dg_finds_the_component():
    found = entry_points(group="dagster_dg_cli.registry_modules")

    assert "dagweave.dlt" in [entry.value for entry in found]
    assert issubclass(DltLoadCollectionComponent, Component)


def test_the_resource_of_the_component_can_be_another():
    class Patient(DltLoadCollectionComponent):
        @property
        def dlt_pipeline_resource(self) -> DagsterDltResource:
            return DagsterDltResource(lock_timeout_s=900)

    assert Patient(loads=[]).dlt_pipeline_resource.lock_timeout_s == 900
