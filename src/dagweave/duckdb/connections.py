"""Connections to DuckDB databases, shared within the process as DuckDB demands.

DuckDB gives a file to one process that writes, or to many that only read; and within a process
every connection to a file must be of one kind, with one configuration. So each file is opened once
for all who want it, and closed when the last of them is done. Who comes in vain waits, with jitter,
for a bounded time, and is told who is in the way.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.errors import InvalidInput, Refused, WaitTimeout
from dagweave._kernel.extras import require
from dagweave._kernel.redact import redact
from dagweave._kernel.wait import backoff, wait_for
from dagweave.duckdb.dialect import (
    MEMORY,
    absolute,
    holder,
    is_file,
    is_memory,
    without_secrets,
)
from dagweave.weaving.duckdb_file import is_locked

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from duckdb import DuckDBPyConnection

DEFAULT_LOCK_TIMEOUT_S = 300.0
"""How long a locked file is waited for: longer than most steps, shorter than a night."""

# A wait this long is worth a word, so that a step does not seem to hang.
_SILENT_S = 10.0


def say_nothing(_message: str) -> None:
    """For those who need not know that they wait."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a locked file is waited for, in seconds, and who is told that it takes long."""

    timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    tell: Callable[[str], None] = say_nothing
    clock: Clock = SYSTEM_CLOCK


