"""Keep the lineage of queries on disk, so that what has not changed is not traced again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import msgspec

from dagweave._kernel.errors import MissingExtra
from dagweave.dbt.additions.lineage import Traced, trace

if TYPE_CHECKING:
    from dagweave.dbt.additions.lineage import Query

STATE_DIR: Final = "DAGWEAVE_STATE_DIR"
_MOST_ENTRIES: Final = 50_000


class Entry(msgspec.Struct, array_like=True, gc=False):
    """What is known of one query: its lineage, or why it has none."""

    digest: str
    traced: Traced | None = None
    problem: str = ""


_decode = msgspec.json.Decoder(dict[str, Entry]).decode


class LineageCache:
    """The lineage of each table's query, by the query's digest.

    A cache that cannot be read or written is none: its loss costs time, and nothing else.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._entries = self._read()
        self._new: dict[str, Entry] = {}

    @classmethod
    def of(cls, project: str, target_base: Path) -> LineageCache:
        """The one of a project: under `DAGWEAVE_STATE_DIR`, else in the project's own target folder."""
        state = os.environ.get(STATE_DIR)
        folder = Path(state, "dbt", project) if state else target_base / "dagweave"
        return cls(folder / "column_lineage.json")

    def lineage(self, table: str, query: Query) -> Entry:
        """The lineage of the query that makes `table`; traced if it is new or has changed.

        Raises:
            MissingExtra: sqlglot is not installed.
        """
        digest = query.digest
        known = self._entries.get(table)
        if known is None or known.digest != digest:
            known = self._entries[table] = self._new[table] = _traced(query, digest)
        return known

    def save(self) -> None:
        """Write what is new. What another run has written meanwhile stays."""
        if not self._new:
            return
        kept = {table: entry for table, entry in self._read().items() if table not in self._new}
        entries = {**kept, **self._new}
        for table in list(entries)[: max(0, len(entries) - _MOST_ENTRIES)]:
            del entries[table]
        part = self._file.with_name(f"{self._file.name}.{uuid4().hex}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(msgspec.json.encode(entries))
            part.replace(self._file)
        except OSError:
            with suppress(OSError):
                part.unlink()

    def _read(self) -> dict[str, Entry]:
        try:
            return _decode(self._file.read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}


def _traced(query: Query, digest: str) -> Entry:
    try:
        return Entry(digest, trace(query))
    except MissingExtra:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever sqlglot stumbles over
        return Entry(digest, None, f"{type(error).__name__}: {error}"[:300])
