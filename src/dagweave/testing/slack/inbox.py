"""Keep the inbox in a file, which more than one server may write."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock

from dagweave._kernel.errors import InvalidInput
from dagweave.testing.slack.workspace import PostedMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class InboxFile:
    """The inbox in one file, as JSON, with a lock beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.lock")
        # As this server knows them; others may have changed them since.
        self._known: dict[tuple[str, str], PostedMessage] = {}

    def open(self) -> list[PostedMessage]:
        """Read what is kept; make the file if there is none.

        Raises:
            InvalidInput: The file holds something else, or it cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:
                self._known = self._read()
                self._write(self._known)
        except OSError as error:
            raise InvalidInput(
                f"The local Slack server cannot keep its inbox in {self._path}.",
                seen=str(error),
                remedy="Name a file that can be read and written.",
            ) from error
        return list(self._known.values())

    def save(self, messages: Iterable[PostedMessage]) -> None:
        """Write those of `messages` that are new or changed to what others wrote."""
        with self._lock:
            changed = {
                key: message
                for key, message in _by_key(messages).items()
                if self._known.get(key) != message
            }
            if changed:
                self._write(self._read() | changed)
                self._known |= changed

    def _read(self) -> dict[tuple[str, str], PostedMessage]:
        content = self._path.read_bytes() if self._path.exists() else b""
        try:
            found = msgspec.json.decode(content or b"[]", type=list[PostedMessage])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"{self._path} is not an inbox of the local Slack server.",
                seen=str(error),
                remedy="Name another file, or remove this one.",
            ) from error
        return _by_key(found)

    def _write(self, messages: Mapping[tuple[str, str], PostedMessage]) -> None:
        in_order = sorted(messages.values(), key=attrgetter("ts"))
        unfinished = self._path.with_name(f"{self._path.name}.unfinished")
        unfinished.write_bytes(msgspec.json.encode(in_order))
        unfinished.replace(self._path)


def _by_key(messages: Iterable[PostedMessage]) -> dict[tuple[str, str], PostedMessage]:
    return {(message.channel_id, message.ts): message for message in messages}
