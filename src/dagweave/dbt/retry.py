"""What earlier attempts of a step have done, so that a retry does only what they left.

Dagster's own record says it: what was materialized, and which checks went well. So it holds where
the earlier attempt ran on another machine, and where it was killed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from dagster import (
    AssetCheckSeverity,
    DagsterEventType,
    OpExecutionContext,
)

from dagweave._dagster.attempts import earlier_runs, events_of, step_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from dagster import (
        AssetCheckEvaluation,
        AssetCheckKey,
        AssetExecutionContext,
        AssetKey,
        AssetMaterialization,
    )

BUILT_IN_RUN: Final = "dagweave/built_in_run"
"""In the metadata of what a retry did not build again: the run that did."""

CODE_VERSION: Final = "dagster/code_version"

_told: WeakSet[OpExecutionContext] = WeakSet()


@dataclass(frozen=True)
class Built:
    """A materialization of an earlier attempt, and the run it belongs to."""

    run_id: str
    event: AssetMaterialization

    def is_of_code(self, version: str | None) -> bool:
        """Whether the same code made it, as far as either version is known."""
        then = (self.event.tags or {}).get(CODE_VERSION)
        return then is None or version is None or then == version


@dataclass(frozen=True)
class Done:
    """What earlier attempts did, node by node, and this one need not do again."""

    built: Mapping[str, Built] = field(default_factory=dict[str, Built])
    passed: Mapping[str, AssetCheckEvaluation] = field(
        default_factory=dict["str", "AssetCheckEvaluation"]
    )
    """The tests that went well; a warning counts as that."""

    @property
    def ids(self) -> Set[str]:
        """All of them."""
        return self.built.keys() | self.passed.keys()


@dataclass(frozen=True)
class Earlier:
    """What Dagster recorded of earlier attempts of a step."""

    materialized: Mapping[AssetKey, Built]
    checked: Mapping[AssetCheckKey, AssetCheckEvaluation]

    @classmethod
    def of(cls, context: OpExecutionContext | AssetExecutionContext) -> Earlier | None:
        """None for a first attempt.

        A later one is a retry of the step, or of a run that takes up another one where it failed.
        A run that does all of another one again is a first attempt.
        """
        step = step_of(context)
        runs = list(earlier_runs(step))
        if not runs:
            return None
        materialized: dict[AssetKey, Built] = {}
        checked: dict[AssetCheckKey, AssetCheckEvaluation] = {}
        for run_id in runs:
            for event in events_of(step, run_id, DagsterEventType.ASSET_MATERIALIZATION):
                found: AssetMaterialization = event.step_materialization_data.materialization
                materialized[found.asset_key] = Built(run_id, found)
            for event in events_of(step, run_id, DagsterEventType.ASSET_CHECK_EVALUATION):
                check: AssetCheckEvaluation = event.asset_check_evaluation_data
                checked[check.asset_check_key] = check
        return cls(materialized, checked)

    def failed(self, check: AssetCheckKey) -> bool:
        """Whether it was evaluated, and failed as an error."""
        found = self.checked.get(check)
        return found is not None and not _went_well(found)

    def passed(self, check: AssetCheckKey) -> AssetCheckEvaluation | None:
        """Its evaluation, if it went well or only warned."""
        found = self.checked.get(check)
        return found if found is not None and _went_well(found) else None


def first_to_tell(context: OpExecutionContext | AssetExecutionContext) -> bool:
    """Whether nobody has asked this before in the same attempt of a step."""
    step = step_of(context)
    if step in _told:
        return False
    _told.add(step)
    return True


def _went_well(check: AssetCheckEvaluation) -> bool:
    return check.passed or check.severity is AssetCheckSeverity.WARN
