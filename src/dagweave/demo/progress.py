"""What the demo prints while it runs, one line per asset, and the record from which it sums up."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dagster import AssetCheckSeverity, DagsterEventType, EventLogEntry, IntMetadataValue
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagster import AssetCheckEvaluation, MetadataValue
    from rich.console import Console

# What dlt loaded; what an I/O manager wrote.
_ROWS = ("rows_loaded", "dagweave/rows_written")
# Dagster's wrapper around an error of the user's code. It says no more than which step it was.
_WRAPPER = "DagsterExecutionStepExecutionError"
_INTERRUPT = "DagsterExecutionInterruptedError"


@dataclass
class Progress:
    """Listens to the events of a run; prints them and keeps what the summary needs."""

    console: Console
    assets: set[str] = field(default_factory=set[str])
    seconds_by_step: dict[str, float] = field(default_factory=dict[str, float])
    passed: int = 0
    warned: list[AssetCheckEvaluation] = field(default_factory=list["AssetCheckEvaluation"])
    failed: list[AssetCheckEvaluation] = field(default_factory=list["AssetCheckEvaluation"])
    errors: list[str] = field(default_factory=list[str])
    interrupted: bool = False
    _started: dict[str, float] = field(default_factory=dict[str, float])

    def hear(self, entry: EventLogEntry) -> None:
        """Take in one event of Dagster's log. Events that say nothing here are passed over."""
        event = entry.dagster_event
        if event is None:
            return
        step = event.step_key or ""
        match event.event_type:
            case DagsterEventType.STEP_START:
                self._started[step] = entry.timestamp
                self.console.print(Text(f"  {step} ...", style="dim"))
            case DagsterEventType.ASSET_MATERIALIZATION:
                materialization = event.step_materialization_data.materialization
                key = materialization.asset_key.to_user_string()
                self._materialized(key, materialization.metadata)
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                self._checked(event.asset_check_evaluation_data)
            case DagsterEventType.STEP_SUCCESS:
                self._ended(step, entry.timestamp)
            case DagsterEventType.STEP_FAILURE:
                self._ended(step, entry.timestamp)
                self._went_wrong(event.step_failure_data.error)
                how = "was interrupted" if self.interrupted else "failed"
                self.console.print(Text(f"  ✗ {step} {how}", style="red"))
            case DagsterEventType.RUN_FAILURE if not self.errors:
                # A run can fail before any of its steps: a resource that does not come up.
                self._went_wrong(event.job_failure_data.error)
            case _:
                pass

    def _ended(self, step: str, when: float) -> None:
        # A step that failed before its start has none.
        self.seconds_by_step[step] = when - self._started.get(step, when)

    # Dagster's class for the errors of a log has no public name.
    def _went_wrong(self, error: Any) -> None:
        self.interrupted |= any(each.cls_name == _INTERRUPT for each in _chain(error))
        told = [each for each in _chain(error) if each.cls_name != _WRAPPER or not each.cause]
        self.errors.append("\ncaused by ".join(map(_said, told)) or "no error was given")

    def _materialized(self, key: str, metadata: Mapping[str, MetadataValue]) -> None:
        if key in self.assets:
            return
        self.assets.add(key)
        found = (metadata.get(name) for name in _ROWS)
        rows = next((v.value for v in found if isinstance(v, IntMetadataValue)), None)
        counted = f"{rows:>9,} rows" if rows is not None else ""
        self.console.print(Text.assemble("  ", ("✓", "green"), f" {key:<34}{counted}"))

    def _checked(self, check: AssetCheckEvaluation) -> None:
        if check.passed:
            self.passed += 1
        elif check.severity == AssetCheckSeverity.WARN:
            self.warned.append(check)
            self._show(check, "yellow", "!")
        else:
            self.failed.append(check)
            self._show(check, "red", "✗")

    def _show(self, check: AssetCheckEvaluation, style: str, sign: str) -> None:
        asset = check.asset_key.to_user_string()
        self.console.print(Text(f"  {sign} check {check.check_name} of {asset}", style=style))


def _chain(error: Any) -> Iterator[Any]:
    while error is not None:
        yield error
        error = error.cause or error.context


def _said(error: Any) -> str:
    # The module of an error's class says nothing to who reads the error.
    return re.sub(r"^(?:\w+\.)+(?=[A-Z]\w*(?::|$))", "", error.message.strip())
