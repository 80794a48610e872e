from __future__ import annotations

import dagster as dg
import pytest
from slack_sdk import WebClient

from dagweave.slack import slack_resource
from dagweave.testing import SlackServer


def test_the_old_resource_gives_the_client_itself_with_a_warning(slack_server: SlackServer):
    @dg.op(required_resource_keys={"slack"})
    def greets(context) -> None:
        assert isinstance(context.resources.slack, WebClient)
        context.resources.slack.chat_postMessage(channel="#noise", text="hello")

    @dg.job(resource_defs={"slack": slack_resource})
    def greeting() -> None:
        greets()

    config = {"resources": {"slack": {"config": {"token": slack_server.token}}}}
    with pytest.warns(DeprecationWarning, match="slack_resource is deprecated; use SlackResource"):
        greeting.execute_in_process(run_config=config)

    assert [message.text for message in slack_server.inbox] == ["hello"]
