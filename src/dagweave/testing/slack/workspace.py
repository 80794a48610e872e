"""A Slack workspace in memory: what its API answers, and what arrives in its channels.

Pure but for the time: it is given a method, its arguments and a token, and returns the answer.
https://docs.slack.dev/reference/methods
"""

from __future__ import annotations

import base64
import hashlib
import math
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import msgspec

from dagweave.testing.slack.blocks import LONGEST_IN_ALL, faults, total_length
from dagweave.testing.slack.uploads import PostedFile, Uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dagweave._kernel.clock import Clock

# https://api.slack.com/changelog/2018-04-truncating-really-long-messages
LONGEST_POST = 40_000
# https://docs.slack.dev/reference/methods/chat.update#errors
LONGEST_UPDATE = 4_000
# https://docs.slack.dev/reference/methods/chat.postMessage#arguments
LONGEST_MARKDOWN = 12_000
# https://docs.slack.dev/reference/methods/chat.postMessage#errors
MOST_ATTACHMENTS = 100

UPLOADS = "/uploads/"

_TEAM: Final = {"team": "Dagweave", "team_id": "T0DAGWEAVE"}
_BOT: Final = {"user": "dagweave", "user_id": "U0DAGWEAVE", "bot_id": "B0DAGWEAVE"}


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel, and what would keep the bot from posting to it. `name` is without the `#`."""

    name: str
    archived: bool = False
    bot_is_member: bool = True

    @property
    def id(self) -> str:
        """The channel's id: the same for the same name, always."""
        digest = hashlib.sha256(self.name.encode()).digest()
        return "C" + base64.b32encode(digest).decode()[:10]


