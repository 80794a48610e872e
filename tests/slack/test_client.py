from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate

import pytest
from slack_sdk.errors import SlackApiError

from dagweave._kernel.errors import InvalidInput, Refused, Unavailable
from dagweave.slack.client import BASE_URL_VARIABLE, connect, post
from dagweave.testing import Channel, Fault, SlackServer
from dagweave.testing.slack.workspace import Answer

SECTION = [{"type": "section", "text": {"type": "mrkdwn", "text": "*hello*"}}]


@pytest.fixture
def server() -> Iterator[SlackServer]:
    channels = ["#data", Channel("old", archived=True), Channel("private", bot_is_member=False)]
    with SlackServer(channels=channels) as server:
        yield server


def test_a_message_arrives(server: SlackServer):
    post(connect(server.token, base_url=server.base_url), "#data", "hello", SECTION)

    [message] = server.inbox
    assert (message.channel, message.text, list(message.blocks)) == ("#data", "hello", SECTION)


@pytest.mark.parametrize(
    ("channel", "code", "remedy"),
    [
        ("#dta", "channel_not_found", "Check the spelling"),
        ("#old", "is_archived", "Unarchive the channel"),
        ("#private", "not_in_channel", "/invite"),
    ],
)
def test_a_channel_that_cannot_be_posted_to_is_named_with_what_to_do(
    server: SlackServer, channel: str, code: str, remedy: str
):
    with pytest.raises(Refused) as caught:
        post(connect(server.token, base_url=server.base_url), channel, "hello")

    told = str(caught.value)
    assert f"Slack refused a message to {channel}." in told
    assert f"Slack says: {code}" in told
    assert remedy in told


def test_a_refused_token_is_reported_at_once_and_never_retried(server: SlackServer):
    client = connect("xoxb-of-another-workspace", base_url=server.base_url)

    with pytest.raises(Refused, match="invalid_auth") as caught:
        post(client, "#data", "hello")

    assert server.calls == ["chat.postMessage"]
    assert "of-another-workspace" not in str(caught.value)


def test_an_unknown_code_is_passed_on_with_where_to_look_it_up(server: SlackServer):
    server.inject(Fault.refused("ekm_access_denied"))

    with pytest.raises(Refused, match="Look up ekm_access_denied"):
        post(connect(server.token, base_url=server.base_url), "#data", "hello")


def test_what_slack_noted_about_a_refusal_is_passed_on(server: SlackServer):
    client = connect(server.token, base_url=server.base_url)

    with pytest.raises(Refused, match="missing required field: channel"):
        post(client, "", "hello")


def test_a_message_without_text_is_not_sent(server: SlackServer):
    with pytest.raises(InvalidInput, match="A message to #data has no text"):
        post(connect(server.token, base_url=server.base_url), "#data", " \n")

    assert server.calls == []


def test_blocks_that_slack_does_not_take_are_left_out_and_the_text_is_posted(server: SlackServer):
    too_long = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}]

    post(connect(server.token, base_url=server.base_url), "#data", "hello", too_long)

    assert [(message.text, message.blocks) for message in server.inbox] == [("hello", ())]


def test_slack_is_asked_again_after_the_seconds_that_it_names(server: SlackServer):
    server.inject(Fault.rate_limited(retry_after_s=0), times=2)

    post(connect(server.token, base_url=server.base_url), "#data", "hello")

    assert [message.text for message in server.inbox] == ["hello"]
    assert len(server.calls) == 3


def test_more_than_a_minute_is_not_waited_for(server: SlackServer):
    server.inject(Fault.rate_limited(retry_after_s=61))

    with pytest.raises(Unavailable, match=r"ratelimited \(HTTP 429\)"):
        post(connect(server.token, base_url=server.base_url), "#data", "hello")

    assert len(server.calls) == 1


def test_a_date_is_waited_for_like_seconds(server: SlackServer):
    gone_by = Answer({"ok": False}, status=429, headers={"Retry-After": formatdate(0, usegmt=True)})
    tomorrow = formatdate(time.time() + 86_400, usegmt=True)
    server.inject(Fault(gone_by))
    server.inject(Fault(replace(gone_by, headers={"Retry-After": tomorrow})))

    with pytest.raises(Unavailable, match="HTTP 429"):
        post(connect(server.token, base_url=server.base_url), "#data", "hello")

    assert len(server.calls) == 2


