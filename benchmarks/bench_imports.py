"""What importing an integration costs, over importing Dagster alone."""

from __future__ import annotations

from benchmarks.measure import OFFICIAL, Command, compare

INTEGRATIONS = ("dbt", "dlt", "duckdb", "slack")


def main() -> None:
    dagster = Command("import dagster", "import dagster")
    for name in INTEGRATIONS:
        ours = Command(f"import dagweave.{name}", f"import dagweave.{name}")
        compare(f"import: dagweave.{name} over dagster", ours, dagster)
        official = Command(f"import dagster_{name}", f"import dagster_{name}", python=OFFICIAL)
        compare(f"import: dagweave.{name} over dagster_{name}", ours, official)