@dataclass(frozen=True, slots=True)
class PostedMessage:
    """A message that arrived.

    Attributes:
        channel: The channel's name with its `#`.
        ts: When it arrived, in seconds since 1970 with six decimals; its id within the channel.
        text: What notifications show; in Slack's markup, or in Markdown if it came as
            `markdown_text`.
        blocks: What the channel shows, if there are any; else it shows `text`.
        thread_ts: The `ts` of the message that it replies to.
        edited: Whether `chat.update` changed it after it arrived.
        files: What was uploaded with it.
    """

    channel: str
    channel_id: str
    ts: Annotated[str, msgspec.Meta(pattern=r"^\d{1,10}\.\d{6}$")]
    text: str
    blocks: tuple[dict[str, Any], ...] = ()
    thread_ts: str | None = None
    edited: bool = False
    files: tuple[PostedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over the wire."""

    body: dict[str, Any]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])


def refusal(error: str, *notes: str) -> Answer:
    """Slack's way to say no: HTTP 200, `ok` false, a code, and at times some notes."""
    body: dict[str, Any] = {"ok": False, "error": error}
    if notes:
        body["response_metadata"] = {"messages": [f"[ERROR] {note}" for note in notes]}
    return Answer(body)


def rate_limited(retry_after_s: int) -> Answer:
    """Slack's way to say: not so fast (https://docs.slack.dev/apis/web-api/rate-limits)."""
    body = {"ok": False, "error": "ratelimited"}
    return Answer(body, status=429, headers={"Retry-After": str(retry_after_s)})


class Workspace:
    """One workspace with one bot. Safe to share between threads.

    Args:
        token: The one token that is accepted.
        channels: The channels that there are; `None` for one of every name, which the bot is in.
        messages_per_second: How fast one channel may be posted to; `None` for as fast as one likes.
        people: The id of each person, by e-mail address.
    """

    def __init__(
        self,
        token: str,
        channels: Iterable[Channel] | None,
        messages_per_second: float | None,
        clock: Clock,
        people: Mapping[str, str] | None = None,
    ) -> None:
        self.messages: list[PostedMessage] = []
        self._token = token
        self._any_channel = channels is None
        self._channels = {channel.name: channel for channel in channels or ()}
        self._pause_s = 1 / messages_per_second if messages_per_second else 0.0
        self._clock = clock
        self._last_post_s: dict[str, float] = {}
        self._lock = threading.RLock()
        self._people = dict(people or {})
        self._uploads = Uploads()
        self._methods: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post_message,
            "chat.update": self._update,
            "files.completeUploadExternal": self._complete_upload,
            "files.getUploadURLExternal": self._upload_url,
            "users.lookupByEmail": self._look_up,
        }

    def add_channel(self, channel: Channel) -> None:
        """Add `channel`, or put it in the place of the one of its name."""
        with self._lock:
            self._channels[channel.name] = channel

    def restore(self, messages: Iterable[PostedMessage]) -> None:
        """Start from what arrived earlier."""
        with self._lock:
            self.messages = list(messages)
            for message in self.messages:
                name = message.channel.removeprefix("#")
                self._channels.setdefault(name, Channel(name))

    def call(self, method: str, arguments: Mapping[str, Any], token: str | None) -> Answer:
        """Answer one request as Slack would."""
        if method not in self._methods:
            return refusal("unknown_method")
        if not token:
            return refusal("not_authed")
        if token != self._token:
            return refusal("invalid_auth")
        with self._lock:
            return self._methods[method](arguments)

    def _auth_test(self, _: Mapping[str, Any]) -> Answer:
        return Answer({"ok": True, "url": "https://dagweave.slack.com/", **_TEAM, **_BOT})

    def _post_message(self, arguments: Mapping[str, Any]) -> Answer:
        name = arguments.get("channel")
        if not isinstance(name, str) or not name:
            return refusal("invalid_arguments", "missing required field: channel")
        channel = self._find(name)
        if channel is None:
            return refusal("channel_not_found")
        if channel.archived:
            return refusal("is_archived")
        if not channel.bot_is_member:
            return refusal("not_in_channel")
        if wrong := _content_refused(arguments):
            return wrong
        if wait_s := self._too_fast_by_s(channel):
            return rate_limited(math.ceil(wait_s))
        text = str(arguments.get("text") or arguments.get("markdown_text") or "")
        message = PostedMessage(
            channel=f"#{channel.name}",
            channel_id=channel.id,
            ts=self._next_ts(),
            text=text[:LONGEST_POST],
            blocks=tuple(arguments.get("blocks") or ()),
            thread_ts=str(arguments["thread_ts"]) if arguments.get("thread_ts") else None,
        )
        self.messages.append(message)
        return _posted(message, truncated=len(text) > LONGEST_POST)

    def _update(self, arguments: Mapping[str, Any]) -> Answer:
        channel_id, ts = str(arguments.get("channel")), str(arguments.get("ts"))
        # Unlike chat.postMessage, this one takes no name.
        if not any(channel_id == channel.id for channel in self._channels.values()):
            return refusal("channel_not_found")
        ids = [(message.channel_id, message.ts) for message in self.messages]
        if (channel_id, ts) not in ids:
            return refusal("message_not_found")
        if wrong := _content_refused(arguments):
            return wrong
        text = str(arguments.get("text") or arguments.get("markdown_text") or "")
        if len(text) > LONGEST_UPDATE and not arguments.get("markdown_text"):
            return refusal("msg_too_long")
        blocks = tuple(arguments.get("blocks") or ())
        at = ids.index((channel_id, ts))
        message = replace(self.messages[at], text=text, blocks=blocks, edited=True)
        self.messages[at] = message
        return _posted(message, truncated=False)

    def _look_up(self, arguments: Mapping[str, Any]) -> Answer:
        email = arguments.get("email")
        if not isinstance(email, str) or not email:
            return refusal("invalid_arguments", "missing required field: email")
        if email not in self._people:
            return refusal("users_not_found")
        return Answer(
            {"ok": True, "user": {"id": self._people[email], "profile": {"email": email}}}
        )

    def upload(self, file_id: str, content: bytes) -> bool:
        """Take the content of a file, if it was announced so and is as long as announced."""
        with self._lock:
            return self._uploads.take(file_id, content)

    def _complete_upload(self, arguments: Mapping[str, Any]) -> Answer:
        files = self._uploads.completed(arguments)
        if isinstance(files, str):
            return refusal(files)
        shared = str(arguments.get("channel_id") or "")
        channel = next((each for each in self._channels.values() if each.id == shared), None)
        if shared and channel is None:
            return refusal("channel_not_found")
        if channel is not None:
            self.messages.append(
                PostedMessage(
                    channel=f"#{channel.name}",
                    channel_id=channel.id,
                    ts=self._next_ts(),
                    text=str(arguments.get("initial_comment") or ""),
                    thread_ts=str(arguments["thread_ts"]) if arguments.get("thread_ts") else None,
                    files=tuple(files.values()),
                )
            )
        return Answer({"ok": True, "files": [{"id": each} for each in files]})

    def _upload_url(self, arguments: Mapping[str, Any]) -> Answer:
        file_id = self._uploads.announce(arguments)
        if file_id is None:
            return refusal("invalid_arguments", "missing required field: filename or length")
        return Answer({"ok": True, "upload_url": f"{UPLOADS}{file_id}", "file_id": file_id})

    def _find(self, name: str) -> Channel | None:
        bare = name.removeprefix("#")
        for channel in self._channels.values():
            if bare in {channel.name, channel.id}:
                return channel
        if not self._any_channel or not bare:
            return None
        self._channels[bare] = Channel(bare)
        return self._channels[bare]

    def _too_fast_by_s(self, channel: Channel) -> float:
        """How long to wait until `channel` takes another message; it counts as posted if none."""
        now_s = self._clock.monotonic()
        last_s = self._last_post_s.get(channel.id)
        left_s = 0.0 if last_s is None else max(last_s + self._pause_s - now_s, 0.0)
        if not left_s:
            self._last_post_s[channel.id] = now_s
        return left_s

    def _next_ts(self) -> str:
        # Two messages never share one, however coarse the machine's clock is.
        last = max((message.ts for message in self.messages), default="")
        ts = f"{time.time():.6f}"
        return ts if ts > last else f"{float(last) + 0.000001:.6f}"


