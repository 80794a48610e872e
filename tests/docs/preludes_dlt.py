"""What the blocks of docs/dlt.md leave out."""

from __future__ import annotations

from typing import Any

PRELUDES: dict[str, dict[str, Any]] = {
    "dlt-materialize": {"materialize": True},
    # The source and the pipeline of the first example.
    "dlt-shop": {
        "code": """
import dlt

@dlt.source
def shop():
    return (
        dlt.resource([{"id": 1, "total": 12.5}], name="orders"),
        dlt.resource([{"sku": "tea"}], name="products"),
    )

pipeline = dlt.pipeline(
    pipeline_name="shop",
    destination=dlt.destinations.duckdb("shop.duckdb"),
    dataset_name="raw_shop",
)
"""
    },
}
