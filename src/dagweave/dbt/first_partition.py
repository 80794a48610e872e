"""Let one run at a time make a table that does not exist yet, of which each makes a part.

dbt replaces an incremental model whose table is not there. Of several runs that find none at once,
as a backfill starts them, each would replace what another has just made: one partition is left.
https://github.com/dagster-io/dagster/issues/18733
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dagster import get_dagster_logger
from filelock import FileLock, Timeout

from dagweave._kernel.errors import WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dagster import AssetKey

    from dagweave.dbt.scope import Scope

LOCK: Final = ".dagweave_first_partition.lock"
_LONGEST_WAIT_S: Final = 6 * 3_600.0
_MOST_NAMED: Final = 5


class Turn:
    """The right to make tables for the first time; free for all once it is let go."""

    def __init__(self, lock: FileLock | None = None) -> None:
        self._lock = lock

    def let_go(self) -> None:
        """Let the next one in. More than once is as good as once."""
        if self._lock is not None:
            self._lock.release()


def wait_for_turn(scope: Scope | None, folder: Path) -> Turn:
    """Block while another run on this machine makes incremental tables of the step first.

    Only steps with partitions wait, and only for tables that Dagster has no record of. Runs on
    other machines are not seen, unless they share the folder: there, give the definition a `pool`.

    Raises:
        WaitTimeout: It took more than six hours; says what to do.
    """
    if scope is None or not _has_partitions(scope) or not (new := _never_made(scope)):
        return Turn()
    folder.mkdir(parents=True, exist_ok=True)
    # Another thread may be the one that lets go.
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        named = ", ".join(key.to_user_string() for key in new[:_MOST_NAMED])
        more = f" and {len(new) - _MOST_NAMED} more" if len(new) > _MOST_NAMED else ""
        get_dagster_logger().info(
            f"Another run makes tables of this project for the first time. Waiting for it, so that "
            f"dbt finds them and adds to them: {named}{more}."
        )
        _acquire(lock)
    if not _never_made(scope):
        lock.release()
        return Turn()
    return Turn(lock)


def _acquire(lock: FileLock) -> None:
    try:
        lock.acquire(timeout=_LONGEST_WAIT_S)
    except Timeout as error:
        raise WaitTimeout(
            f"Waited {_LONGEST_WAIT_S:g} s for another run that makes tables for the first time.",
            remedy=f"If there is none, remove {lock.lock_file}.",
        ) from error


def _has_partitions(scope: Scope) -> bool:
    return scope.context.has_partition_key or scope.context.has_partition_key_range


def _never_made(scope: Scope) -> Sequence[AssetKey]:
    """The incremental models of the step that Dagster never saw materialized."""
    node = scope.manifest.node
    incremental = [
        key
        for id_ in scope.to_build
        if node(id_).config.materialized == "incremental" and (key := scope.key(id_))
    ]
    made = scope.context.instance.get_latest_materialization_event
    return [key for key in incremental if made(key) is None]
