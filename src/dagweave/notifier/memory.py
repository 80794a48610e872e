"""What a sensor keeps in its cursor, from one tick to the next. Knows nothing of Dagster."""

from __future__ import annotations

import json
from typing import Any, cast

import msgspec

from dagweave._kernel.errors import InvalidInput

# On Postgres an event may become visible after one with a higher number: so far is looked back.
OVERLAP = 1_000
# The oldest of more problems than these are no longer followed up; what comes of them is told anew.
_MOST_OPEN = 1_000


class Waiting(msgspec.Struct):
    """An event that is to be told of, and could not be yet."""

    log_id: int
    event_type: str
    dedup_key: str
    since_s: float
    tries: int
    reason: str


class Open(msgspec.Struct):
    """A problem that was told of, and is not over as far as is known."""

    handle: str | None


class Memory(msgspec.Struct):
    """Where a sensor is in the event log.

    Attributes:
        after: The highest number of an event that was looked at.
        floor: Where the sensor began: what is not after that is never looked at.
        handled: The numbers, in the last stretch before `after`, that were looked at.
        waiting: What could not be told yet, the oldest first.
        open: What was told and is not over, by its `dedup_key`.
    """

    after: int
    floor: int = -1
    handled: list[int] = msgspec.field(default_factory=list[int])
    waiting: list[Waiting] = msgspec.field(default_factory=list[Waiting])
    open: dict[str, Open] = msgspec.field(default_factory=dict[str, Open])

    @property
    def look_after(self) -> int:
        """From where on to read the log, so that what became visible late is seen, too."""
        return max(self.after - OVERLAP, self.floor)

    def is_new(self, log_id: int) -> bool:
        """Whether an event was not looked at yet."""
        return log_id not in self.handled

    def looked_at(self, log_id: int) -> None:
        """Note that an event was looked at, and forget those that cannot come again."""
        self.after = max(self.after, log_id)
        self.handled.append(log_id)
        self.handled = [each for each in self.handled if each > self.look_after]

    def waits_for(self, dedup_key: str) -> bool:
        """Whether something of this problem waits to be told, so that what follows must, too."""
        return any(each.dedup_key == dedup_key for each in self.waiting)

    def opened(self, dedup_key: str, handle: str | None) -> None:
        """Note that a problem was told of."""
        self.open.pop(dedup_key, None)
        self.open[dedup_key] = Open(handle)
        while len(self.open) > _MOST_OPEN:
            del self.open[next(iter(self.open))]

    def closed(self, dedup_key: str) -> None:
        """Note that a problem is over."""
        self.open.pop(dedup_key, None)

    def written(self) -> str:
        """This memory, as `read` takes it."""
        return msgspec.json.encode(self).decode()


def read(cursor: str | None) -> Memory | None:
    """What a cursor says; `None` if there is none yet.

    A cursor of Dagster's own run status sensors is taken over: a sensor that replaces one of the
    same name goes on where it was.

    Raises:
        InvalidInput: The cursor is of neither kind.
    """
    if not cursor:
        return None
    try:
        return msgspec.json.decode(cursor, type=Memory)
    except msgspec.MsgspecError as error:
        record_id = _of_dagster(cursor)
        if record_id is None:
            raise InvalidInput(
                "The sensor's cursor is none that it wrote.",
                seen=cursor[:200],
                remedy="Reset the cursor on the sensor's page; it starts anew then.",
            ) from error
        return Memory(record_id, floor=record_id)


def _of_dagster(cursor: str) -> int | None:
    try:
        decoded: object = json.loads(cursor)
    except ValueError:
        return None
    if not isinstance(decoded, dict):
        return None
    record_id = cast("dict[str, Any]", decoded).get("record_id")
    return record_id if isinstance(record_id, int) else None
