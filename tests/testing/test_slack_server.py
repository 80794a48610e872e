from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import RemoteDisconnected
from pathlib import Path

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from dagweave._kernel.errors import InvalidInput, Unavailable
from dagweave.testing import Channel, FakeClock, Fault, PostedMessage, SlackServer

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "*hello*"}}


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
def client(server: SlackServer) -> WebClient:
    return WebClient(server.token, base_url=server.base_url, retry_handlers=[])


def refusal(caught: pytest.ExceptionInfo[SlackApiError]) -> str:
    return str(caught.value.response["error"])


def fetch(url: str, body: bytes | None = None, **headers: str) -> tuple[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(url, body, named)) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_the_token_says_who_the_bot_is(client: WebClient):
    answer = client.auth_test()

    assert answer["ok"]
    assert answer["bot_id"].startswith("B")
    assert answer["user_id"].startswith("U")


@pytest.mark.parametrize(
    ("token", "error"), [("xoxb-wrong", "invalid_auth"), ("", "not_authed"), (None, "not_authed")]
)
def test_another_token_is_refused(server: SlackServer, token: str | None, error: str):
    with pytest.raises(SlackApiError) as caught:
        WebClient(token, base_url=server.base_url).auth_test()

    assert refusal(caught) == error
    assert caught.value.response.status_code == 200


def test_a_posted_message_is_in_the_inbox_and_in_the_answer(server: SlackServer, client: WebClient):
    answer = client.chat_postMessage(channel="#data", text="hello", blocks=[SECTION])

    assert server.inbox == [
        PostedMessage("#data", answer["channel"], answer["ts"], "hello", (SECTION,))
    ]
    assert answer["message"]["text"] == "hello"
    assert answer["message"]["blocks"] == [SECTION]


def test_a_channel_goes_by_name_with_or_without_its_sign_and_by_id(
    server: SlackServer, client: WebClient
):
    channel_id = client.chat_postMessage(channel="#data", text="1")["channel"]
    client.chat_postMessage(channel="data", text="2")
    client.chat_postMessage(channel=channel_id, text="3")

    assert [message.channel for message in server.inbox] == ["#data"] * 3


def test_no_two_messages_share_a_timestamp(server: SlackServer, client: WebClient):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: client.chat_postMessage(channel="#a", text=str(n)), range(40)))

    assert len({message.ts for message in server.inbox}) == 40
    assert [m.ts for m in server.inbox] == sorted(m.ts for m in server.inbox)


def test_a_reply_knows_its_thread(server: SlackServer, client: WebClient):
    first = client.chat_postMessage(channel="#data", text="question")

    client.chat_postMessage(channel="#data", text="answer", thread_ts=first["ts"])

    assert server.inbox[1].thread_ts == first["ts"]


def test_only_the_channels_that_there_are_can_be_posted_to():
    channels = ["#data", Channel("old", archived=True), Channel("private", bot_is_member=False)]
    with SlackServer(channels=channels) as server:
        client = WebClient(server.token, base_url=server.base_url)
        told = {}
        for name in ("#data", "#dta", "#old", "#private"):
            try:
                told[name] = client.chat_postMessage(channel=name, text="hello")["ok"]
            except SlackApiError as error:
                told[name] = error.response["error"]

    assert told == {
        "#data": True,
        "#dta": "channel_not_found",
        "#old": "is_archived",
        "#private": "not_in_channel",
    }


def test_a_channel_can_change_its_state(server: SlackServer, client: WebClient):
    client.chat_postMessage(channel="#data", text="before")
    server.add_channel("#data", archived=True)

    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#data", text="after")

    assert refusal(caught) == "is_archived"


@pytest.mark.filterwarnings("ignore:The top-level `text`")  # slack_sdk's own word on the matter
def test_a_message_needs_something_to_show(client: WebClient):
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#data", text="", attachments=[])

    assert refusal(caught) == "no_text"


@pytest.mark.filterwarnings("ignore:The top-level `text`")
@pytest.mark.parametrize("text", [" ", "\n\t"])
def test_blanks_are_nothing_to_show(client: WebClient, text: str):
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#data", text=text)

    assert refusal(caught) == "no_text"


def test_a_sign_alone_is_no_channel(client: WebClient):
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#", text="hello")

    assert refusal(caught) == "channel_not_found"


