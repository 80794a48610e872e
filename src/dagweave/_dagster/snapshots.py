"""When definitions ask a system what there is, and when the last snapshot will do.

Definitions load offline: from the snapshot, if there is one. `dagweave refresh` and, in
`dagster dev`, the code server take a new one. A snapshot that could not be renewed stays as it was.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from dagweave._dagster import private
from dagweave._dagster.development import using_dagster_dev
from dagweave._kernel.errors import DagweaveError
from dagweave._kernel.state import Snapshot, SnapshotUnusable, StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")
_log = logging.getLogger("dagweave")


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of one snapshot.

    `error` says why it stayed as it was; `changed` is whether the system has changed since.
    """

    file: StateFile[Any]
    before: datetime | None
    changed: bool
    error: DagweaveError | None = None


@dataclass(slots=True)
class _Refresh:
    """A refresh under way: what was renewed so far, so that nothing is asked for twice."""

    done: dict[str, Snapshot[Any]] = field(default_factory=dict[str, Snapshot[Any]])
    report: list[Refreshed] = field(default_factory=list[Refreshed])


_refresh: ContextVar[_Refresh | None] = ContextVar("refresh", default=None)


@contextmanager
def refreshing() -> Generator[list[Refreshed]]:
    """Within the block, definitions that are loaded take new snapshots; yields what was done."""
    refresh = _Refresh()
    token = _refresh.set(refresh)
    try:
        yield refresh.report
    finally:
        _refresh.reset(token)


def obtain(file: StateFile[T], take: Callable[[], T]) -> Snapshot[T]:
    """The snapshot of a system that definitions are made of.

    `take` is called within `refreshing()`, when a code server of `dagster dev` starts or reloads,
    and where there is no snapshot that can be used. Otherwise nothing is asked, so that a
    deployment, a run and a step all see the same.

    Args:
        take: Asks the system. Any error of ours that it raises is reported; where there is a
            snapshot, that one is used then.

    Raises:
        DagweaveError: as `take` has it, where there is no snapshot to fall back on.
    """
    refresh = _refresh.get()
    if refresh is not None:
        key = str(file.path)
        if key not in refresh.done:
            refresh.done[key] = _renew(file, take, refresh.report)
        return refresh.done[key]
    if using_dagster_dev() and not private.is_reconstruction():
        return _renew(file, take, [])
    unusable: SnapshotUnusable | None = None
    try:
        if found := file.read():
            return found
    except SnapshotUnusable as error:
        unusable = error
    return _first(file, take, unusable)


def _first(
    file: StateFile[T], take: Callable[[], T], unusable: SnapshotUnusable | None
) -> Snapshot[T]:
    try:
        data = take()
    except DagweaveError:
        if unusable is not None:
            raise unusable from None
        raise
    if unusable is not None:
        _log.warning("%s It was made anew.", unusable.what)
    return _kept(file, data)


def _kept(file: StateFile[T], data: T) -> Snapshot[T]:
    """Written if that can be; where it cannot, the next process takes its own."""
    try:
        return file.write(data)
    except DagweaveError as error:
        _log.debug("%s", error)
        return Snapshot(data, datetime.now(UTC))


def _renew(file: StateFile[T], take: Callable[[], T], report: list[Refreshed]) -> Snapshot[T]:
    """Take a new snapshot; if that fails, say so and return the last one."""
    last = _last(file)
    try:
        with file.alone():
            now = _last(file)
            if now and now.taken_at != (last.taken_at if last else None):
                # Another process took one while this one waited.
                new = now
            else:
                new = file.write(take())
    except DagweaveError as error:
        report.append(Refreshed(file, last.taken_at if last else None, changed=False, error=error))
        if last is None:
            raise
        _log.warning("The snapshot of %s stays that of %s. %s", file, last.taken_at, error)
        return last
    changed = last is None or last.data != new.data
    report.append(Refreshed(file, last.taken_at if last else None, changed))
    return new


def _last(file: StateFile[T]) -> Snapshot[T] | None:
    try:
        return file.read()
    except SnapshotUnusable:
        return None
