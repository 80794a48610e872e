"""Write a notice as an event of PagerDuty, within its limits. Pure functions.

https://developer.pagerduty.com/docs/send-alert-event
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from dagweave._kernel.errors import InvalidInput
from dagweave.notifier.notice import Severity
from dagweave.notifier.text import cut, printable
from dagweave.pagerduty.client import fitting_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagweave.notifier.notice import Notice

LONGEST_SUMMARY = 1_024
# In bytes as the event is written, far below what it may hold in all; a person reads none of it to
# its end.
_LONGEST_DETAIL = 50_000
_MOST_NAMES = 50
CLIENT = "Dagster"


def require_severity(severity: str) -> None:
    """Refuse what PagerDuty would refuse of every alert.

    Raises:
        InvalidInput: There is no such severity.
    """
    if severity not in get_args(Severity):
        raise InvalidInput(
            f"{severity!r} is no severity of PagerDuty's.",
            remedy=f"Use one of: {', '.join(get_args(Severity))}.",
        )


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
        ("error", _detail(notice.details)),
        ("traceback", _detail(notice.full_details)),
    ):
        if value:
            yield name, value


def _detail(text: str) -> str:
    return cut(printable(text), _LONGEST_DETAIL, width=_written)


def _written(character: str) -> int:
    """How many bytes a character takes in the JSON of an event."""
    return len(json.dumps(character)) - 2
