"""Read the event log from where the last tick ended, and tell of it so that nothing is lost.

What cannot be told now waits in the cursor and is tried again by the next tick, before anything
new. A tick never fails for it, since a tick that fails forgets what it did.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from dagster import SkipReason

from dagweave._kernel.clock import SYSTEM_CLOCK
from dagweave._kernel.errors import DagweaveError
from dagweave._kernel.redact import redact
from dagweave.notifier.memory import OVERLAP, Memory, Waiting, read
from dagweave.notifier.text import cut, printable
from dagweave.notifier.trouble import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dagster import DagsterEventType, EventLogEntry, SensorEvaluationContext

    from dagweave.notifier.notice import Ability, Notice, Notifier

    NotifierFor: TypeAlias = Callable[[SensorEvaluationContext], Notifier]

# Dagster gives up on a tick after a minute, and forgets what it did.
_LONGEST_TICK_S = 25.0
# After so many time-outs and the like in one tick, the destination is down until the next.
_MOST_FAILURES = 3
# In characters. Hundreds of notices may wait in a cursor.
_LONGEST_REASON = 300
# With more than these waiting, nothing new is begun: a cursor is read and written by every tick.
_MOST_WAITING = 500
_EVENTS_PER_TICK = 200
_NONE: Final[frozenset[Ability]] = frozenset()


@dataclass(frozen=True, slots=True)
class News:
    """What an event has to be told as, and whether it says that its problem is over."""

    notice: Notice
    over: bool = False


Story: TypeAlias = "Callable[[SensorEvaluationContext, EventLogEntry], News | None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is watched, and how it is told.

    Attributes:
        event_types: The events to read.
        story: What an event is told as; nothing if it is not to be told.
        notifier: Makes the notifier from the sensor's context.
        follow_up: Whether a problem that is told of is updated and closed, as far as the notifier
            can, in place of a notice for each event.
        lookback_s: How far before its first tick the sensor looks, in seconds.
        give_up_after_s: For how long a notice is tried to be delivered, in seconds.
    """

    name: str
    event_types: tuple[DagsterEventType, ...]
    story: Story
    notifier: NotifierFor
    follow_up: bool = True
    lookback_s: float = 600.0
    give_up_after_s: float = 86_400.0

    def tick(self, context: SensorEvaluationContext) -> SkipReason:
        """Do what one tick has to, and say what that was."""
        memory = read(context.cursor)
        skipped = ""
        if memory is None:
            memory, skipped = _first(self, context)
        tick = _Tick(self, context, memory)
        tick.run()
        context.update_cursor(memory.written())
        return SkipReason(" ".join(filter(None, [skipped, tick.summary()])))


