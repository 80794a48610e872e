"""The metadata keys and tags by which a run finds its way back from Dagster's names to dbt's.

The names are those of the official package: Dagster's UI knows them, and hides what is internal.
"""

from __future__ import annotations

from typing import Final

MANIFEST: Final = "dagster_dbt/manifest"
TRANSLATOR: Final = "dagster_dbt/dagster_dbt_translator"
PROJECT: Final = "dagster_dbt/project"
UNIQUE_ID: Final = "dagster_dbt/unique_id"
PROJECT_ID: Final = "dagster_dbt/project_id"

SELECT: Final = "dagster_dbt/select"
EXCLUDE: Final = "dagster_dbt/exclude"
SELECTOR: Final = "dagster_dbt/selector"

MATERIALIZATION_TYPE: Final = "dagster-dbt/materialization_type"
FAILED_ROW_COUNT: Final = "dagster_dbt/failed_row_count"

CODE_REFERENCES: Final = "dagster/code_references"
"""Dagster's own: https://docs.dagster.io/guides/build/assets/metadata-and-tags#code-references"""
