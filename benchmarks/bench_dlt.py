"""What `@dlt_assets` adds to bare dlt in a Dagster step, and what `dagster-dlt` adds."""

from __future__ import annotations

from benchmarks.measure import OFFICIAL, OURS, Command, compare

ROWS = """
import dlt

@dlt.source
def made():
    for n in range(COUNT):
        rows = [{"id": i, "price": i * 1.5, "name": f"row {i}"} for i in range(1000)]
        yield dlt.resource(rows, name=f"t{n}")
"""
ARROW = """
import dlt
import pyarrow as pa

@dlt.source
def made():
    ids = pa.array(range(1_000_000), pa.int64())
    yield dlt.resource([pa.table({"id": ids, "price": ids.cast(pa.float64())})], name="t0")
"""
PIPELINE = """
def pipeline():
    return dlt.pipeline("bench", destination="duckdb", dataset_name="raw")
"""
# What anyone would write without an integration: the same assets, no metadata.
BARE = """
from dagster import AssetSpec, ConfigurableResource, MaterializeResult, materialize, multi_asset

class Resource(ConfigurableResource):
    pass

@multi_asset(specs=[AssetSpec(["bench", name]) for name in made().resources], can_subset=True)
def loaded(context, dlt: Resource):
    pipeline().run(made())
    for key in context.selected_asset_keys:
        yield MaterializeResult(asset_key=key)

assert materialize([loaded], resources={"dlt": Resource()}).success
"""
ASSETS = """
from dagster import AssetExecutionContext, materialize
from PACKAGE import DagsterDltResource, dlt_assets

@dlt_assets(dlt_source=made(), dlt_pipeline=pipeline(), name="bench")
def loaded(context: AssetExecutionContext, dlt: DagsterDltResource):
    yield from dlt.run(context=context)

assert materialize([loaded], resources={"dlt": DagsterDltResource()}).success
"""
SOURCES = {
    "3 resources of 1,000 rows": ROWS.replace("COUNT", "3"),
    "50 resources of 1,000 rows": ROWS.replace("COUNT", "50"),
    "1,000,000 rows of Arrow": ARROW,
}


def main() -> None:
    """Each integration over bare dlt in its own environment: the DuckDB of the two may differ."""
    for title, source in SOURCES.items():
        for package, python in (("dagweave.dlt", OURS), ("dagster_dlt", OFFICIAL)):
            assets = ASSETS.replace("PACKAGE", package)
            compare(
                f"dlt: {title}, {package} over bare dlt in a step",
                Command(package, source + PIPELINE + assets, python),
                Command("dlt in a plain multi-asset", source + PIPELINE + BARE, python),
            )