@dataclass(eq=False)
class Database:
    """A database, and the connections of this process to it. Made by `database_at`.

    `path` is absolute, if it is a file. A database in memory lives as long as this object.
    """

    path: str = field(repr=False)
    _writer: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _root: DuckDBPyConnection | None = field(default=None, init=False, repr=False)
    _config: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _writable: bool = field(default=False, init=False, repr=False)
    _users: list[int] = field(default_factory=list[int], init=False, repr=False)
    """The thread of each connection that is open."""
    _broken: bool = field(default=False, init=False, repr=False)

    @contextmanager
    def connection(
        self, config: Mapping[str, Any], *, write: bool, patience: Patience
    ) -> Generator[DuckDBPyConnection]:
        """A connection of one's own, closed when the context ends, whatever happens.

        Without `write`, the file is opened for reading only, so that other processes can read too;
        unless it is already open for writing in this process, which is then shared.

        Raises:
            WaitTimeout: The file stayed locked; names who holds it.
            Refused: It may not be opened so, or is no database.
            InvalidInput: There is no such file or folder; or this process has it open in a way
                that waiting would not change.
            MissingExtra: DuckDB is not installed.
        """
        connection = self._wait(dict(config), write=write, patience=patience)
        thread = threading.get_ident()
        fatal = duckdb_module().FatalException
        try:
            yield connection
        except fatal:
            # DuckDB gives up the whole database then; who comes next must open it anew.
            self._broken = True
            raise
        finally:
            self._leave(connection, thread)

    @contextmanager
    def writing(self, patience: Patience) -> Generator[None]:
        """One thread of this process at a time; one may enter again what it has entered.

        DuckDB lets threads write at once. But two of them may then both find no table and make one
        each, or both find nothing to delete where both insert.

        Raises:
            WaitTimeout: Another thread went on writing.
        """
        if not self._writer.acquire(timeout=min(patience.timeout_s, threading.TIMEOUT_MAX)):
            raise WaitTimeout(
                f"Another thread of this process wrote to the DuckDB database {self.path} for "
                f"{patience.timeout_s:g} s.",
                remedy="Give the wait longer: lock_timeout_s.",
            )
        try:
            yield
        finally:
            self._writer.release()

    def _wait(self, config: dict[str, Any], *, write: bool, patience: Patience) -> Any:
        mode = str(config.get("access_mode", "")).upper()
        if mode in {"READ_ONLY", "READ_WRITE", "AUTOMATIC"}:
            # It is we who choose, for what is shared.
            del config["access_mode"]
        write = (write or not is_file(self.path)) and mode != "READ_ONLY"
        seen = ""
        told = False
        start = patience.clock.monotonic()

        def look() -> DuckDBPyConnection | None:
            nonlocal seen, told
            try:
                return self._join(config, write=write)
            except _InTheWay as obstacle:
                seen = without_secrets(str(obstacle), config)
            if not told and patience.clock.monotonic() - start > _SILENT_S:
                patience.tell(redact(f"Still waiting for the DuckDB file {self.path}. {seen}"))
                told = True
            return None

        try:
            return wait_for(
                look,
                what=f"the DuckDB file {self.path}",
                timeout_s=patience.timeout_s,
                pauses=backoff(0.02, cap_s=0.5),
                clock=patience.clock,
            )
        except WaitTimeout as timeout:
            raise WaitTimeout(
                f"The DuckDB file {self.path} stayed locked for {patience.timeout_s:g} s.",
                seen=seen,
                remedy="DuckDB lets one process write, or many read. Close the other one (an open "
                "duckdb shell, a notebook), or give the wait longer: lock_timeout_s.",
            ) from timeout

    def _join(self, config: dict[str, Any], *, write: bool) -> DuckDBPyConnection:
        with self._lock:
            if self._root is None:
                self._root = self._open(config, write=write)
                self._config, self._writable = config, write
            elif self._config != config:
                raise self._at_odds(config)
            elif write and not self._writable and threading.get_ident() in self._users:
                raise InvalidInput(
                    f"The DuckDB file {self.path} cannot be opened for writing.",
                    seen="This thread has it open for reading only.",
                    remedy="Close that connection first, or take access_mode=READ_ONLY from its "
                    "connection_config.",
                )
            elif self._broken or (write and not self._writable):
                raise _InTheWay(holder(""))
            connection = self._root.cursor()
            self._users.append(threading.get_ident())
            return connection

    def _at_odds(self, config: dict[str, Any]) -> InvalidInput:
        """DuckDB has one configuration per database and process; to wait would often be for ever.

        A lazy frame is collected by a thread of its own, for which the thread waits that may be
        who has the file open.
        """
        names = {*config, *self._config}
        different = [name for name in names if config.get(name) != self._config.get(name)]
        return InvalidInput(
            f"The DuckDB file {self.path} is open in this process with other settings.",
            seen=f"Of connection_config, these differ: {', '.join(sorted(different))}.",
            remedy="Give all that use the file in one process the same connection_config; or close "
            "the connection first that your code has open.",
        )

    def _open(self, config: dict[str, Any], *, write: bool) -> DuckDBPyConnection:
        duckdb = duckdb_module()
        try:
            return duckdb.connect(self.path, read_only=not write, config=config)
        except (duckdb.IOException, duckdb.ConnectionException) as error:
            if is_locked(str(error)):
                raise _InTheWay(holder(str(error))) from error
            raise self._cannot_open(error, config) from error
        except duckdb.Error as error:
            raise self._cannot_open(error, config) from error

    def _cannot_open(self, error: Exception, config: dict[str, Any]) -> Exception:
        seen = without_secrets(str(error), config)
        what = f"The DuckDB database {self.path} cannot be opened."
        if "No such file or directory" in seen:
            return InvalidInput(what, seen=seen, remedy="Create the folder that it should lie in.")
        if "database does not exist" in seen:
            return InvalidInput(
                what, seen=seen, remedy="Write a table to it first: materialize what is upstream."
            )
        if "Permission denied" in seen or "Read-only file system" in seen:
            return Refused(
                what, seen=seen, remedy="Let this user write the file and the folder it lies in."
            )
        return Refused(what, seen=seen)

    def _leave(self, connection: DuckDBPyConnection, thread: int) -> None:
        with self._lock:
            self._users.remove(thread)
            root, last = self._root, not self._users and not is_memory(self.path)
            if last:
                self._root, self._broken = None, False
            # Closed within the lock: who opens the file next must find it closed.
            connection.close()
            if last and root is not None:
                root.close()


class _InTheWay(Exception):
    """The database cannot be opened now; says who is in the way."""


_DATABASES: dict[str, Database] = {}
_DATABASES_LOCK = threading.Lock()


def database_at(path: str) -> Database:
    """The database at a path, one object for all who name the same file.

    `:memory:` is another database each time, `:memory:name` the same one until the process ends.
    """
    path = absolute(path)
    if path in {"", MEMORY}:
        return Database(MEMORY)
    with _DATABASES_LOCK:
        return _DATABASES.setdefault(path, Database(path))


def duckdb_module() -> Any:
    """Import DuckDB.

    Raises:
        MissingExtra: It is not installed.
    """
    return require("duckdb", extra="duckdb", what="A DuckDB database")
