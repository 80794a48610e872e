"""Pipes through a volume of Unity Catalog: where context is put, and messages are found."""

from __future__ import annotations

import io
import json
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dagster import PipesBlobStoreMessageReader, PipesContextInjector
from dagster_pipes import PipesBlobStoreMessageWriter

if TYPE_CHECKING:
    from collections.abc import Generator

    from dagster_pipes import PipesContextData, PipesParams
    from databricks.sdk import WorkspaceClient


@contextmanager
def temporary_folder(client: WorkspaceClient, volume_path: str) -> Generator[str]:
    """A folder of a volume, gone with all that is in it when the context ends."""
    path = f"{volume_path.rstrip('/')}/dagster_pipes/{uuid.uuid4().hex}"
    client.files.create_directory(path)
    try:
        yield path
    finally:
        # What the run was is known by now; a folder that stays is no reason to fail.
        with suppress(OSError):
            _delete(client, path)


def _delete(client: WorkspaceClient, path: str) -> None:
    for each in client.files.list_directory_contents(path):
        inner = f"{path}/{each.name}"
        if each.is_directory:
            _delete(client, inner)
        else:
            client.files.delete(inner)
    client.files.delete_directory(path)


class PipesUnityCatalogVolumesContextInjector(PipesContextInjector):
    """Puts Dagster's context into a file of a volume.

    The task reads it with `PipesUnityCatalogVolumesContextLoader`.

    Args:
        client: The SDK's client.
        volume_path: The volume: `/Volumes/main/etl/pipes`.
    """

    def __init__(self, *, client: WorkspaceClient, volume_path: str) -> None:
        super().__init__()
        self.client = client
        self.volume_path = volume_path

    @contextmanager
    def inject_context(self, context_data: PipesContextData) -> Generator[PipesParams]:
        """Where the file is; it is gone when the context ends."""
        with temporary_folder(self.client, self.volume_path) as folder:
            path = f"{folder}/context.json"
            text = json.dumps(context_data).encode()
            self.client.files.upload(path, io.BytesIO(text), overwrite=True)
            yield {"path": path}

    def no_messages_debug_text(self) -> str:
        """What may have gone wrong if nothing was heard."""
        return (
            "The context was put into a file of a volume. The task has to read it: "
            "open_dagster_pipes(context_loader=PipesUnityCatalogVolumesContextLoader(), ...)."
        )


class PipesUnityCatalogVolumesMessageReader(PipesBlobStoreMessageReader):
    """Reads messages from a folder of a volume.

    The task writes them with `PipesUnityCatalogVolumesMessageWriter`.

    Args:
        interval: How often to look, in seconds.
        client: The SDK's client.
        volume_path: The volume: `/Volumes/main/etl/pipes`.
        include_stdio_in_messages: Whether what the task prints comes as messages.
    """

    def __init__(
        self,
        *,
        interval: float = 10,
        client: WorkspaceClient,
        volume_path: str,
        include_stdio_in_messages: bool = True,
    ) -> None:
        super().__init__(interval=interval)
        self.include_stdio_in_messages = include_stdio_in_messages
        self.client = client
        self.volume_path = volume_path

    @contextmanager
    def get_params(self) -> Generator[PipesParams]:
        """Where the folder is; it is gone when the context ends."""
        with temporary_folder(self.client, self.volume_path) as folder:
            stdio = PipesBlobStoreMessageWriter.INCLUDE_STDIO_IN_MESSAGES_KEY
            yield {"path": folder, stdio: self.include_stdio_in_messages}

    def messages_are_readable(self, params: PipesParams) -> bool:
        """Whether the folder is there."""
        try:
            list(self.client.files.list_directory_contents(params["path"]))
        except OSError:
            return False
        return True

    def download_messages_chunk(self, index: int, params: PipesParams) -> str | None:
        """The messages of one file; `None` if it is not there yet."""
        try:
            answer = self.client.files.download(f"{params['path']}/{index}.json")
        except OSError:
            return None
        return answer.contents.read().decode() if answer.contents else None

    def no_messages_debug_text(self) -> str:
        """What may have gone wrong if nothing was heard."""
        return (
            "Messages were looked for in a folder of a volume. The task has to write them there: "
            "open_dagster_pipes(message_writer=PipesUnityCatalogVolumesMessageWriter(), ...)."
        )
