"""Materialize assets on a DuckDB I/O manager, and read what came of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import dagster as dg

Query = Callable[[str], list[Any]]


@cache
def instance() -> dg.DagsterInstance:
    """One for all runs of a process: to make it takes as long as a run."""
    return dg.DagsterInstance.ephemeral()


def run(
    *assets: Any, io_manager: Any, selection: Any = None, ok: bool = True, **options: Any
) -> dg.ExecuteInProcessResult:
    result = dg.materialize(
        assets,
        resources={"io_manager": io_manager},
        selection=selection,
        raise_on_error=ok,
        **{"instance": instance(), **options},
    )
    assert result.success is ok
    return result


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the failed step says."""
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    return event.event_specific_data.error.message


def metadata(result: dg.ExecuteInProcessResult, node: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(node)
    return {key: value.value for key, value in event.metadata.items()}
