"""What the demo prints while it runs, one line per asset, and the record from which it sums up."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dagster import AssetCheckSeverity, DagsterEventType, EventLogEntry, IntMetadataValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import AssetCheckEvaluation, MetadataValue
    from rich.console import Console

# What dlt loaded; what an I/O manager wrote.
_ROWS = ("rows_loaded", "dagweave/rows_written")


@dataclass
class Progress:
    """Listens to the events of a run; prints them and keeps what the summary needs."""

    console: Console
    partitions_by_asset: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    seconds_by_step: dict[str, float] = field(default_factory=dict)
    passed: int = 0
    warned: list[AssetCheckEvaluation] = field(default_factory=list)
    failed: list[AssetCheckEvaluation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _started: dict[str, float] = field(default_factory=dict)

    def hear(self, entry: EventLogEntry) -> None:
        """Take in one event of Dagster's log. Events that say nothing here are passed over."""
        event = entry.dagster_event
        if event is None:
            return
        step = event.step_key or ""
        match event.event_type:
            case DagsterEventType.STEP_START:
                self._started[step] = entry.timestamp
                self.console.print(f"  [dim]{step} ...[/]")
            case DagsterEventType.ASSET_MATERIALIZATION:
                materialization = event.step_materialization_data.materialization
                key = materialization.asset_key.to_user_string()
                self._materialized(key, materialization.metadata)
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                self._checked(event.asset_check_evaluation_data)
            case DagsterEventType.STEP_SUCCESS | DagsterEventType.STEP_FAILURE:
                self.seconds_by_step[step] = entry.timestamp - self._started[step]
                if event.is_step_failure:
                    error = event.step_failure_data.error
                    self.errors.append(error.message.strip() if error else "no error was given")
                    self.console.print(f"  [red]✗ {step} failed[/]")
            case _:
                pass

    def _materialized(self, key: str, metadata: Mapping[str, MetadataValue]) -> None:
        first = key not in self.partitions_by_asset
        self.partitions_by_asset[key] += 1
        if not first:
            return
        found = (metadata.get(name) for name in _ROWS)
        rows = next((v.value for v in found if isinstance(v, IntMetadataValue)), None)
        counted = f"{rows:>9,} rows" if rows is not None else ""
        self.console.print(f"  [green]✓[/] {key:<34}{counted}")

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
        self.console.print(f"  [{style}]{sign} check {check.check_name} of {asset}[/]")
