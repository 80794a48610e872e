"""Run one sync in a step: take up what an earlier attempt began, else begin; wait; say how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from dagster import DagsterExecutionInterruptedError, RetryRequested

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.errors import Unavailable, WaitTimeout, WorkFailed
from dagweave.connector.model import Handle, Phase, Progress, Wish
from dagweave.connector.poller import SharedPoller

if TYPE_CHECKING:
    from logging import Logger
    from typing import NoReturn

    from dagweave.connector.journal import Journal
    from dagweave.connector.model import Standing, SyncService

OnPaused: TypeAlias = Literal["skip", "fail", "unpause"]
WhenRunning: TypeAlias = Literal["join", "wait", "fail"]

_MOST_RESCHEDULES: Final = 3
_MOST_INTERRUPTIONS: Final = 3


@dataclass(frozen=True, slots=True)
class Manner:
    """How a sync is run. What the fields mean, the resources say."""

    poll_interval_s: float = 10.0
    poll_timeout_s: float | None = None
    on_paused: OnPaused = "skip"
    when_running: WhenRunning = "join"
    cancel_on_termination: bool = True
    retry_on_reschedule: bool = True


@dataclass
class SyncRun:
    """One sync of one connection, from its beginning to its end."""

    service: SyncService
    connection_id: str
    wish: Wish
    manner: Manner
    journal: Journal
    voice: Logger
    clock: Clock = SYSTEM_CLOCK
    _told: set[str] = field(default_factory=set[str], init=False)
    _handle: Handle | None = field(default=None, init=False)

    def to_the_end(self) -> tuple[Handle, Progress] | None:
        """Sync; `None` if the connection is paused, and is to be left so.

        Raises:
            WorkFailed: The sync failed, or was cancelled at the service.
            WaitTimeout: It did not end in time. It goes on.
            RetryRequested: The service put it off; the step waits as well.
        """
        try:
            handle = self._taken_up() or self._begun()
            return None if handle is None else (handle, self._awaited(handle))
        except (DagsterExecutionInterruptedError, KeyboardInterrupt) as error:
            # It may come at any moment from when the handle is kept, a sync that just begins included.
            if self._handle is not None:
                self._interrupted(self._handle, by_hand=isinstance(error, KeyboardInterrupt))
            raise

    def _taken_up(self) -> Handle | None:
        """The sync of an earlier attempt, unless it came to nothing."""
        handle = self.journal.earlier()
        if handle is None:
            return None
        progress = self.service.poll([handle]).get(handle.key, Progress(Phase.IDLE))
        if progress.phase in (Phase.FAILED, Phase.CANCELLED):
            self.voice.info(f"The sync of an earlier attempt {progress.phase}; beginning another.")
            return None
        if progress.phase is Phase.IDLE:
            self.voice.info("The sync of an earlier attempt was not begun, or waits for its turn.")
            return self._started(handle)
        self.voice.info(f"Taking up the sync of an earlier attempt; it is {progress.phase}.")
        self._keep(handle)
        return handle

    def _begun(self) -> Handle | None:
        standing = self._ready()
        if standing is None:
            return None
        if standing.running is not None and self.manner.when_running == "join":
            self.voice.info(f"{self._what} syncs already; waiting for that sync to end.")
            self._keep(standing.running)
            return standing.running
        return self._started(Handle(self.connection_id, standing.before))

    def _started(self, handle: Handle) -> Handle:
        # Kept before anything is begun, so that there is no moment in which it could get lost.
        self._keep(handle)
        try:
            started = self.service.start(handle, self.wish)
        except Unavailable:
            # It may have been begun all the same, and only the answer was lost.
            if handle.key not in self._under_way(handle):
                raise
            started = handle
        if started != handle:
            self._keep(started)
        self.voice.info(f"Began a {'resync' if self.wish.resync else 'sync'} of {self._what}.")
        return started

    def _keep(self, handle: Handle) -> None:
        self._handle = handle
        self.journal.keep(handle)

    def _under_way(self, handle: Handle) -> set[str]:
        found = self.service.poll([handle]).items()
        return {key for key, progress in found if progress.phase is not Phase.IDLE}

    def _ready(self) -> Standing | None:
        """How the connection stands once it can be synced."""
        while True:
            standing = self.service.standing(self.connection_id)
            if standing.problem:
                raise WorkFailed(
                    f"{self.service.vendor} connection {standing.name!r} cannot be synced.",
                    seen=standing.problem,
                    remedy=f"Mend it at {self._page}, then run this again.",
                )
            if standing.paused and not self._unpaused(standing):
                return None
            if standing.running is None or self.manner.when_running == "join":
                return standing
            if self.manner.when_running == "fail":
                self._refuse_second(standing)
            self._tell(f"{self._what} syncs already; beginning another once that has ended.")
            self.clock.sleep(self.manner.poll_interval_s)

    def _unpaused(self, standing: Standing) -> bool:
        if self.manner.on_paused == "unpause":
            self.voice.warning(f"{self._what} ({standing.name}) was paused, and is no more.")
            self.service.unpause(self.connection_id)
            return True
        if self.manner.on_paused == "fail":
            raise WorkFailed(
                f"{self.service.vendor} connection {standing.name!r} is paused.",
                remedy=f'Enable it at {self._page}, or set on_paused="unpause".',
            )
        self.voice.warning(
            f"{self._what} ({standing.name}) is paused, and so it has not been synced. Enable it at "
            f'{self._page}, or set on_paused to "fail" or "unpause".'
        )
        return False

    def _refuse_second(self, standing: Standing) -> NoReturn:
        job = standing.running.job_id if standing.running else ""
        raise WorkFailed(
            f"{self.service.vendor} connection {standing.name!r} syncs already (job {job}).",
            remedy="To wait for that sync instead, set poll_previous_running_sync; to begin another "
            "after it, set wait_then_sync.",
        )

    def _awaited(self, handle: Handle) -> Progress:
        poller = SharedPoller(self.service, self.manner.poll_interval_s, clock=self.clock)
        deadline = self._deadline()
        last = Progress(Phase.UNKNOWN, "not asked yet")
        put_off = False
        while True:
            last = self._looked(poller, handle) or last
            if last.phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED):
                poller.done_with(handle)
                return self._ended(last)
            if last.phase is Phase.RESCHEDULED:
                self._rescheduled(last, handle)
                put_off = True
            elif last.phase is Phase.IDLE and put_off:
                # On a manual schedule, nobody but us begins again what was put off.
                self.service.start(handle, self.wish)
                put_off = False
            elif last.phase is Phase.UNKNOWN and last.state:
                self._tell(
                    f"{self.service.vendor} says of {self._what}: {last.state!r}, which Dagweave "
                    "does not know. Waiting on."
                )
            if deadline is not None and self.clock.monotonic() >= deadline:
                self._too_late(last)
            self.clock.sleep(self.manner.poll_interval_s)

    def _looked(self, poller: SharedPoller, handle: Handle) -> Progress | None:
        try:
            return poller.ask(handle)
        except Unavailable as error:
            # The sync goes on whether or not it can be watched.
            self.voice.warning(f"Cannot see how {self._what} is; waiting on. {error}")
            return None

    def _rescheduled(self, progress: Progress, handle: Handle) -> None:
        until = progress.until or time.time()
        wait_s = max(until - time.time(), 0.0)
        when = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
        said = f"{self.service.vendor} put off the sync of {self._what} until {when}."
        if not self.manner.retry_on_reschedule:
            self._tell(f"{said} Waiting on.")
            return
        self._keep(handle)
        self.voice.warning(f"{said} The step is tried again then.")
        raise RetryRequested(max_retries=_MOST_RESCHEDULES, seconds_to_wait=wait_s)

    def _ended(self, progress: Progress) -> Progress:
        if progress.phase is Phase.SUCCEEDED:
            self.voice.info(f"{self._what} synced.")
            return progress
        how = "failed" if progress.phase is Phase.FAILED else "was cancelled"
        raise WorkFailed(
            f"{self.service.vendor} sync of {self._what} {how}.",
            seen=f"{self.service.vendor} says: {progress.message or progress.state}",
            remedy=f"Look at {self._page}; once it is mended, run this again.",
        )

    def _too_late(self, last: Progress) -> NoReturn:
        raise WaitTimeout(
            f"Waited {self.manner.poll_timeout_s:g} s for the {self.service.vendor} sync of "
            f"{self._what}, in vain.",
            seen=f"It was last seen {last.state or last.phase}.",
            remedy="It was not stopped, and goes on; a retry of the step waits for it again.",
        )

    def _interrupted(self, handle: Handle, *, by_hand: bool) -> None:
        for _ in range(_MOST_INTERRUPTIONS):
            try:
                self._settle(handle, by_hand=by_hand)
                return
            except (DagsterExecutionInterruptedError, KeyboardInterrupt):
                # A terminal interrupts all of its processes, and Dagster passes it on once more.
                continue

    def _settle(self, handle: Handle, *, by_hand: bool) -> None:
        cancel = by_hand or self.journal.is_being_cancelled()
        if cancel and self.manner.cancel_on_termination:
            self.voice.info(f"Stopping the sync of {self._what}: the run was cancelled.")
            self.service.cancel(handle)
        else:
            self.voice.info(f"The sync of {self._what} goes on; a retry of the step waits for it.")

    def _deadline(self) -> float | None:
        timeout_s = self.manner.poll_timeout_s
        return None if timeout_s is None else self.clock.monotonic() + timeout_s

    def _tell(self, sentence: str) -> None:
        """Warn, once for each sentence."""
        if sentence not in self._told:
            self._told.add(sentence)
            self.voice.warning(sentence)

    @property
    def _page(self) -> str:
        return self.service.page(self.connection_id)

    @property
    def _what(self) -> str:
        return f"connection {self.connection_id!r}"