def test_a_message_may_be_in_markdown_alone(server: SlackServer, client: WebClient):
    client.api_call("chat.postMessage", json={"channel": "#data", "markdown_text": "**12** rows"})

    assert [message.text for message in server.inbox] == ["**12** rows"]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"markdown_text": "**a**", "text": "a"}, "markdown_text_conflict"),
        ({"markdown_text": "**a**", "blocks": [SECTION]}, "markdown_text_conflict"),
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
        ({"attachments": [{"text": "a"}] * 101}, "too_many_attachments"),
        ({"attachments": [{"blocks": [{"type": "section"}]}]}, "invalid_attachments"),
        ({"attachments": ["a"]}, "invalid_attachments"),
        ({"attachments": {"text": "a"}}, "invalid_attachments"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_slack_does_not_take_beside_text_and_blocks_is_refused(
    client: WebClient, more: dict[str, object], error: str
):
    with pytest.raises(SlackApiError) as caught:
        client.api_call("chat.postMessage", json={"channel": "#data"} | more)

    assert refusal(caught) == error


def test_what_is_wrong_in_an_attachment_is_pointed_at(client: WebClient):
    attachments = [{"blocks": [SECTION]}, {"blocks": [{"type": "section"}]}]

    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#data", text="hello", attachments=attachments)

    assert caught.value.response["response_metadata"]["messages"] == [
        "[ERROR] missing required field: text [json-pointer:/attachments/1/blocks/0]"
    ]


def test_a_long_text_is_cut_off_with_a_warning(server: SlackServer, client: WebClient):
    answer = client.chat_postMessage(channel="#data", text="x" * 40_001)

    assert len(server.inbox[0].text) == 40_000
    assert answer["response_metadata"]["warnings"] == ["message_truncated"]


def test_blocks_that_break_a_rule_are_refused_and_the_rule_is_named(client: WebClient):
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}

    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#data", text="hello", blocks=[SECTION, block])

    assert refusal(caught) == "invalid_blocks"
    assert caught.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be less than 3001 characters [json-pointer:/blocks/1/text/text]"
    ]


def test_blocks_that_are_too_long_together_are_refused(client: WebClient):
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2_900}}

    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#data", text="hello", blocks=[block] * 5)

    assert refusal(caught) == "msg_blocks_too_long"


def test_a_message_can_be_changed_by_its_channels_id(server: SlackServer, client: WebClient):
    first = client.chat_postMessage(channel="#data", text="running", blocks=[SECTION])

    client.chat_update(channel=first["channel"], ts=first["ts"], text="done")

    [message] = server.inbox
    assert (message.text, message.blocks, message.edited) == ("done", (), True)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"channel": "#data"}, "channel_not_found"),
        ({"ts": "1.000000"}, "message_not_found"),
        ({"text": "x" * 4_001}, "msg_too_long"),
        ({"blocks": [{"type": "section"}]}, "invalid_blocks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_change_that_slack_would_not_take_is_refused(
    client: WebClient, change: dict[str, str], error: str
):
    first = client.chat_postMessage(channel="#data", text="running")
    arguments = {"channel": first["channel"], "ts": first["ts"], "text": "done"} | change

    with pytest.raises(SlackApiError) as caught:
        client.chat_update(**arguments)

    assert refusal(caught) == error


def test_an_unknown_method_is_refused(client: WebClient):
    with pytest.raises(SlackApiError) as caught:
        client.chat_delete(channel="C1", ts="1.0")

    assert refusal(caught) == "unknown_method"


FORM = "application/x-www-form-urlencoded"
JSON = "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FORM, "token={token}&channel=%23data&text=hello&blocks=[]"),
        (JSON, '{{"token": "{token}", "channel": "#data", "text": "hello"}}'),
    ],
)
def test_a_form_is_as_good_as_json_and_may_carry_the_token(
    server: SlackServer, kind: str, body: str
):
    filled = body.format(token=server.token).encode()

    _, answer = fetch(server.base_url + "chat.postMessage", filled, Content_Type=kind)

    assert json.loads(answer)["ok"]
    assert [(message.channel, message.text) for message in server.inbox] == [("#data", "hello")]


