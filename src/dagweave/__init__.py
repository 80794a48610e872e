"""The modern data stack, woven into open-source Dagster.

Each integration is a package of its own: `dagweave.dbt`, `dagweave.dlt`, `dagweave.duckdb`,
`dagweave.slack`. What ties them is `dagweave.weaving`.
"""
