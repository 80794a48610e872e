"""The local Slack, held against a client that is neither ours nor Slack's."""

from __future__ import annotations

import apprise
import apprise.plugins.slack
import pytest

from dagweave.testing import SlackServer

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def test_apprise_posts_to_a_channel(monkeypatch: pytest.MonkeyPatch):
    # Apprise takes a token of Slack's own shape alone, and knows no other address.
    token = "xoxb-1234567890-1234567890-abcdefghijklmnopqrstuvwx"
    with SlackServer(token=token) as server:
        notifier = apprise.plugins.slack.NotifySlack
        monkeypatch.setattr(notifier, "api_url", f"{server.base_url}{{}}")

        assert apprise.Apprise(f"slack://{token}/#data").notify(title="broken", body="no rows")

    [message] = server.inbox
    assert message.channel == "#data"
