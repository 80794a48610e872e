"""Posts notices to a channel, and follows up on them."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from dagweave._kernel.errors import DagweaveError, Refused
from dagweave.notifier.text import cut, printable
from dagweave.slack.client import Posted, attach, edit, post
from dagweave.slack.message import SlackMessage, render
from dagweave.slack.people import mentions

if TYPE_CHECKING:
    from slack_sdk import WebClient

    from dagweave.notifier import Ability, Notice

_FILE_NAME: Final = "error.txt"
# Of an error, so much is kept with the sensor's cursor, to be told again when the message changes.
_LONGEST_KEPT = 400
_log = logging.getLogger("dagweave.slack")


class _Thread(msgspec.Struct, frozen=True, omit_defaults=True):
    """The message that began a problem, what it told, and how often the problem came up."""

    channel_id: str
    ts: str
    since_s: float
    times: int = 1
    run_id: str | None = None
    details: str = ""
    link: str | None = None

    @property
    def root(self) -> Posted:
        return Posted(self.channel_id, self.ts)


@dataclass(frozen=True, slots=True)
class SlackNotifier:
    """Posts notices to one channel: a `dagweave.notifier.Notifier`.

    A problem is one message. When it comes up again the message says how often and since when, and
    what happened is a reply in its thread; when it is over, the message says so.

    `channel` is a name with or without `#`, or an id. With `mention_owners`, the owners of what
    broke are mentioned, as far as Slack knows their e-mail addresses.
    """

    client: WebClient
    channel: str
    mention_owners: bool = False

    @property
    def abilities(self) -> frozenset[Ability]:
        """Both."""
        return frozenset({"update", "resolve"})

    def send(self, notice: Notice) -> str | None:
        """Post `notice`; the full text of an error that does not fit becomes a file in its thread.

        Raises:
            Refused: Slack said no; carries its error code and what to do about it.
            Unavailable: Slack was not reached, or could not answer now.
        """
        message = self._written(notice)
        posted = post(self.client, self.channel, message.text, message.blocks)
        self._attach(posted, message)
        since_s = notice.happened_at_s or time.time()
        details = cut(printable(notice.details), _LONGEST_KEPT)
        thread = _Thread(
            posted.channel_id, posted.ts, since_s, 1, notice.run_id, details, notice.link
        )
        return _handle(thread)

    def update(self, notice: Notice, handle: str | None) -> str | None:
        """Say in the message that it happened again, and in its thread what.

        A message that was deleted meanwhile is posted anew. Raises as `send` does.
        """
        thread = _read(handle)
        if thread is None:
            return self.send(notice)
        again = msgspec.structs.replace(thread, times=thread.times + 1)
        remark = f"{again.times} times since {_moment(again.since_s)}; see the thread."
        # The message goes on telling of the first time; this one is a reply.
        first = _without_file(notice, thread.details)
        first = replace(first, run_id=thread.run_id, link=thread.link)
        if not self._edited(thread, self._written(first, remark)):
            return self.send(notice)
        self._reply(thread, self._written(notice))
        return _handle(again)

    def resolve(self, notice: Notice, handle: str | None) -> None:
        """Say in the message, and in its thread, that the problem is over. Raises as `send` does."""
        thread = _read(handle)
        if thread is None:
            self.send(notice)
            return
        times = "once" if thread.times == 1 else f"{thread.times} times"
        remark = f"It failed {times} since {_moment(thread.since_s)}; see the thread."
        if not self._edited(thread, render(_without_file(notice, thread.details), remark=remark)):
            self.send(notice)
            return
        self._reply(thread, render(notice))

    def _written(self, notice: Notice, remark: str | None = None) -> SlackMessage:
        called = mentions(self.client, notice.owners) if self.mention_owners else notice.owners
        return render(notice, mentions=called, remark=remark)

    def _edited(self, thread: _Thread, message: SlackMessage) -> bool:
        """Edit the message, and say whether it is still there to be edited."""
        try:
            edit(self.client, thread.root, message.text, message.blocks)
        except Refused as error:
            if any(code in (error.seen or "") for code in _GONE):
                return False
            raise
        return True

    def _reply(self, thread: _Thread, message: SlackMessage) -> None:
        post(self.client, thread.channel_id, message.text, message.blocks, thread_ts=thread.ts)
        self._attach(thread.root, message)

    def _attach(self, posted: Posted, message: SlackMessage) -> None:
        if message.file is None:
            return
        try:
            attach(self.client, posted, _FILE_NAME, message.file)
        except DagweaveError as error:
            # The message itself has arrived; sending it again would double it.
            _log.warning("The full text of an error was not attached to its message.\n%s", error)


# https://docs.slack.dev/reference/methods/chat.update#errors
_GONE: Final = (
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
    "channel_not_found",
)


def _without_file(notice: Notice, details: str) -> Notice:
    return replace(notice, details=details, full_details="")


def _handle(thread: _Thread) -> str:
    return msgspec.json.encode(thread).decode()


def _read(handle: str | None) -> _Thread | None:
    try:
        return msgspec.json.decode(handle, type=_Thread) if handle else None
    except msgspec.MsgspecError:
        return None


def _moment(since_s: float) -> str:
    """A moment that Slack shows in the reader's own time zone."""
    plain = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(since_s))
    return f"<!date^{int(since_s)}^{{date_short_pretty}} {{time}}|{plain}>"
