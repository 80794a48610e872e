"""A PagerDuty service in memory: what it answers to events, and what becomes of its incidents."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from dagweave.testing.pagerduty.checks import MOST_BYTES, alert_faults, change_faults
from dagweave.testing.rest import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dagweave.testing.rest import Request

_STATES: Final = {"trigger": "triggered", "acknowledge": "acknowledged", "resolve": "resolved"}


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident of the service.

    Attributes:
        status: `triggered`, `acknowledged` or `resolved`.
        summary: That of the event which opened it.
        events: All events of it, as they arrived, without the routing key.
        opened_s: When it was opened, in seconds since 1970.
    """

    dedup_key: str
    status: str
    summary: str
    severity: str
    source: str
    events: tuple[dict[str, Any], ...]
    opened_s: float


def invalid(*errors: str, status: int = 400) -> Reply:
    """PagerDuty's way to say no."""
    body = {"status": "invalid event", "message": "Event object is invalid", "errors": [*errors]}
    return Reply(body, status)


class Service:
    """One service with one integration. Safe to share between threads."""

    def __init__(self, routing_key: str) -> None:
        self.incidents: list[Incident] = []
        self.changes: list[dict[str, Any]] = []
        self._routing_key = routing_key
        self._lock = threading.Lock()

    def enqueue(self, request: Request) -> Reply:
        """Take an event for an alert, as `/v2/enqueue` does."""
        event = request.body
        if refused := self._refused(request, alert_faults):
            return refused
        with self._lock:
            key = str(event.get("dedup_key") or uuid.uuid4().hex)
            self._happened(key, str(event["event_action"]), _without_key(event))
        body = {"status": "success", "message": "Event processed", "dedup_key": key}
        return Reply(body, 202)

    def enqueue_change(self, request: Request) -> Reply:
        """Take a change event, as `/v2/change/enqueue` does."""
        if refused := self._refused(request, change_faults):
            return refused
        with self._lock:
            self.changes.append(_without_key(request.body))
        return Reply({"status": "success", "message": "Change event processed"}, 202)

    def _refused(self, request: Request, faults: Callable[[Any], list[str]]) -> Reply | None:
        if int(request.headers.get("content-length") or 0) > MOST_BYTES:
            return invalid("Event is too large", status=413)
        if not isinstance(request.body, dict):
            unknown = {"status": "Unrecognized object", "errors": ["JSON parse error"]}
            return Reply({"message": "Event object format is unrecognized"} | unknown, 400)
        event = cast("dict[str, Any]", request.body)
        if found := faults(event):
            return invalid(*found)
        return None if event["routing_key"] == self._routing_key else invalid("Invalid routing key")

    def _happened(self, key: str, action: str, event: dict[str, Any]) -> None:
        # What is resolved stays so; the next trigger of its key opens another.
        at = next(
            (
                index
                for index, incident in enumerate(self.incidents)
                if incident.dedup_key == key and incident.status != "resolved"
            ),
            None,
        )
        if at is not None:
            known = self.incidents[at]
            # A trigger adds to an incident, and wakes nobody who has acknowledged it.
            status = known.status if action == "trigger" else _STATES[action]
            self.incidents[at] = replace(known, status=status, events=(*known.events, event))
        elif action == "trigger":
            payload = event["payload"]
            self.incidents.append(
                Incident(
                    dedup_key=key,
                    status="triggered",
                    summary=payload["summary"],
                    severity=payload["severity"],
                    source=payload["source"],
                    events=(event,),
                    opened_s=time.time(),
                )
            )


def _without_key(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "routing_key"}
