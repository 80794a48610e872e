"""Snapshots on disk: what was last seen of a system, so that nobody need ask it again.

A snapshot lies in one JSON file in the state folder: `DAGWEAVE_STATE_DIR`, else `dagweave` under
`DAGSTER_HOME`, else `.dagweave` of the project. It is replaced as a whole, by one process at a
time, and read without a lock, so also where nothing can be written. It holds no secret: what is
stored is chosen field by field.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from uuid import uuid4

import msgspec

from dagweave._kernel.errors import InvalidInput, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")

STATE_DIR: Final = "DAGWEAVE_STATE_DIR"
_PROJECT_FILES: Final = ("pyproject.toml", "workspace.yaml", "setup.py", "dagster.yaml")
_NOT_IN_A_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST_NAME: Final = 80
_LONGEST_WAIT_S: Final = 900.0
_REFRESH: Final = "Make it anew: dagweave refresh, where the system can be reached."


class SnapshotUnusable(InvalidInput):
    """A snapshot is there, and cannot be read by this version of Dagweave, or for this account."""


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """What was seen of a system, and when."""

    data: T
    taken_at: datetime


class _Envelope(msgspec.Struct, forbid_unknown_fields=False):
    """What is around the data, in all versions."""

    format: int
    whose: str
    taken_at: datetime
    data: msgspec.Raw


@dataclass(frozen=True, slots=True)
class StateFile(Generic[T]):
    """Where the snapshot of one system is kept.

    Args:
        area: The folder, one per integration: `dlt`, `fivetran`.
        name: Which system of its kind; the same in all processes that load the definitions.
        kind: What the data is, as `msgspec` encodes and checks it: a `Struct`, say.
        format: Counts up with each change of `kind` that older files do not have.
        whose: The account that the data is of. A snapshot of another one is not used.
    """

    area: str
    name: str
    kind: type[T]
    format: int
    whose: str = ""

    def __str__(self) -> str:
        return f"{self.area} {self.name!r}"

    @property
    def path(self) -> Path:
        """The file; its folder may be missing."""
        plain = _NOT_IN_A_FILE_NAME.sub("-", self.name).strip("-.")[:_LONGEST_NAME]
        if plain != self.name:
            plain = f"{plain}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"
        return state_dir() / self.area / f"{plain}.json"

    def read(self) -> Snapshot[T] | None:
        """The last snapshot that was written, if there is one.

        Raises:
            SnapshotUnusable: It is of another format or account, or no snapshot at all.
        """
        path = self.path
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Envelope)
            self._check(found)
            return Snapshot(msgspec.json.decode(found.data, type=self.kind), found.taken_at)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SnapshotUnusable(
                f"The snapshot of {self} cannot be read: {path}",
                seen=f"{type(error).__name__}: {error}",
                remedy=_REFRESH,
            ) from error

    def write(self, data: T) -> Snapshot[T]:
        """Replace the snapshot, in one step: who reads meanwhile gets the old or the new one.

        Raises:
            InvalidInput: The state folder cannot be written.
        """
        taken_at = datetime.now(UTC)
        raw = msgspec.Raw(msgspec.json.encode(data))
        content = msgspec.json.encode(_Envelope(self.format, self.whose, taken_at, raw))
        path = self.path
        part = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(msgspec.json.format(content, indent=1))
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise _not_written(self, error) from error
        return Snapshot(data, taken_at)

    @contextmanager
    def alone(self) -> Generator[None]:
        """Within the block, no other process is in such a block for the same file.

        Raises:
            InvalidInput: The state folder cannot be written.
            WaitTimeout: Another process did not leave its block within 15 minutes.
        """
        from filelock import FileLock, Timeout

        lock = self.path.with_suffix(".lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(lock, timeout=_LONGEST_WAIT_S)
            held.acquire()
        except Timeout as error:
            raise WaitTimeout(
                f"Waited {_LONGEST_WAIT_S:g} s for another process that refreshes {self}.",
                remedy=f"If there is none, remove {lock}.",
            ) from error
        except OSError as error:
            raise _not_written(self, error) from error
        try:
            yield
        finally:
            held.release()

    def _check(self, found: _Envelope) -> None:
        if found.format != self.format:
            raise SnapshotUnusable(
                f"The snapshot of {self} was written by another version of Dagweave: {self.path}",
                seen=f"Its format is {found.format}, and this version reads {self.format}.",
                remedy=_REFRESH,
            )
        if found.whose != self.whose:
            raise SnapshotUnusable(
                f"The snapshot of {self} is of another account: {self.path}",
                seen=f"It is of {found.whose!r}, and {self.whose!r} is wanted.",
                remedy=_REFRESH,
            )


def state_dir() -> Path:
    """The folder of all snapshots. Absolute; it may be missing.

    The project is the nearest folder, from the working directory upwards, that has a
    `pyproject.toml`, `workspace.yaml`, `setup.py` or `dagster.yaml`; else the working directory.
    """
    if said := os.environ.get(STATE_DIR):
        return Path(said).expanduser().absolute()
    if home := os.environ.get("DAGSTER_HOME"):
        return Path(home).expanduser().absolute() / "dagweave"
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / name).exists() for name in _PROJECT_FILES):
            return folder / ".dagweave"
    return here / ".dagweave"


def _not_written(file: StateFile[T], error: OSError) -> InvalidInput:
    return InvalidInput(
        f"The snapshot of {file} cannot be written: {file.path}",
        seen=f"{type(error).__name__}: {error}",
        remedy=f"Name a folder that can be written in {STATE_DIR}.",
    )
