"""What hosted syncs have in common, whoever hosts them. Knows nothing of Dagster.

A service is spoken to with five verbs: what there is (`snapshot`), begin a sync (`start`), how the
syncs are that one waits for (`poll`), stop one (`cancel`), which tables it wrote (`tables`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

IDENTITY: Final = "dagweave/synced_table"
"""In an asset's metadata: which table of which connection it is, by which a run finds it again."""


class Phase(StrEnum):
    """Where a sync is."""

    IDLE = "idle"
    """Nothing runs and nothing ended since: it was never begun, or waits for its turn."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RESCHEDULED = "rescheduled"
    """The service put it off until `Progress.until`."""
    UNKNOWN = "unknown"
    """A word that we do not know: one waits on, and says so."""


class Handle(msgspec.Struct, frozen=True):
    """By which a sync is found again, also by another process. Holds no secret.

    Args:
        connection_id: Whose sync it is.
        before: What was last known to have ended before it: what tells the old from the new.
        job_id: The service's own name of the sync, where it has one.
    """

    connection_id: str
    before: str = ""
    job_id: str = ""

    @property
    def key(self) -> str:
        """A text that no other sync has."""
        return json.dumps([self.connection_id, self.before, self.job_id])


class Progress(msgspec.Struct, frozen=True):
    """How a sync is at the moment.

    Args:
        state: The service's own word for it.
        message: What the service says about it, mostly about a failure.
        until: When it goes on, in seconds since 1970, if it was put off.
        ended_at: When it ended, in seconds since 1970.
        facts: What else is worth showing: a job, rows, bytes.
    """

    phase: Phase
    state: str = ""
    message: str = ""
    until: float | None = None
    ended_at: float | None = None
    facts: dict[str, Any] = {}


class Standing(msgspec.Struct, frozen=True):
    """How a connection is before a sync is begun.

    Args:
        before: For the handle of the sync to come.
        running: The handle of a sync that runs already, begun by somebody else.
        problem: Why it cannot be synced at all.
    """

    connection_id: str
    name: str
    before: str
    paused: bool = False
    running: Handle | None = None
    problem: str = ""


class Wish(msgspec.Struct, frozen=True):
    """What kind of sync is wanted.

    Args:
        resync: Load the history again, instead of what is new.
        tables: Only these tables of these schemas.
        mode: A word of the service's own for how.
    """

    resync: bool = False
    tables: dict[str, list[str]] | None = None
    mode: str = ""


@dataclass(frozen=True, slots=True)
class SyncedTable:
    """A table that a connection writes.

    Args:
        path: By which it is told from the others of its connection: its schema and its name there.
        label: As people know it.
        props: What a translator is told about it.
        metadata: For its materialization, what a sync said of it included.
    """

    connection_id: str
    path: tuple[str, ...]
    label: str
    props: Any
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def identity(self) -> str:
        """What `IDENTITY` holds for it."""
        return json.dumps([self.connection_id, *self.path])


class Condition(msgspec.Struct, frozen=True):
    """How a connection is, and how its last sync ended.

    Args:
        problem: What is to be mended before it can sync.
        ended_at: When its last sync ended, in seconds since 1970; `None` if there was none.
        message: What the service says about a sync that failed.
        facts: For the materializations of its tables.
    """

    connection_id: str
    name: str
    paused: bool = False
    problem: str = ""
    ended_at: float | None = None
    succeeded: bool = True
    message: str = ""
    facts: dict[str, Any] = {}


class SyncService(Protocol):
    """The five verbs, how a connection stands before the second, and how all of them are."""

    @property
    def vendor(self) -> str:
        """As people call it: `Fivetran`."""
        ...

    @property
    def account(self) -> str:
        """Which account, and where: no secret."""
        ...

    def snapshot(self) -> Any:
        """All connections with their tables, as the vendor's own models."""
        ...

    def standing(self, connection_id: str) -> Standing:
        """How a connection is just now.

        Raises:
            InvalidInput: There is none of this id; names the nearest.
        """
        ...

    def start(self, handle: Handle, wish: Wish) -> Handle:
        """Begin a sync, if none runs; return its handle, now with its job where there are jobs."""
        ...

    def poll(self, handles: Sequence[Handle]) -> Mapping[str, Progress]:
        """How these syncs are, by the key of the handle, in as few requests as can be."""
        ...

    def cancel(self, handle: Handle) -> None:
        """Stop a sync."""
        ...

    def unpause(self, connection_id: str) -> None:
        """Let a connection that is paused sync again."""
        ...

    def tables(self, handle: Handle, progress: Progress) -> Sequence[SyncedTable]:
        """The tables that a sync wrote, now that it ended."""
        ...

    def columns(self, table: SyncedTable) -> Mapping[str, str]:
        """The columns of a table with their types, which may be empty; none if it has none."""
        ...

    def conditions(self, since: float | None = None) -> Iterable[Condition]:
        """How all connections are, in one list call.

        Args:
            since: Of no interest is what ended before, in seconds since 1970.
        """
        ...

    def page(self, connection_id: str) -> str:
        """Where people look at the connection."""
        ...

    def requests_of_a_sync(self, connection_id: str) -> Sequence[str]:
        """The requests that a sync would make, for people. Makes none."""
        ...


def connection_of(identity: str) -> str:
    """The connection that a table of this identity belongs to."""
    return json.loads(identity)[0]
