"""PagerDuty from Dagster: open alerts when something fails, and resolve them when it works."""

from __future__ import annotations

from dagweave.pagerduty.hooks import pagerduty_on_failure, pagerduty_on_success
from dagweave.pagerduty.resource import PagerDutyNotifier, PagerDutyService, pagerduty_resource
from dagweave.pagerduty.sensors import make_pagerduty_on_run_failure_sensor

__all__ = [
    "PagerDutyNotifier",
    "PagerDutyService",
    "make_pagerduty_on_run_failure_sensor",
    "pagerduty_on_failure",
    "pagerduty_on_success",
    "pagerduty_resource",
]
