"""A PagerDuty on this machine: real HTTP, incidents, and faults on demand."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dagweave.testing.local import CONTENT_SECURITY_POLICY
from dagweave.testing.pagerduty.page import page
from dagweave.testing.pagerduty.service import Incident, Service
from dagweave.testing.rest import Reply, Request, RestServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagweave.testing.rest import Route


class PagerDutyServer(RestServer):
    """A service of PagerDuty, on a port of this machine.

    It takes events for alerts and for changes as PagerDuty documents them, with its limits and its
    errors. A browser shows the incidents at `url`; `url + "/incidents.json"` has them as JSON.

    ```python
    from dagweave.pagerduty import PagerDutyService
    from dagweave.testing import PagerDutyServer

    with PagerDutyServer() as server:
        service = PagerDutyService(routing_key=server.routing_key, base_url=server.url)
        service.EventV2_create("The disk is full", source="host-1", severity="critical")
        assert server.incidents[0].summary == "The disk is full"
    ```

    Args:
        port: The port to listen on; 0 for any that is free.
        routing_key: The one key that is accepted.
    """

    service = "PagerDuty"

    def __init__(
        self,
        *,
        port: int = 0,
        routing_key: str = "da9eea7e000000000000000000000000",
        latency_s: float = 0.0,
    ) -> None:
        super().__init__(port=port, latency_s=latency_s)
        self.routing_key = routing_key
        self._events = Service(routing_key)

    @property
    def incidents(self) -> list[Incident]:
        """Every incident, the oldest first."""
        return list(self._events.incidents)

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Every change event that arrived, without its routing key, the oldest first."""
        return list(self._events.changes)

    def routes(self) -> Sequence[Route]:
        """The two ways in, and the page."""
        return (
            ("POST", "/v2/enqueue", self._enqueue),
            ("POST", "/v2/change/enqueue", self._enqueue_change),
            ("GET", "/", self._page),
            ("GET", "/incidents.json", self._as_json),
        )

    def _enqueue(self, request: Request) -> Reply:
        return self._events.enqueue(request)

    def _enqueue_change(self, request: Request) -> Reply:
        return self._events.enqueue_change(request)

    def _page(self, _: Request) -> Reply:
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        }
        return Reply(page(self.incidents, self.changes).encode(), headers=headers)

    def _as_json(self, _: Request) -> Reply:
        return Reply([json.loads(json.dumps(asdict(each))) for each in self.incidents])