@pytest.mark.parametrize("url", ["notaurl", "ftp://files.example", "http://", "slack.com/api"])
def test_an_address_that_is_none_is_refused_at_once(url: str):
    with pytest.raises(InvalidInput, match=r"is not the address of Slack.\n.*base_url"):
        connect("xoxb-1", base_url=url)


def test_a_server_that_is_not_slack_is_not_taken_for_a_slack_that_is_down(server: SlackServer):
    client = connect(server.token, base_url=server.base_url)
    server.inject(Fault.status(200))

    with pytest.raises(InvalidInput, match="is not Slack") as caught:
        post(client, "#data", "hello")

    assert server.base_url in str(caught.value)
    assert "Check base_url" in str(caught.value)


def test_patience_ends_after_as_many_retries_as_are_asked_for(server: SlackServer):
    server.inject(Fault.rate_limited(retry_after_s=0), times=5)

    with pytest.raises(Unavailable):
        post(connect(server.token, base_url=server.base_url, max_retries=1), "#data", "hello")

    assert len(server.calls) == 2


def test_a_slack_that_is_down_for_a_moment_is_asked_again(server: SlackServer):
    server.inject(Fault.status(503))

    post(connect(server.token, base_url=server.base_url), "#data", "hello")

    assert [message.text for message in server.inbox] == ["hello"]


def test_a_slack_that_stays_down_is_reported_with_its_status(server: SlackServer):
    server.inject(Fault.status(502))

    with pytest.raises(Unavailable, match="502"):
        post(connect(server.token, base_url=server.base_url, max_retries=0), "#data", "hello")


def test_a_lost_reply_is_asked_for_again_and_may_double_the_message(server: SlackServer):
    server.inject(Fault.reply_lost())

    post(connect(server.token, base_url=server.base_url), "#data", "hello")

    assert [message.text for message in server.inbox] == ["hello", "hello"]


def test_a_lost_connection_without_retries_is_reported(server: SlackServer):
    server.inject(Fault.disconnected())
    client = connect(server.token, base_url=server.base_url, max_retries=0)

    with pytest.raises(Unavailable, match="may not have reached Slack"):
        post(client, "#data", "hello")


def test_a_slack_that_hangs_is_given_up_on_in_time_and_not_asked_again(server: SlackServer):
    server.inject(Fault.slow(60))
    client = connect(server.token, base_url=server.base_url, timeout_s=0.2)

    with pytest.raises(Unavailable, match=r"TimeoutError.*\n.*within 0.2 s"):
        post(client, "#data", "hello")

    assert len(server.calls) == 1


def test_an_address_where_nothing_listens_is_named():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/api/"

        with pytest.raises(Unavailable, match="ConnectionRefusedError") as caught:
            post(connect("xoxb-12345678", base_url=url, max_retries=0), "#data", "hello")

    assert url in str(caught.value)


def test_a_token_that_looks_like_nothing_is_not_told_either(server: SlackServer):
    server.inject(Fault.refused("the token opensesame is bad"))

    with pytest.raises(Refused) as caught:
        post(connect("opensesame", base_url=server.base_url), "#data", "hello")

    assert "opensesame" not in str(caught.value)


def test_the_address_comes_from_the_argument_then_the_environment_then_slack(
    monkeypatch: pytest.MonkeyPatch,
):
    assert connect("xoxb-1").base_url == "https://slack.com/api/"

    monkeypatch.setenv(BASE_URL_VARIABLE, "http://127.0.0.1:1/api")
    assert connect("xoxb-1").base_url == "http://127.0.0.1:1/api/"
    assert connect("xoxb-1", base_url="http://127.0.0.1:2/").base_url == "http://127.0.0.1:2/"


def test_the_client_is_slacks_own_and_raises_slacks_own_errors(server: SlackServer):
    client = connect(server.token, base_url=server.base_url)

    assert client.auth_test()["bot_id"]
    with pytest.raises(SlackApiError):
        client.chat_postMessage(channel="#dta", text="hello")