def _content_refused(arguments: Mapping[str, Any]) -> Answer | None:
    blocks, attachments = arguments.get("blocks"), arguments.get("attachments")
    text, markdown = (str(arguments.get(name) or "") for name in ("text", "markdown_text"))
    if markdown and (text or blocks):
        return refusal("markdown_text_conflict")
    if len(markdown) > LONGEST_MARKDOWN:
        return refusal("msg_too_long")
    if blocks:
        if wrong := faults(blocks):
            return refusal("invalid_blocks", *wrong)
        if total_length(blocks) > LONGEST_IN_ALL:
            return refusal("msg_blocks_too_long")
    if attachments:
        return _attachments_refused(attachments)
    if not blocks and not (text + markdown).strip():
        return refusal("no_text")
    return None


def _attachments_refused(attachments: object) -> Answer | None:
    if not isinstance(attachments, list):
        return refusal("invalid_attachments")
    listed = cast("list[object]", attachments)
    if len(listed) > MOST_ATTACHMENTS:
        return refusal("too_many_attachments")
    for index, attachment in enumerate(listed):
        if not isinstance(attachment, dict):
            return refusal("invalid_attachments")
        blocks = cast("dict[str, Any]", attachment).get("blocks")
        if blocks and (wrong := faults(blocks, f"/attachments/{index}/blocks")):
            return refusal("invalid_attachments", *wrong)
    return None


def _posted(message: PostedMessage, *, truncated: bool) -> Answer:
    shown: dict[str, Any] = {"type": "message", "text": message.text, "ts": message.ts} | _BOT
    if message.blocks:
        shown["blocks"] = list(message.blocks)
    if message.thread_ts:
        shown["thread_ts"] = message.thread_ts
    body: dict[str, Any] = {
        "ok": True,
        "channel": message.channel_id,
        "ts": message.ts,
        "message": shown,
    }
    if truncated:
        body["response_metadata"] = {
            "warnings": ["message_truncated"],
            "messages": ["[WARN] The `text` field accepts up to 40,000 characters."],
        }
    return Answer(body)
