"""Evaluate dbt's node selection on a manifest, without dbt. Knows nothing of Dagster.

The language: https://docs.getdbt.com/reference/node-selection/syntax. What it means here is what
`dbt ls` says, which the tests compare with.
"""

from __future__ import annotations

from dagweave.dbt.select.evaluate import Selected, along_with, select
from dagweave.dbt.select.expression import EVERYTHING, Indirect, NotEvaluatedHere

__all__ = ["EVERYTHING", "Indirect", "NotEvaluatedHere", "Selected", "along_with", "select"]
