"""What the events of Dagster are told as: a run that failed, a check, an asset's freshness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dagster import AssetCheckSeverity, DagsterEventType

from dagweave._kernel.redact import redact
from dagweave.notifier.notice import Notice, Severity
from dagweave.notifier.watch import News

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagster import (
        AssetCheckEvaluation,
        AssetKey,
        DagsterEvent,
        DagsterInstance,
        DagsterRun,
        EventLogEntry,
        SensorEvaluationContext,
    )

# More steps than these are counted, and not told one by one.
_MOST_STEPS = 3
_LONGEST_REASON = 2_000

_FRESHNESS: Final[Mapping[str, Severity]] = {"WARN": "warning", "FAIL": "error"}


def run_news(
    instance: DagsterInstance, run: DagsterRun, entry: EventLogEntry, webserver_base_url: str | None
) -> News:
    """What the end of a run is told as."""
    event = entry.get_dagster_event()
    failed = event.event_type == DagsterEventType.RUN_FAILURE
    steps = _failed_steps(instance, run.run_id) if failed else ()
    details, full = _why(event, steps) if failed else ("", "")
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    what = f"Job {run.job_name}" if not run.job_name.startswith("__") else "A run of assets"
    return News(
        Notice(
            summary=f"{what} {'failed!' if failed else 'works again.'}",
            severity="error" if failed else "info",
            dedup_key=run_key(instance, run),
            job_name=run.job_name,
            run_id=run.run_id,
            assets=tuple(assets),
            partition=run.tags.get("dagster/partition"),
            details=details,
            full_details=full,
            link=_link(webserver_base_url, run.run_id),
            happened_at_s=entry.timestamp,
        ),
        over=not failed,
    )


def run_key(instance: DagsterInstance, run: DagsterRun) -> str:
    """What is equal for the runs that do the same: of a job, for a partition, of some assets.

    A run that takes up another does the same as that one, even if it does only the rest of it.
    """
    root = instance.get_run_by_id(run.root_run_id) if run.root_run_id else None
    run = root or run
    parts = [run.job_name, run.tags.get("dagster/partition", "")]
    if run.asset_selection and run.job_name.startswith("__"):
        parts.append(",".join(sorted(key.to_user_string() for key in run.asset_selection)))
    return "|".join(filter(None, parts))


def check_news(
    context: SensorEvaluationContext, entry: EventLogEntry, webserver_base_url: str | None
) -> News:
    """What the outcome of an asset check is told as."""
    check = entry.get_dagster_event().asset_check_evaluation_data
    asset = check.asset_key.to_user_string()
    outcome = "passes again." if check.passed else "failed!"
    return News(
        Notice(
            summary=f"Check {check.check_name} of asset {asset} {outcome}",
            severity="info" if check.passed else _severity(check),
            dedup_key=f"check|{asset}|{check.check_name}",
            job_name=entry.job_name,
            run_id=_run_id(entry),
            assets=(asset,),
            failed_checks=() if check.passed else (f"{asset}: {check.check_name}",),
            details="" if check.passed else "\n".join(_seen(check)),
            owners=_owners(context, check.asset_key),
            link=_link(webserver_base_url, _run_id(entry)),
            happened_at_s=entry.timestamp,
        ),
        over=check.passed,
    )


def freshness_news(
    context: SensorEvaluationContext, entry: EventLogEntry, webserver_base_url: str | None
) -> News | None:
    """What a change of an asset's freshness is told as; nothing of one that nobody can act on."""
    change = entry.get_dagster_event().asset_freshness_state_change_data
    state, asset = change.new_state.value, change.key.to_user_string()
    if state != "PASS" and state not in _FRESHNESS:
        return None
    told = {"PASS": "is fresh again.", "WARN": "is getting stale.", "FAIL": "is stale!"}[state]
    base = webserver_base_url.rstrip("/") if webserver_base_url else None
    return News(
        Notice(
            summary=f"Asset {asset} {told}",
            severity=_FRESHNESS.get(state, "info"),
            dedup_key=f"freshness|{asset}",
            assets=(asset,),
            owners=_owners(context, change.key),
            link=f"{base}/assets/{'/'.join(change.key.path)}" if base else None,
            happened_at_s=change.state_change_timestamp,
        ),
        over=state == "PASS",
    )


def _failed_steps(instance: DagsterInstance, run_id: str) -> tuple[DagsterEvent, ...]:
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE).records
    return tuple(record.event_log_entry.get_dagster_event() for record in records)


def _why(event: DagsterEvent, steps: tuple[DagsterEvent, ...]) -> tuple[str, str]:
    """Why a run failed, in few words and in all."""
    few: list[str] = []
    full: list[str] = []
    for step in steps:
        error = step.step_failure_data.error
        if error is None:
            continue
        # Dagster's own error around the user's says only which step it was.
        cause = error.cause or error
        few.append(f"{step.step_key}: {cause.message.strip()}")
        full.append(f"{step.step_key}\n{cause.to_string()}")
    if not few:
        # A run that was marked as failed from outside has a message and nothing else.
        error = event.job_failure_data.error if event.event_specific_data else None
        few.append((error.message if error else event.message or "").strip())
        full.append(error.to_string() if error else "")
    more = len(few) - _MOST_STEPS
    shown = [*few[:_MOST_STEPS], *([f"and {more} more steps"] if more > 0 else [])]
    return redact("\n".join(shown)), redact("\n\n".join(filter(None, full)))


def _seen(check: AssetCheckEvaluation) -> Iterator[str]:
    if check.description:
        yield redact(check.description)
    for name, value in check.metadata.items():
        yield redact(f"{name}: {value.value}")[:_LONGEST_REASON]


def _severity(check: AssetCheckEvaluation) -> Severity:
    return "error" if check.severity == AssetCheckSeverity.ERROR else "warning"


def _owners(context: SensorEvaluationContext, key: AssetKey) -> tuple[str, ...]:
    repository = context.repository_def
    if repository is None or not repository.asset_graph.has(key):
        return ()
    return tuple(repository.asset_graph.get(key).owners)


def _run_id(entry: EventLogEntry) -> str | None:
    # What is reported from outside of any run has an empty one.
    return entry.run_id or None


def _link(webserver_base_url: str | None, run_id: str | None) -> str | None:
    return (
        f"{webserver_base_url.rstrip('/')}/runs/{run_id}" if webserver_base_url and run_id else None
    )
