"""A working folder that one process holds at a time, and that outlives one that was killed.

Whoever comes later for the same name gets it with all that is in it. Knows nothing of dlt.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class HeldFolder:
    """A folder that nobody else gets before it is left, kept or discarded."""

    path: Path
    _lock: int

    def leave(self) -> None:
        """Let the next who comes for this name have it as it is."""
        os.close(self._lock)

    def keep(self, prefix: str) -> Path:
        """Move it to where nobody takes it up again, and return that place."""
        # In one step, while it is still held: nobody sees half a folder.
        try:
            return self.path.rename(tempfile.mkdtemp(prefix=prefix, dir=self.path.parent))
        finally:
            self.leave()

    def discard(self) -> None:
        """Delete it."""
        with suppress(OSError):
            shutil.rmtree(self.keep(".gone-"), ignore_errors=True)


def hold_folder(parent: Path, name: str) -> HeldFolder:
    """Hold a folder in `parent`: one that was left under this name, else a new one.

    Does not wait: what another process or thread holds is passed over.

    Raises:
        OSError: There cannot be one.
    """
    parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{name}-"
    left = sorted(path for path in parent.iterdir() if path.name.startswith(prefix))
    new = (parent / f"{prefix}{number}" for number in itertools.count(1))
    return next(held for path in itertools.chain(left, new) if (held := _hold(path)))


def _hold(path: Path) -> HeldFolder | None:
    import fcntl  # where there is none, importing dagweave works

    file = path / _LOCK
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:  # who held it has just moved it away
        return None
    try:
        # The kernel lets go of it when the process dies, however it dies.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), file.stat()):
            return HeldFolder(path, lock)
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(lock)
        raise
    os.close(lock)
    return None
