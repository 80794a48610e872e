"""A check that warns when a load has changed the columns of a table that was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey, AssetSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME: Final = "schema_is_unchanged"


def schema_check(spec: AssetSpec) -> AssetCheckSpec:
    """The check of an asset."""
    return AssetCheckSpec(
        NAME,
        asset=spec.key,
        description="Warns when a load added columns to a table that was there, or changed them.",
    )


def schema_checked(
    key: AssetKey, changes: Mapping[str, Sequence[str]], version: int
) -> AssetCheckResult:
    """What a load did to the schema.

    Args:
        changes: By table that was there before: the columns that were added or changed.
        version: Of dlt's schema, after the load.
    """
    said = "; ".join(f"{table}: {', '.join(columns)}" for table, columns in changes.items())
    return AssetCheckResult(
        passed=not changes,
        asset_key=key,
        check_name=NAME,
        severity=AssetCheckSeverity.WARN,
        description=f"The load changed columns. {said}" if changes else "No column was changed.",
        metadata={
            "schema_version": version,
            "changed_columns": {table: list(columns) for table, columns in changes.items()},
        },
    )
