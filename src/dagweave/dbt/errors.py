"""How failures of dbt look to Dagster."""

from __future__ import annotations

from dagster import Failure


class DagsterDbtError(Failure):
    """Something of dbt failed in a step."""


class DagsterDbtCliRuntimeError(DagsterDbtError):
    """A dbt command failed; says which nodes, and in dbt's own words why."""
