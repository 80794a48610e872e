"""Ask a service once per interval, for everybody on this machine who waits for a sync of it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave.connector.model import Handle, Progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from dagweave.connector.model import SyncService

_FORGOTTEN_AFTER_INTERVALS: Final = 30
_lock = threading.Lock()
_locks: dict[Path, threading.Lock] = {}


class _Wanted(msgspec.Struct):
    handle: Handle
    asked_at: float


class _Shared(msgspec.Struct):
    """What is known of an account's syncs: what is waited for, and what was last said about it."""

    polled_at: float | None = None
    wanted: dict[str, _Wanted] = {}
    answers: dict[str, Progress] = {}


class SharedPoller:
    """Waits for syncs of one account together with all other processes of this machine that do.

    Whoever finds that the interval is over asks for all. The answers lie in a file that only this
    user can read; they hold states and messages, and no secret.

    Args:
        interval_s: How often the service is asked at most, in seconds.
    """

    def __init__(
        self, service: SyncService, interval_s: float, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._service = service
        self._interval_s = interval_s
        self._clock = clock
        self._path = _folder() / f"{_digest(service)}.json"

    def ask(self, handle: Handle) -> Progress | None:
        """How a sync is, as of the last interval; `None` if it was not asked about yet.

        Raises:
            Unavailable: The service did not answer; it is not asked again within the interval.
            Refused: The service said no.
        """
        with self._alone():
            shared = self._read()
            now = self._clock.monotonic()
            shared.wanted[handle.key] = _Wanted(handle, now)
            # A time to come is one of before the machine was started anew.
            fresh = shared.polled_at is not None and 0 <= now - shared.polled_at < self._interval_s
            if not fresh:
                shared.polled_at = now
                self._forget(shared, now)
                try:
                    handles = [wanted.handle for wanted in shared.wanted.values()]
                    shared.answers |= self._service.poll(handles)
                finally:
                    self._write(shared)
            elif handle.key not in shared.answers:
                self._write(shared)
            return shared.answers.get(handle.key)

    def done_with(self, handle: Handle) -> None:
        """Nobody need ask about this sync any more."""
        with self._alone():
            shared = self._read()
            shared.wanted.pop(handle.key, None)
            shared.answers.pop(handle.key, None)
            self._write(shared)

    def _forget(self, shared: _Shared, now: float) -> None:
        patience_s = self._interval_s * _FORGOTTEN_AFTER_INTERVALS
        for key, wanted in list(shared.wanted.items()):
            if not 0 <= now - wanted.asked_at <= patience_s:
                del shared.wanted[key]
                shared.answers.pop(key, None)

    @contextmanager
    def _alone(self) -> Generator[None]:
        from filelock import FileLock

        with _lock:
            here = _locks.setdefault(self._path, threading.Lock())
        with here, FileLock(self._path.with_suffix(".lock")):
            yield

    def _read(self) -> _Shared:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Shared)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            return _Shared()

    def _write(self, shared: _Shared) -> None:
        part = self._path.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(shared))
        part.replace(self._path)


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"dagweave-polls-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _digest(service: SyncService) -> str:
    return hashlib.sha256(f"{service.vendor} {service.account}".encode()).hexdigest()[:24]
