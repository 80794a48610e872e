"""What each warehouse can do: the page of the docs, from what the engines declare.

python tests/architecture/capabilities.py  # prints docs/capabilities.md anew
"""

from __future__ import annotations

import importlib
from pathlib import Path

from dagweave.warehouse.capabilities import Capabilities, Feature

PAGE = Path(__file__).parents[2] / "docs" / "capabilities.md"
ENGINES = {
    "DuckDB": "dagweave.duckdb.engine",
    "Snowflake": "dagweave.snowflake.engine",
    "Databricks": "dagweave.databricks.engine",
    "BigQuery": "dagweave.bigquery.engine",
}
"""Where each engine declares what it can do."""

HEAD = """\
# What each warehouse can do

Printed from what the engines declare, which the contract of the warehouses holds them to. What is
not there is refused with the reason. What is meant: [tables in a warehouse](warehouses.md).

"""


def declared() -> dict[str, Capabilities]:
    """What each engine declares."""
    return {name: importlib.import_module(m).CAPABILITIES for name, m in ENGINES.items()}


def page() -> str:
    """The page."""
    engines = declared()
    lines = [f"| | {' | '.join(engines)} |", "|---" * (len(engines) + 1) + "|"]
    notes: dict[str, str] = {}
    for feature in Feature:
        cells: list[str] = []
        for name, capabilities in engines.items():
            capability = capabilities[feature]
            mark = "yes"
            if not capability:
                note = notes.setdefault(f"{name}: {capability.reason}", str(len(notes) + 1))
                mark = f"{capability.state} ({note})"
            cells.append(mark)
        lines.append(f"| {feature.value} | {' | '.join(cells)} |")
    reasons = [f"{number}. {reason}" for reason, number in notes.items()]
    return HEAD + "\n".join([*lines, *(["", *reasons] if reasons else []), ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
