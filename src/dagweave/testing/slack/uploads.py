"""Files on their way into a channel: announced, sent, and shown.

https://docs.slack.dev/messaging/working-with-files#uploading_files
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PostedFile:
    """A file that was uploaded and shown in a channel; `content` as text, whatever it was."""

    name: str
    content: str


@dataclass(slots=True)
class _Upload:
    name: str
    length: int
    content: bytes | None = None


class Uploads:
    """The files that were announced. Not safe to share between threads."""

    def __init__(self) -> None:
        self._by_id: dict[str, _Upload] = {}

    def announce(self, arguments: Mapping[str, Any]) -> str | None:
        """The id of a file that is to come; none if it has no name or no length."""
        name, length = arguments.get("filename"), str(arguments.get("length") or "")
        if not name or not length.isdecimal() or int(length) == 0:
            return None
        file_id = f"F{len(self._by_id):09d}"
        self._by_id[file_id] = _Upload(str(name), int(length))
        return file_id

    def take(self, file_id: str, content: bytes) -> bool:
        """Take the content of a file, if it was announced and is as long as announced."""
        known = self._by_id.get(file_id)
        if known is None or len(content) != known.length:
            return False
        known.content = content
        return True

    def completed(self, arguments: Mapping[str, Any]) -> dict[str, PostedFile] | str:
        """The files that a request says are complete, by id; or Slack's code for what is wrong."""
        given = arguments.get("files")
        files: object = json.loads(given) if isinstance(given, str) else given
        if not isinstance(files, list) or not files:
            return "invalid_arguments"
        found: dict[str, PostedFile] = {}
        for each in cast("list[dict[str, Any]]", files):
            upload = self._by_id.get(str(each.get("id")))
            if upload is None or upload.content is None:
                return "file_not_found"
            content = upload.content.decode("utf-8", "replace")
            found[str(each["id"])] = PostedFile(upload.name, content)
        return found
