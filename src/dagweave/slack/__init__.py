"""Slack from Dagster: post from assets and ops, and be told when a step fails or succeeds."""

from __future__ import annotations

from dagweave.slack.hooks import slack_on_failure, slack_on_success
from dagweave.slack.legacy import slack_resource
from dagweave.slack.resource import SlackNotifier, SlackResource

__all__ = [
    "SlackNotifier",
    "SlackResource",
    "slack_on_failure",
    "slack_on_success",
    "slack_resource",
]
