"""A Slack on this machine: real HTTP, an inbox, and faults on demand."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dagweave._kernel.clock import SYSTEM_CLOCK
from dagweave.testing.local import LocalServer
from dagweave.testing.slack.fault import Fault
from dagweave.testing.slack.inbox import InboxFile
from dagweave.testing.slack.page import page
from dagweave.testing.slack.wire import API, Listener
from dagweave.testing.slack.workspace import Answer, Channel, PostedMessage, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dagweave._kernel.clock import Clock


class SlackServer(LocalServer):
    """A Slack workspace of one bot, on a port of this machine.

    It answers `auth.test`, `chat.postMessage`, `chat.update`, `users.lookupByEmail` and the methods
    of an upload as Slack documents them, limits and error codes included. A browser shows the inbox at `url`; `url + "inbox.json"` has it as JSON.

    ```python
    from dagweave.slack import SlackResource
    from dagweave.testing import SlackServer

    with SlackServer() as server:
        slack = SlackResource(token=server.token, base_url=server.base_url)
        slack.get_client().chat_postMessage(channel="#data", text="Good morning!")
        assert server.inbox[0].text == "Good morning!"
    ```

    Args:
        port: The port to listen on; 0 for any that is free.
        token: The one token that is accepted.
        channels: The channels that there are, as names or with their state. Without it, there is a
            channel of every name, and the bot is in it.
        inbox_path: A file to keep the inbox in, as JSON; what it holds is shown again. Servers may
            share it.
        messages_per_second: How fast one channel may be posted to before Slack answers 429; Slack
            itself takes about 1. Without it, as fast as one likes.
        people: The id of each person, `U...`, by e-mail address.
    """

    service = "Slack"

    def __init__(
        self,
        *,
        port: int = 0,
        token: str = "xoxb-local-dagweave",  # noqa: S107 -- it opens nothing but this
        channels: Iterable[str | Channel] | None = None,
        inbox_path: str | Path | None = None,
        messages_per_second: float | None = None,
        people: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(port)
        self.token = token
        self.calls: list[str] = []
        """The method of every request that was made, answered or not, in order."""
        known = None if channels is None else [_channel(channel) for channel in channels]
        self._workspace = Workspace(token, known, messages_per_second, clock, people)
        self._inbox = InboxFile(Path(inbox_path)) if inbox_path else None
        self._faults: list[tuple[str | None, Fault]] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The page that shows the inbox to a person."""
        return f"{self.origin}/"

    def _prepare(self) -> None:
        """Read the inbox file; it raises InvalidInput if it holds something else."""
        if self._inbox is not None:
            self._workspace.restore(self._inbox.open())

    def _listener(self, port: int) -> Listener:
        return Listener(port, self._call, self._page, self._workspace.upload)

    @property
    def base_url(self) -> str:
        """Where the methods of the API are: what `DAGWEAVE_SLACK_BASE_URL` wants."""
        return self.url.removesuffix("/") + API

    @property
    def inbox(self) -> list[PostedMessage]:
        """Every message that arrived, the oldest first."""
        return list(self._workspace.messages)

    def add_channel(self, name: str, *, archived: bool = False, bot_is_member: bool = True) -> None:
        """Add a channel, or change the state of the one of this name."""
        self._workspace.add_channel(_channel(Channel(name, archived, bot_is_member)))

    def inject(self, fault: Fault, *, times: int = 1, method: str | None = None) -> None:
        """Let the next `times` requests go wrong by `fault`, after those already to go wrong.

        Args:
            method: Let only requests for this method go wrong.
        """
        with self._lock:
            self._faults.extend([(method, fault)] * times)

    def _page(self, path: str) -> tuple[str, str] | None:
        if path == "/":
            return "text/html", page(self.inbox)
        if path == "/inbox.json":
            return "application/json", msgspec.json.encode(self.inbox).decode()
        return None

    def _call(self, method: str, arguments: dict[str, Any], token: str | None) -> Answer | None:
        with self._lock:
            self.calls.append(method)
            fault = self._next_fault(method)
        answer = fault.answer
        if fault.accepted:
            answer = self._workspace.call(method, arguments, token)
            if self._inbox is not None:
                self._inbox.save(self.inbox)
        self._stopping.wait(fault.wait_s)
        if answer and (path := answer.body.get("upload_url")):
            answer.body["upload_url"] = self.url.removesuffix("/") + path
        return None if fault.lost else answer

    def _next_fault(self, method: str) -> Fault:
        for index, (only, fault) in enumerate(self._faults):
            if only in (None, method):
                del self._faults[index]
                return fault
        return Fault(accepted=True)


def _channel(channel: str | Channel) -> Channel:
    known = Channel(channel) if isinstance(channel, str) else channel
    return replace(known, name=known.name.removeprefix("#"))