def test_a_method_can_be_called_with_get(server: SlackServer):
    _, answer = fetch(f"{server.base_url}chat.postMessage?token={server.token}&channel=a&text=b")

    assert json.loads(answer)["ok"]


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        (JSON, "{", "invalid_json"),
        (JSON, "[]", "json_not_object"),
        (JSON, '{"text": "\\ud800"}', "invalid_json"),
        (FORM, "blocks=[", "invalid_blocks_format"),
        (FORM, "attachments=[", "invalid_arguments"),
        ("text/plain", "hello", "invalid_post_type"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    server: SlackServer, kind: str, body: str, error: str
):
    _, answer = fetch(server.base_url + "chat.postMessage", body.encode(), Content_Type=kind)

    assert json.loads(answer) == {"ok": False, "error": error}
    assert server.inbox == []


def test_a_channel_takes_about_one_message_a_second_if_it_is_told_to():
    clock = FakeClock()
    with SlackServer(messages_per_second=1, clock=clock) as server:
        client = WebClient(server.token, base_url=server.base_url, retry_handlers=[])
        client.chat_postMessage(channel="#data", text="1")
        client.chat_postMessage(channel="#other", text="1")

        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="#data", text="2")
        clock.advance(1)
        client.chat_postMessage(channel="#data", text="3")

    assert refusal(caught) == "ratelimited"
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "1"
    assert [message.text for message in server.inbox] == ["1", "1", "3"]


@pytest.mark.parametrize(("waited_s", "left"), [(0, "10"), (3, "7"), (3.5, "7"), (9.9, "1")])
def test_a_channel_says_how_long_it_is_until_it_takes_more(waited_s: float, left: str):
    clock = FakeClock()
    with SlackServer(messages_per_second=0.1, clock=clock) as server:
        client = WebClient(server.token, base_url=server.base_url, retry_handlers=[])
        client.chat_postMessage(channel="#data", text="1")
        clock.advance(waited_s)

        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="#data", text="2")

    assert caught.value.response.headers["Retry-After"] == left


def test_a_fault_happens_as_often_as_it_should_and_then_no_more(
    server: SlackServer, client: WebClient
):
    server.inject(Fault.refused("account_inactive"), times=2)
    server.inject(Fault.status(500))
    told = []
    for _ in range(4):
        try:
            told.append(client.auth_test()["ok"])
        except SlackApiError as error:
            told.append((error.response.status_code, error.response["error"][:16]))

    assert told[:2] == [(200, "account_inactive")] * 2
    assert told[2][0] == 500
    assert told[3] is True
    assert server.calls == ["auth.test"] * 4


def test_a_dropped_connection_leaves_nothing_behind(server: SlackServer, client: WebClient):
    server.inject(Fault.disconnected())

    with pytest.raises(RemoteDisconnected):
        client.chat_postMessage(channel="#data", text="hello")

    assert server.inbox == []


def test_a_lost_reply_leaves_the_message_behind(server: SlackServer, client: WebClient):
    server.inject(Fault.reply_lost())

    with pytest.raises(RemoteDisconnected):
        client.chat_postMessage(channel="#data", text="hello")

    assert [message.text for message in server.inbox] == ["hello"]


def test_a_slow_answer_comes_late(server: SlackServer, client: WebClient):
    server.inject(Fault.slow(0.3))

    began = time.monotonic()
    client.auth_test()

    assert time.monotonic() - began >= 0.3


def test_stopping_lets_those_go_who_wait():
    server = SlackServer().start()
    server.inject(Fault.slow(60))
    client = WebClient(server.token, base_url=server.base_url, timeout=20)
    waiting = threading.Thread(target=lambda: client.auth_test())
    waiting.start()
    while not server.calls:
        waiting.join(0.01)

    began = time.monotonic()
    server.stop()
    waiting.join()

    assert time.monotonic() - began < 10


def test_stopping_twice_and_starting_again_is_fine():
    server = SlackServer().start()
    server.stop()
    server.stop()

    with server:
        assert WebClient(server.token, base_url=server.base_url).auth_test()["ok"]


def test_starting_a_server_that_runs_changes_nothing():
    with SlackServer() as server:
        url = server.url

        assert server.start().url == url

    with pytest.raises(OSError, match="refused"):
        fetch(url)


def test_a_server_that_is_not_running_has_no_address():
    with pytest.raises(InvalidInput, match="not running"):
        SlackServer().base_url  # noqa: B018 -- asking is what is tried


