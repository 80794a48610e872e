"""Slack from Dagster: post from assets and ops, and be told when a step or a run fails."""

from __future__ import annotations

from dagweave.slack.hooks import slack_on_failure, slack_on_success
from dagweave.slack.legacy import slack_resource
from dagweave.slack.notifier import SlackNotifier
from dagweave.slack.resource import SlackResource
from dagweave.slack.sensors import make_slack_on_run_failure_sensor

__all__ = [
    "SlackNotifier",
    "SlackResource",
    "make_slack_on_run_failure_sensor",
    "slack_on_failure",
    "slack_on_success",
    "slack_resource",
]
