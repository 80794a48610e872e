"""The demo: a year of flights through dlt, DuckDB, dbt and Polars, woven and watched.

`definitions` is the pipeline, as a user would write it; `command` runs it and shows what came out.
"""
