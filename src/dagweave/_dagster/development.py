"""Whether somebody is developing, as Dagster's own commands tell the processes that they start."""

from __future__ import annotations

import os


def using_dagster_dev() -> bool:
    """Whether this process belongs to `dagster dev` or `dg dev`."""
    return bool(os.environ.get("DAGSTER_IS_DEV_CLI"))
