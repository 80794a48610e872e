"""The metadata keys that Dagster, its UI and `dagweave.weaving` agree on.

The `dagster/…` keys are Dagster's own: https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from __future__ import annotations

TABLE_NAME = "dagster/table_name"
"""`database.schema.table`, as the warehouse spells it; the database may be missing."""

LOOSE_TABLE_NAME = "dagweave/loose_table_name"
"""The same, on a dependency that was deliberately not linked.

Dagster's core links dependencies by equal `dagster/table_name` texts by itself, makes circles of
them, and refuses the whole code location where two assets have the same text.
"""

STORAGE_KIND = "dagster/storage_kind"
"""The kind of warehouse the table is in: `duckdb`, `snowflake`, …"""

COLUMN_SCHEMA = "dagster/column_schema"
COLUMN_LINEAGE = "dagster/column_lineage"
ROW_COUNT = "dagster/row_count"
PARTITION_ROW_COUNT = "dagster/partition_row_count"

STORAGE_LOCATION = "dagweave/storage_location"
"""Which warehouse of its kind: a DuckDB file's absolute path, a Snowflake account. Optional."""

WOVEN = "dagweave/woven"
"""On `Definitions`: what `weave` linked, as JSON."""
