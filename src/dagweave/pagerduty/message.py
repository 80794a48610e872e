"""Write a notice as an event of PagerDuty, within its limits. Pure functions.

https://developer.pagerduty.com/docs/send-alert-event
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dagweave.notifier.text import cut, printable
from dagweave.pagerduty.client import fitting_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagweave.notifier.notice import Notice, Severity

LONGEST_SUMMARY = 1_024
# Far below what an event may hold in all; a person reads none of it to its end.
_LONGEST_DETAIL = 50_000
_MOST_NAMES = 50
CLIENT = "Dagster"


def trigger(notice: Notice, severity: Severity | None = None) -> dict[str, Any]:
    """The event that opens an alert for `notice`, or adds to the one of its key.

    Args:
        severity: In place of the notice's own.
    """
    payload: dict[str, Any] = {
        "summary": short(notice.message or notice.summary),
        "source": printable(notice.job_name or (notice.assets or ("dagster",))[0]),
        "severity": severity or notice.severity,
        "custom_details": dict(_details(notice)),
    }
    if notice.op_name:
        payload["component"] = printable(notice.op_name)
    if notice.happened_at_s is not None:
        payload["timestamp"] = datetime.fromtimestamp(notice.happened_at_s, UTC).isoformat()
    event: dict[str, Any] = {
        "event_action": "trigger",
        "dedup_key": fitting_key(notice.dedup_key),
        "payload": payload,
        "client": CLIENT,
    }
    if notice.link:
        event["client_url"] = notice.link
        event["links"] = [{"href": notice.link, "text": "View in Dagster UI"}]
    return event


def short(summary: str) -> str:
    """A summary in one line, as long as PagerDuty takes."""
    return cut(" ".join(printable(summary).split()), LONGEST_SUMMARY).replace("\n", " ")


def _details(notice: Notice) -> Iterator[tuple[str, Any]]:
    if notice.link:
        # As the official package calls it; rules of event orchestration may look for it.
        yield "webserver url", notice.link
    for name, value in (
        ("run id", notice.run_id),
        ("assets", list(notice.assets[:_MOST_NAMES])),
        ("partition", notice.partition),
        ("failed checks", list(notice.failed_checks[:_MOST_NAMES])),
        ("owners", list(notice.owners[:_MOST_NAMES])),
        ("error", cut(printable(notice.details), _LONGEST_DETAIL)),
        ("traceback", cut(printable(notice.full_details), _LONGEST_DETAIL)),
    ):
        if value:
            yield name, value
