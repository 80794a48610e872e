"""A Slack server for tests and demos, on this machine."""

from __future__ import annotations

from dagweave.testing.slack.fault import Fault
from dagweave.testing.slack.server import SlackServer
from dagweave.testing.slack.uploads import PostedFile
from dagweave.testing.slack.workspace import Channel, PostedMessage

__all__ = ["Channel", "Fault", "PostedFile", "PostedMessage", "SlackServer"]
