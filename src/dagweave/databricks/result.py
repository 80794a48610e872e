"""What a statement answers: a few rows as JSON, or many as Arrow, chunk by chunk."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import Unavailable
from dagweave._kernel.wait import backoff
from dagweave.databricks.failures import translated
from dagweave.databricks.types import arrow_of
from dagweave.warehouse.arrow import pyarrow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databricks.sdk import WorkspaceClient

    from dagweave._kernel.clock import Clock
    from dagweave.warehouse.arrow import Schema, Stream

_ATTEMPTS: Final = 5
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said of a statement that succeeded."""

    response: Any

    @property
    def statement_id(self) -> str:
        """Its id, in the query history as well."""
        return self.response.statement_id

    @property
    def names(self) -> list[str]:
        """The columns of its rows."""
        return [column.name for column in self._columns]

    @property
    def schema(self) -> Schema:
        """The columns of its rows, as Arrow."""
        pa = pyarrow()
        fields = [pa.field(c.name, arrow_of(c.type_text or "STRING")) for c in self._columns]
        return pa.schema(fields)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows, where they came as JSON: text, or `None`."""
        result = self.response.result
        return [tuple(row) for row in (result.data_array if result else None) or ()]

    def number(self, name: str) -> int | None:
        """The number in a column of the one row; `None` if there is no such column."""
        rows = self.rows
        if len(rows) != 1 or name not in self.names:
            return None
        value = rows[0][self.names.index(name)]
        return None if value is None else int(value)

    @property
    def _columns(self) -> list[Any]:
        manifest = self.response.manifest
        return (manifest.schema.columns if manifest and manifest.schema else None) or []


def chunks(workspace: WorkspaceClient, answer: Answer, what: str, clock: Clock) -> Stream:
    """The rows of an answer as a stream: while one chunk is taken, the next is fetched."""
    schema = answer.schema
    fetch = _Links(workspace, answer.statement_id, what, clock)

    def batches() -> Iterator[Any]:
        first = answer.response.result
        if first is None or not first.external_links:
            return
        with ThreadPoolExecutor(1, "dagweave-databricks") as ahead:
            coming = ahead.submit(fetch.chunk, 0, first.external_links[0])
            while coming is not None:
                data, after = coming.result()
                coming = None if after is None else ahead.submit(fetch.chunk, after, None)
                for batch in pyarrow().ipc.open_stream(data):
                    yield as_told(batch, schema)

    return pyarrow().RecordBatchReader.from_batches(schema, batches())


@dataclass(frozen=True, slots=True)
class _Links:
    """Fetches chunks by their links, which expire, and which nobody may see."""

    workspace: WorkspaceClient
    statement_id: str
    what: str
    clock: Clock

    def chunk(self, at: int, link: Any) -> tuple[bytes, int | None]:
        """The bytes of a chunk, and the number of the next one."""
        pauses = backoff(0.5, cap_s=8.0)
        seen = ""
        for _ in range(_ATTEMPTS):
            link = link or self._link(at)
            data, seen = _fetched(link)
            if data is not None:
                return data, link.next_chunk_index
            link = None
            self.clock.sleep(next(pauses))
        raise Unavailable(
            self.what,
            seen=f"A part of the result could not be fetched: {seen}",
            remedy="Results lie in the cloud storage of the workspace, which must be reachable from "
            "here: https://docs.databricks.com/aws/en/dev-tools/sql-execution-tutorial.",
        )

    def _link(self, at: int) -> Any:
        with translated(self.what):
            result = self.workspace.statement_execution.get_statement_result_chunk_n(
                self.statement_id, at
            )
        return (result.external_links or [])[0]


def _fetched(link: Any) -> tuple[bytes | None, str]:
    import requests

    try:
        # Without the workspace's credentials: the link has its own.
        answer = requests.get(
            link.external_link, headers=link.http_headers or {}, timeout=_TIMEOUT_S
        )
    except requests.RequestException as error:
        return None, type(error).__name__
    return (answer.content, "") if answer.ok else (None, f"HTTP {answer.status_code}")


def as_told(batch: Any, schema: Schema) -> Any:
    """A batch in the types that the answer tells of.

    What is nested may come as JSON: then it is read.
    """
    pa = pyarrow()
    if batch.schema == schema:
        return batch
    columns = [_as(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as(column: Any, type_: Any) -> Any:
    pa = pyarrow()
    if column.type == type_:
        return column
    if pa.types.is_nested(type_) and pa.types.is_string(column.type):
        return pa.array([each and json.loads(each) for each in column.to_pylist()], type_)
    return column.cast(type_)
