"""A PagerDuty server for tests and demos, on this machine."""

from __future__ import annotations

from dagweave.testing.pagerduty.server import PagerDutyServer
from dagweave.testing.pagerduty.service import Incident

__all__ = ["Incident", "PagerDutyServer"]
