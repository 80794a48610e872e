"""One notice for whatever happened, one protocol for whatever carries it, hooks and sensors on both."""

from __future__ import annotations

from dagweave.notifier.apprise import AppriseNotifier
from dagweave.notifier.hooks import notify_on
from dagweave.notifier.notice import Ability, Notice, Notifier, SendsOnly, Severity
from dagweave.notifier.sensors import (
    SensorOptions,
    notify_on_check_failure,
    notify_on_freshness,
    notify_on_run_failure,
)
from dagweave.notifier.webhook import WebhookNotifier, verify_signature

__all__ = [
    "Ability",
    "AppriseNotifier",
    "Notice",
    "Notifier",
    "SendsOnly",
    "SensorOptions",
    "Severity",
    "WebhookNotifier",
    "notify_on",
    "notify_on_check_failure",
    "notify_on_freshness",
    "notify_on_run_failure",
    "verify_signature",
]