@dataclass(slots=True)
class _Tick:
    watch: Watch
    context: SensorEvaluationContext
    memory: Memory
    sent: int = 0
    failures: int = 0
    lost: int = 0
    reason: str = ""
    _notifier: Notifier | None = None
    _began_s: float = field(default_factory=SYSTEM_CLOCK.monotonic)

    def run(self) -> None:
        self._retry()
        for log_id, entry in self._events():
            if self._must_end() or len(self.memory.waiting) >= _MOST_WAITING:
                return
            if self.memory.is_new(log_id):
                self._new(log_id, entry)
                self.memory.looked_at(log_id)

    def summary(self) -> str:
        waiting = len(self.memory.waiting)
        parts = [f"{self.sent} sent"]
        if waiting:
            parts.append(f"{waiting} could not be sent and will be tried again ({self.reason})")
        if self.lost:
            parts.append(f"{self.lost} given up: see the log of this tick")
        return f"{', '.join(parts)}."

    def _retry(self) -> None:
        kept: list[Waiting] = []
        stuck: set[str] = set()
        for waiting in self.memory.waiting:
            # What comes later of a problem is not told before what came earlier.
            behind = self.watch.follow_up and waiting.dedup_key in stuck
            if self._must_end() or behind or not self._retried(waiting):
                kept.append(waiting)
                stuck.add(waiting.dedup_key)
        self.memory.waiting = kept
        if kept:
            self.reason = kept[0].reason

    def _retried(self, waiting: Waiting) -> bool:
        """Whether this one need not wait any more."""
        entry = event(self.context, self.watch.event_types, waiting.log_id)
        if entry is None:
            self._give_up(waiting, "The event was deleted from the event log meanwhile.")
            return True
        reason = self._try(entry)
        if reason is None:
            return True
        waiting.tries += 1
        waiting.reason = reason
        if time.time() - waiting.since_s > self.watch.give_up_after_s:
            self._give_up(waiting, reason)
            return True
        return False

    def _give_up(self, waiting: Waiting, reason: str) -> None:
        self.lost += 1
        self.context.log.error(
            "%s gave up on %r (event %s) after %s attempts: it was not sent.\n%s",
            self.watch.name,
            waiting.dedup_key,
            waiting.log_id,
            waiting.tries,
            reason,
        )

    def _new(self, log_id: int, entry: EventLogEntry) -> None:
        key = f"event {log_id}"
        try:
            news = self.watch.story(self.context, entry)
            if news is None:
                return
            key = printable(news.notice.dedup_key)
            behind = self.watch.follow_up and self.memory.waits_for(key)
            reason = "It waits for an earlier one." if behind else None
            if reason is None:
                self._deliver(news)
        except Exception as error:  # noqa: BLE001 -- a user's function may raise whatever it likes
            reason = self._failed(error)
            said = printable(told(error))
            self.context.log.warning("%s could not tell of %r yet.\n%s", self.watch.name, key, said)
        if reason is not None:
            kind = entry.get_dagster_event().event_type_value
            self.memory.waiting.append(Waiting(log_id, kind, key, time.time(), 1, reason))

    def _try(self, entry: EventLogEntry) -> str | None:
        """Tell of an event; why that was not possible, if it was not."""
        try:
            if news := self.watch.story(self.context, entry):
                self._deliver(news)
        except Exception as error:  # noqa: BLE001 -- as in _new
            return self._failed(error)
        return None

    def _deliver(self, news: News) -> None:
        notifier = self._open_notifier()
        abilities = notifier.abilities if self.watch.follow_up else _NONE
        notice, key = news.notice, printable(news.notice.dedup_key)
        known = self.memory.open.get(key)
        if news.over:
            if known is None or "resolve" not in abilities:
                return
            notifier.resolve(notice, known.handle)
            self.memory.closed(key)
        elif known is not None and "update" in abilities:
            self.memory.opened(key, notifier.update(notice, known.handle))
        else:
            handle = notifier.send(notice)
            if abilities:
                self.memory.opened(key, handle)
        self.sent += 1

    def _open_notifier(self) -> Notifier:
        if self._notifier is None:
            self._notifier = self.watch.notifier(self.context)
        return self._notifier

    def _failed(self, error: Exception) -> str:
        """Note that something could not be told, and say why in a line."""
        # What only this notice is to blame for holds up no other.
        self.failures += isinstance(error, DagweaveError) and error.retryable
        # A cursor holds no half characters.
        line = redact(f"{type(error).__name__}: {error}").partition("\n")[0]
        self.reason = cut(printable(line), _LONGEST_REASON).replace("\n", " ")
        return self.reason

    def _must_end(self) -> bool:
        took_s = SYSTEM_CLOCK.monotonic() - self._began_s
        return self.failures >= _MOST_FAILURES or took_s > _LONGEST_TICK_S

    def _events(self) -> Iterator[tuple[int, EventLogEntry]]:
        return iter(_in_order(self.context, self.watch.event_types, self.memory.look_after).items())


def event(
    context: SensorEvaluationContext, types: Sequence[DagsterEventType], log_id: int
) -> EventLogEntry | None:
    """The event of this number, if it is there and of one of the types."""
    log = context.instance.event_log_storage
    for each in types:
        found = log.get_logs_for_all_runs_by_log_id(log_id - 1, each, limit=1)
        if log_id in found:
            return found[log_id]
    return None


def _in_order(
    context: SensorEvaluationContext, types: Sequence[DagsterEventType], after: int
) -> dict[int, EventLogEntry]:
    """The next events of all the types, by number; none whose predecessors were not read."""
    limit = OVERLAP + _EVENTS_PER_TICK
    log = context.instance.event_log_storage
    pages = [log.get_logs_for_all_runs_by_log_id(after, each, limit=limit) for each in types]
    ends = [max(page) for page in pages if len(page) >= limit]
    everything = {log_id: entry for page in pages for log_id, entry in page.items()}
    return {
        log_id: everything[log_id]
        for log_id in sorted(everything)
        if not ends or log_id <= min(ends)
    }


def _first(watch: Watch, context: SensorEvaluationContext) -> tuple[Memory, str]:
    """Where a sensor that never ran begins, and what it says of what it leaves out."""
    since_s = time.time() - watch.lookback_s
    log = context.instance.event_log_storage
    newest = log.get_maximum_record_id() or 0
    stretch = OVERLAP
    while True:
        after = max(newest - stretch, -1)
        found = {
            log_id: entry
            for each in watch.event_types
            for log_id, entry in log.get_logs_for_all_runs_by_log_id(after, each).items()
        }
        older = [log_id for log_id, entry in found.items() if entry.timestamp < since_s]
        if older or after < 0:
            break
        stretch *= 10
    floor = max(older, default=after)
    memory = Memory(floor, floor=floor)
    if not older:
        return memory, ""
    entry = found[floor]
    return memory, (
        f"This is the first tick. What happened more than {watch.lookback_s:g} s before it is "
        f"skipped; the last such event is of run {entry.run_id}."
    )