def test_a_port_that_is_taken_is_named(server: SlackServer):
    port = int(server.url.rpartition(":")[2].rstrip("/"))

    with pytest.raises(Unavailable, match=f"cannot listen on port {port}"):
        SlackServer(port=port).start()


def test_the_inbox_is_kept_in_a_file_and_found_again(tmp_path: Path):
    path = tmp_path / "new" / "inbox.json"
    with SlackServer(inbox_path=path) as server:
        client = WebClient(server.token, base_url=server.base_url)
        first = client.chat_postMessage(channel="#data", text="h\u00e9llo", blocks=[SECTION])
        before = server.inbox

    with SlackServer(inbox_path=path, channels=[]) as server:
        assert server.inbox == before
        client = WebClient(server.token, base_url=server.base_url)
        client.chat_update(channel=first["channel"], ts=first["ts"], text="changed")

    assert [item["text"] for item in json.loads(path.read_text())] == ["changed"]


def test_a_thread_may_be_given_as_a_number_and_is_found_again(tmp_path: Path):
    path = tmp_path / "inbox.json"
    with SlackServer(inbox_path=path) as server:
        client = WebClient(server.token, base_url=server.base_url)
        client.api_call(
            "chat.postMessage",
            json={"channel": "#data", "text": "hello", "thread_ts": 1700000000.123456},
        )

    with SlackServer(inbox_path=path) as server:
        assert [message.thread_ts for message in server.inbox] == ["1700000000.123456"]


def test_servers_may_share_a_file(tmp_path: Path):
    path = tmp_path / "inbox.json"
    with SlackServer(inbox_path=path) as a, SlackServer(inbox_path=path) as b:
        to_a = WebClient(a.token, base_url=a.base_url)
        to_b = WebClient(b.token, base_url=b.base_url)
        first = to_a.chat_postMessage(channel="#data", text="a1")
        to_b.chat_postMessage(channel="#data", text="b1")
        to_a.chat_update(channel=first["channel"], ts=first["ts"], text="a1, changed")
        to_b.chat_postMessage(channel="#data", text="b2")
        to_a.chat_postMessage(channel="#data", text="a2")

    assert [item["text"] for item in json.loads(path.read_text())] == [
        "a1, changed",
        "b1",
        "b2",
        "a2",
    ]


@pytest.mark.parametrize("where", ["file/inbox.json", "folder"])
def test_a_file_that_cannot_be_written_is_said_before_anything_arrives(tmp_path: Path, where: str):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()

    with pytest.raises(InvalidInput, match="cannot keep its inbox in"):
        SlackServer(inbox_path=tmp_path / where).start()


LATIN = '[{"text": "h\u00e9llo"}]'.encode("latin-1")
STAMPED = '[{{"channel": "#a", "channel_id": "C1", "text": "a", "ts": "{}"}}]'
NO_INBOX = [b"{", b'{"a": 1}', b'[{"text": 1}]', b"\x00", LATIN] + [
    STAMPED.format(ts).encode() for ts in ("soon", "nan", "99999999999999.000000")
]


@pytest.mark.parametrize("content", NO_INBOX)
def test_a_file_that_is_no_inbox_is_refused_and_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "inbox.json"
    path.write_bytes(content)

    with pytest.raises(InvalidInput, match=r"inbox\.json is not an inbox"):
        SlackServer(inbox_path=path).start()

    assert path.read_bytes() == content


def test_an_empty_file_is_an_empty_inbox(tmp_path: Path):
    (tmp_path / "inbox.json").touch()

    with SlackServer(inbox_path=tmp_path / "inbox.json") as server:
        assert server.inbox == []


def test_the_inbox_can_be_read_as_json_and_as_a_page(server: SlackServer, client: WebClient):
    client.chat_postMessage(channel="#data", text="hello there")

    kind, text = fetch(server.url + "inbox.json")
    assert kind.startswith("application/json")
    assert json.loads(text)[0]["text"] == "hello there"

    kind, text = fetch(server.url)
    assert kind.startswith("text/html")
    assert "hello there" in text


def test_other_paths_say_what_there_is(server: SlackServer):
    for path in ("api", "chat.postMessage"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(server.url + path, b"x" if path == "api" else None)

        assert caught.value.code == 404
        assert "/api/" in caught.value.read().decode()
        caught.value.close()
