"""What `weave` adds to loading definitions, over leaving the links to Dagster's core."""

from __future__ import annotations

from benchmarks.measure import Command, compare

_DEFINITIONS = """
import dagster as dg
from dagweave.weaving import weave

MODELS, SOURCES = {models}, {models} // 5

def table(name):
    return {{"dagster/table_name": name, "dagster/storage_kind": "duckdb"}}

def deps(i):
    if i < MODELS * 2 // 5:
        return [dg.AssetDep(["raw", f"t{{i % SOURCES}}"], metadata=table(f"db.raw.t{{i % SOURCES}}"))]
    return [f"m{{i - 7}}", f"m{{i // 2}}"]

@dg.multi_asset(
    specs=[dg.AssetSpec(f"m{{i}}", deps=deps(i), metadata=table(f"db.main.m{{i}}")) for i in range(MODELS)],
    can_subset=True,
)
def models(): ...

@dg.multi_asset(
    specs=[dg.AssetSpec(["src", f"t{{i}}"], metadata=table(f"db.raw.t{{i}}")) for i in range(SOURCES)]
)
def sources(): ...

defs = dg.Definitions([models, sources])
"""


def main() -> None:
    """1,000 and 5,000 models in one definition, a fifth as many sources, up to the repository."""
    for models in (1_000, 5_000):
        definitions = _DEFINITIONS.format(models=models)
        compare(
            f"weaving: {models:,} models",
            Command("weave(defs)", definitions + "weave(defs).get_repository_def()"),
            Command("Dagster's core alone", definitions + "defs.get_repository_def()"),
            runs=3,
        )
