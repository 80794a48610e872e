"""One notice for whatever happened, one protocol for whatever carries it, hooks on both."""

from __future__ import annotations

from dagweave.notifier.hooks import notify_on
from dagweave.notifier.notice import Notice, Notifier, Severity

__all__ = ["Notice", "Notifier", "Severity", "notify_on"]
