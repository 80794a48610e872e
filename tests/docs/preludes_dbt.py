"""What the blocks of docs/dbt.md leave out."""

from __future__ import annotations

import json
from typing import Any

PROJECT = {
    "dbt_project/dbt_project.yml": "name: shop\nprofile: shop\n",
    "dbt_project/profiles.yml": (
        "shop: {target: dev, outputs: {dev: {type: duckdb, path: warehouse.duckdb}}}\n"
    ),
    "dbt_project/models/orders.sql": "select 1 as id",
    "dbt_project/models/models.yml": (
        "models: [{name: orders, columns: [{name: id, data_tests: [unique]}]}]\n"
    ),
}


def _node(
    unique_id: str, *folders: str, reads: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    kind, _, name = unique_id.split(".", 2)
    return {
        "unique_id": unique_id,
        "resource_type": kind,
        "name": name,
        "package_name": "shop",
        "fqn": ["shop", *folders, name],
        "original_file_path": "/".join(["models", *folders, f"{name}.sql"]),
        "depends_on": {"nodes": list(reads)},
        "config": {"materialized": "table"},
        "tags": ["nightly"],
        **more,
    }


# As `dbt parse` would have written it: these blocks define assets, and run nothing.
MANIFEST = {
    "metadata": {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
        "project_name": "shop",
        "adapter_type": "duckdb",
    },
    "nodes": {
        "model.shop.stg_orders": _node(
            "model.shop.stg_orders", "staging", reads=("source.shop.raw.orders",)
        ),
        "model.shop.orders": _node("model.shop.orders", "marts", reads=("model.shop.stg_orders",)),
    },
    "sources": {
        "source.shop.raw.orders": {
            **_node("source.shop.orders", "staging"),
            "unique_id": "source.shop.raw.orders",
            "source_name": "raw",
            "relation_name": '"warehouse"."raw"."orders"',
            "loaded_at_field": "loaded_at",
            "freshness": {"warn_after": {"count": 1, "period": "day"}},
        }
    },
}
PARSED = PROJECT | {"dbt_project/target/manifest.json": json.dumps(MANIFEST)}
NAMES = """
import json
from pathlib import Path

from dagster import (
    AssetExecutionContext, AssetSelection, DailyPartitionsDefinition, Definitions,
    ScheduleDefinition, asset, define_asset_job, in_process_executor,
)
from dagster.components import build_defs_for_component
from dagweave.dbt import (
    DagsterDbtTranslator, DbtCliResource, DbtProject, DbtProjectComponent,
    build_dbt_asset_selection, build_dbt_source_freshness_checks,
    build_schedule_from_dbt_selection, dbt_assets, partition_args, split_dbt_assets,
)
from dagweave.weaving import weave

project = DbtProject(Path(__file__).parent / "dbt_project")
dbt = DbtCliResource(project)
"""
SHOP = """
@dbt_assets(manifest=project.manifest_path, project=project)
def shop(context: AssetExecutionContext, dbt: DbtCliResource):
    yield from dbt.cli(["build"], context=context).stream()
"""
# A real project, parsed, and then changed.
STATE = """
import shutil
from dagweave.dbt import DagsterDbtProjectPreparer

DagsterDbtProjectPreparer().prepare(project)
shutil.copytree("dbt_project/target", "dbt_project/state")
Path("dbt_project/models/orders.sql").write_text("select 2 as id")
DagsterDbtProjectPreparer().prepare(project)
"""
DEFINED = """
from dagster import AssetsDefinition, Definitions, ScheduleDefinition
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

_here = list(globals().values())
_defs = Definitions(
    assets=[each for each in _here if isinstance(each, AssetsDefinition)],
    schedules=[each for each in _here if isinstance(each, ScheduleDefinition)],
    jobs=[each for each in _here if isinstance(each, UnresolvedAssetJobDefinition)],
    resources={"dbt": dbt},
)
Definitions.validate_loadable(_defs)
print(*sorted(key.to_user_string() for key in _defs.resolve_asset_graph().materializable_asset_keys))
"""

PRELUDES: dict[str, dict[str, Any]] = {
    "dbt-first": {"files": PROJECT, "materialize": True, "expect": "orders"},
    "dbt-parts": {"code": NAMES, "files": PARSED, "after": DEFINED, "expect": "orders"},
    # A real project, which is run.
    "dbt-steps": {
        "code": NAMES + "project.prepare_if_dev()\n",
        "files": PROJECT,
        "after": "assert [step.op.name for step in defs.assets] == ['shop__orders']",
        "materialize": True,
        "expect": "orders",
    },
    "dbt-steps-pools": {
        "code": NAMES,
        "files": PARSED,
        "after": "print(*(f'{step.op.name} in {step.op.pool}' for step in steps))",
        "expect": "shop__stg_orders in warehouse shop__orders in warehouse",
    },
    "dbt-fresh": {"code": NAMES + SHOP, "files": PARSED, "after": DEFINED, "expect": "orders"},
    "dbt-state": {
        "code": NAMES + STATE,
        "files": PROJECT,
        "after": "print(*sorted(key.to_user_string() for key in changed.keys))",
        "expect": "orders",
    },
    "dbt-woven": {
        "code": NAMES,
        "files": PARSED,
        "after": """
from dagster import AssetKey

_node = defs.resolve_asset_graph().get(AssetKey("stg_orders"))
assert _node.parent_keys == {AssetKey("ingested_orders")}, _node.parent_keys
""",
    },
}
