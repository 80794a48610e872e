"""Pipes through DBFS: where context is put, and messages and logs are found."""

from __future__ import annotations

import base64
import codecs
import io
import json
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from dagster import PipesBlobStoreMessageReader, PipesContextInjector
from dagster_pipes import PipesBlobStoreMessageWriter

from dagweave._dagster.private import PipesChunkedLogReader

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Literal, TextIO

    from dagster import PipesLogReader
    from dagster_pipes import PipesContextData, PipesParams
    from databricks.sdk import WorkspaceClient

_BLOCK: Final = 1024**2
"""The most that DBFS gives at once: https://docs.databricks.com/api/workspace/dbfs/read."""


def read_from(client: WorkspaceClient, path: str, offset: int = 0) -> bytes:
    """What a file of DBFS has from some place on, however long it is.

    Raises:
        OSError: There is no such file, or it could not be read: what the SDK raises.
    """
    found = io.BytesIO()
    while True:
        part = client.dbfs.read(path, offset=offset, length=_BLOCK)
        read = part.bytes_read or 0
        found.write(base64.b64decode(part.data or ""))
        offset += read
        if read < _BLOCK:
            return found.getvalue()


@contextmanager
def temporary_folder(client: WorkspaceClient) -> Generator[str]:
    """A folder of DBFS, gone when the context ends."""
    path = f"/tmp/dagster_pipes_{uuid.uuid4().hex}"  # noqa: S108 -- of DBFS
    client.dbfs.mkdirs(path)
    try:
        yield path
    finally:
        # What the run was is known by now; a folder that stays is no reason to fail.
        with suppress(OSError):
            client.dbfs.delete(path, recursive=True)


class PipesDbfsContextInjector(PipesContextInjector):
    """Puts Dagster's context into a file of DBFS; the task reads it with `PipesDbfsContextLoader`.

    Args:
        client: The SDK's client.
    """

    def __init__(self, *, client: WorkspaceClient) -> None:
        super().__init__()
        self.client = client

    @contextmanager
    def inject_context(self, context_data: PipesContextData) -> Generator[PipesParams]:
        """Where the file is; it is gone when the context ends."""
        with temporary_folder(self.client) as folder:
            path = f"{folder}/context.json"
            text = json.dumps(context_data).encode()
            handle = self.client.dbfs.create(path, overwrite=True).handle or 0
            for at in range(0, len(text), _BLOCK):
                block = base64.b64encode(text[at : at + _BLOCK]).decode()
                self.client.dbfs.add_block(handle, block)
            self.client.dbfs.close(handle)
            yield {"path": path}

    def no_messages_debug_text(self) -> str:
        """What may have gone wrong if nothing was heard."""
        return (
            "The context was put into a file of DBFS. The task has to read it: "
            "open_dagster_pipes(context_loader=PipesDbfsContextLoader(), ...)."
        )


class PipesDbfsMessageReader(PipesBlobStoreMessageReader):
    """Reads messages from a folder of DBFS, to which the task writes with `PipesDbfsMessageWriter`.

    Args:
        interval: How often to look, in seconds.
        client: The SDK's client.
        include_stdio_in_messages: Whether what the task prints comes as messages.
        log_readers: What else is read while the task runs.
    """

    def __init__(
        self,
        *,
        interval: float = 10,
        client: WorkspaceClient,
        include_stdio_in_messages: bool = False,
        log_readers: Sequence[PipesLogReader] | None = None,
    ) -> None:
        super().__init__(interval=interval, log_readers=log_readers)
        self.include_stdio_in_messages = include_stdio_in_messages
        self.client = client

    @contextmanager
    def get_params(self) -> Generator[PipesParams]:
        """Where the folder is; it is gone when the context ends."""
        with temporary_folder(self.client) as folder:
            stdio = PipesBlobStoreMessageWriter.INCLUDE_STDIO_IN_MESSAGES_KEY
            yield {"path": folder, stdio: self.include_stdio_in_messages}

    def messages_are_readable(self, params: PipesParams) -> bool:
        """Whether the folder is there."""
        try:
            self.client.dbfs.get_status(params["path"])
        except OSError:
            return False
        return True

    def download_messages_chunk(self, index: int, params: PipesParams) -> str | None:
        """The messages of one file; `None` if it is not there yet."""
        try:
            return read_from(self.client, f"{params['path']}/{index}.json").decode()
        except OSError:
            return None

    def no_messages_debug_text(self) -> str:
        """What may have gone wrong if nothing was heard."""
        return (
            "Messages were looked for in a folder of DBFS. The task has to write them there: "
            "open_dagster_pipes(message_writer=PipesDbfsMessageWriter(), ...)."
        )


class PipesDbfsLogReader(PipesChunkedLogReader):
    """Reads what a cluster logs to DBFS, as it grows, and however long it gets.

    The cluster says where, in the message by which the task announces itself. Its logs come some
    minutes after what they log.

    Args:
        interval: How often to look, in seconds.
        remote_log_name: `stdout` or `stderr`.
        target_stream: Where it goes.
        client: The SDK's client.
        debug_info: What is said of it where nothing came.
    """

    def __init__(
        self,
        *,
        interval: float = 10,
        remote_log_name: Literal["stdout", "stderr"] | str,
        target_stream: TextIO,
        client: WorkspaceClient,
        debug_info: str | None = None,
    ) -> None:
        super().__init__(interval=interval, target_stream=target_stream)
        self.client = client
        self.remote_log_name = remote_log_name
        self.log_position = 0
        self.log_path: str | None = None
        self._debug_info = debug_info
        # A chunk may end within a character.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def debug_info(self) -> str | None:
        """What is said of it where nothing came."""
        return self._debug_info

    @property
    def name(self) -> str:
        """What it is called in Dagster's log."""
        return f"PipesDbfsLogReader({self.remote_log_name})"

    def target_is_readable(self, params: PipesParams) -> bool:
        """Whether there is such a log yet."""
        return self._path(params) is not None

    def download_log_chunk(self, params: PipesParams) -> str | None:
        """What came to the log since it was last asked for; `None` if nothing did."""
        path = self._path(params)
        if path is None:
            return None
        try:
            if (self.client.dbfs.get_status(path).file_size or 0) <= self.log_position:
                return None
            chunk = read_from(self.client, path, self.log_position)
        except OSError:
            return None
        self.log_position += len(chunk)
        return self._decoder.decode(chunk)

    def _path(self, params: PipesParams) -> str | None:
        extras: dict[str, Any] = params.get("extras") or {}
        root = extras.get("cluster_driver_log_root")
        if self.log_path is None and root is not None:
            try:
                files = [each.path or "" for each in self.client.dbfs.list(root)]
            except OSError:
                # It is made when the first log is.
                return None
            self.log_path = next((f for f in files if f.endswith(self.remote_log_name)), None)
        return self.log_path
