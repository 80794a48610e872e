"""Hooks that tell of a step's end, written once and bound to any notifier.

A hook is the guest of the run that it reports on: whatever goes wrong in it is logged, once, and
the run ends as it would have without it.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Literal, TypeAlias

from dagster import (
    AssetCheckSeverity,
    DagsterEventType,
    DagsterExecutionInterruptedError,
    HookDefinition,
    HookExecutionResult,
)

from dagweave._dagster.private import hooked_step
from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.redact import redact
from dagweave.notifier.notice import Notice
from dagweave.notifier.trouble import error_text, told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagster import AssetKey, DagsterEvent, HookContext

    from dagweave.notifier.notice import Notifier

    NotifierFor: TypeAlias = Callable[[HookContext], Notifier]
    # What a user's function returns is the user's word; it is checked.
    MessageFn: TypeAlias = Callable[[HookContext], object]

Outcome = Literal["failed", "succeeded"]


def notify_on(
    outcome: Outcome,
    notifier: NotifierFor,
    *,
    name: str,
    required_resource_keys: frozenset[str],
    message_fn: MessageFn | None = None,
    webserver_base_url: str | None = None,
) -> HookDefinition:
    """Make a hook that sends one notice when a step ends with `outcome`.

    It applies to ops, jobs and assets, and like every hook of Dagster it can be called with the
    context that `build_hook_context` makes. It never raises: a notice that cannot be written or
    sent is logged as an error of the run.

    Args:
        notifier: Makes the notifier from the context's resources.
        message_fn: Writes the message in the user's own words, in the destination's markup.
        webserver_base_url: Where Dagster's UI is, for the link to the run.
    """
    wanted = "is_step_failure" if outcome == "failed" else "is_step_success"

    def notify(context: HookContext, events: Sequence[DagsterEvent] = ()) -> None:
        try:
            notice = describe(context, outcome, events, message_fn, webserver_base_url)
            notifier(context).send(notice)
            return
        except (KeyboardInterrupt, GeneratorExit, DagsterExecutionInterruptedError):
            raise
        # Nothing in here may change how the run ends: no sys.exit(), and no panic in Rust, which
        # arrives as a BaseException of its own.
        except BaseException as error:  # noqa: BLE001
            complaint = (
                f"{name} could not send its message; the run is not affected.\n{told(error)}"
            )
        context.log.error(complaint)

    def hook(context: HookContext, events: Sequence[DagsterEvent]) -> HookExecutionResult:
        ended_so = any(getattr(event, wanted) for event in events)
        if ended_so:
            notify(context, events)
        return HookExecutionResult(hook_name=name, is_skipped=not ended_so)

    def called_by_hand(context: HookContext) -> None:
        notify(context)

    return HookDefinition(
        name=name,
        hook_fn=hook,
        required_resource_keys=required_resource_keys,
        decorated_fn=called_by_hand,
    )


def describe(
    context: HookContext,
    outcome: Outcome,
    events: Sequence[DagsterEvent] = (),
    message_fn: MessageFn | None = None,
    webserver_base_url: str | None = None,
) -> Notice:
    """Say in a notice how the step of `context` ended, from what the step's `events` tell."""
    op_name, job_name, run_id = context.op.name, context.job_name, context.run_id
    step = hooked_step(context)
    failed = outcome == "failed"
    failed_checks = _failed_checks(events)
    made = _materialized(events)
    error = context.op_exception
    return Notice(
        summary=f"Op {op_name} on job {job_name} {outcome}!",
        severity="error" if failed else "warning" if failed_checks else "info",
        dedup_key=f"{job_name}|{op_name}",
        job_name=job_name,
        op_name=op_name,
        run_id=run_id,
        assets=_names(step.asset_keys - made if failed else step.asset_keys & made),
        partition=step.partition,
        failed_checks=failed_checks,
        details=redact(error_text(error)) if error else "",
        full_details=redact("".join(traceback.format_exception(error))) if error else "",
        owners=step.owners if failed else (),
        link=f"{webserver_base_url.rstrip('/')}/runs/{run_id}" if webserver_base_url else None,
        message=_own_words(context, message_fn) if message_fn else None,
    )


def _own_words(context: HookContext, message_fn: MessageFn) -> str:
    message = message_fn(context)
    if not isinstance(message, str):
        raise InvalidInput(
            f"The function that should write the message returned {type(message).__name__}.",
            remedy="Return the message's text from it, as a str.",
        )
    return redact(message)


def _materialized(events: Sequence[DagsterEvent]) -> frozenset[AssetKey]:
    keys = (event.asset_key for event in events if event.is_step_materialization)
    return frozenset(key for key in keys if key)


def _failed_checks(events: Sequence[DagsterEvent]) -> tuple[str, ...]:
    evaluations = (
        event.asset_check_evaluation_data
        for event in events
        if event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION
    )
    failed = [check for check in evaluations if not check.passed]
    # Those that failed the step come before those that only warn.
    failed.sort(key=lambda check: check.severity != AssetCheckSeverity.ERROR)
    return tuple(f"{check.asset_key.to_user_string()}: {check.check_name}" for check in failed)


def _names(keys: frozenset[AssetKey]) -> tuple[str, ...]:
    return tuple(sorted(key.to_user_string() for key in keys))
