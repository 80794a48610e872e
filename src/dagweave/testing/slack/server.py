"""A Slack on this machine: real HTTP, an inbox, and faults on demand."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dagweave._kernel.clock import SYSTEM_CLOCK
from dagweave._kernel.errors import InvalidInput, Unavailable
from dagweave.testing.slack.fault import Fault
from dagweave.testing.slack.inbox import InboxFile
from dagweave.testing.slack.page import page
from dagweave.testing.slack.wire import API, Listener
from dagweave.testing.slack.workspace import Answer, Channel, PostedMessage, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from dagweave._kernel.clock import Clock


class SlackServer:
    """A Slack workspace of one bot, on a port of this machine.

    It answers `auth.test`, `chat.postMessage` and `chat.update` as Slack documents them, limits and
    error codes included. A browser shows the inbox at `url`; `url + "inbox.json"` has it as JSON.

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
    """

    def __init__(
        self,
        *,
        port: int = 0,
        token: str = "xoxb-local-dagweave",  # noqa: S107 -- it opens nothing but this
        channels: Iterable[str | Channel] | None = None,
        inbox_path: str | Path | None = None,
        messages_per_second: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.token = token
        self.calls: list[str] = []
        """The method of every request that was made, answered or not, in order."""
        known = None if channels is None else [_channel(channel) for channel in channels]
        self._workspace = Workspace(token, known, messages_per_second, clock)
        self._asked_port = port
        self._inbox = InboxFile(Path(inbox_path)) if inbox_path else None
        self._faults: deque[Fault] = deque()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._http: Listener | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> SlackServer:
        """Listen, and return this server.

        A server that runs is left as it is.

        Raises:
            Unavailable: Something else listens on the port.
            InvalidInput: The inbox file holds something else, or cannot be written.
        """
        if self._http is not None:
            return self
        if self._inbox is not None:
            self._workspace.restore(self._inbox.open())
        self._stopping.clear()
        try:
            self._http = Listener(self._asked_port, self._call, self._page)
        except OSError as error:
            raise Unavailable(
                f"The local Slack server cannot listen on port {self._asked_port}.",
                seen=str(error),
                remedy="Stop what listens there, or choose another port; 0 takes any free one.",
            ) from error
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening. Requests that wait are let go. May be called twice."""
        self._stopping.set()
        if self._http and self._thread:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()
        self._http = self._thread = None

    def __enter__(self) -> SlackServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The page that shows the inbox to a person."""
        if self._http is None:
            raise InvalidInput(
                "The local Slack server is not running.",
                remedy="Call start(), or use it in `with`.",
            )
        return f"http://127.0.0.1:{self._http.server_port}/"

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

    def inject(self, fault: Fault, *, times: int = 1) -> None:
        """Let the next `times` requests go wrong by `fault`, after those already to go wrong."""
        with self._lock:
            self._faults.extend([fault] * times)

    def _page(self, path: str) -> tuple[str, str] | None:
        if path == "/":
            return "text/html", page(self.inbox)
        if path == "/inbox.json":
            return "application/json", msgspec.json.encode(self.inbox).decode()
        return None

    def _call(self, method: str, arguments: dict[str, Any], token: str | None) -> Answer | None:
        with self._lock:
            self.calls.append(method)
            fault = self._faults.popleft() if self._faults else Fault(accepted=True)
        answer = fault.answer
        if fault.accepted:
            answer = self._workspace.call(method, arguments, token)
            if self._inbox is not None:
                self._inbox.save(self.inbox)
        self._stopping.wait(fault.wait_s)
        return None if fault.lost else answer


def _channel(channel: str | Channel) -> Channel:
    known = Channel(channel) if isinstance(channel, str) else channel
    return replace(known, name=known.name.removeprefix("#"))
