"""Connections to Snowflake: made with errors that say why, and kept for who comes next.

A login costs seconds where a statement costs milliseconds. So what Dagweave itself does goes over
connections that this process keeps and lends, one user at a time; what the user's own code gets is
a connection of its own, since nobody could take back what it set on it.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave.snowflake.failures import connector, lost, translated

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

# An idle connection is asked whether it is alive before it is lent, if it rested longer than this.
_TRUSTED_S: Final = 5.0
# More than a process usually needs at a time; what is over is closed when it comes back.
_KEPT: Final = 8
# What names who asks, and so may be in an error; everything else of the arguments may be a secret.
_HARMLESS: Final = frozenset(
    {"account", "application", "authenticator", "database", "host", "port", "protocol", "role"}
    | {"schema", "timezone", "user", "warehouse"}
)

# Each statement commits by itself; times mean UTC; of 10.25, Arrow gets a decimal and no float.
_SESSION: Final[Mapping[str, Any]] = {
    "autocommit": True,
    "timezone": "UTC",
    "arrow_number_to_decimal": True,
}


def connect(arguments: Mapping[str, Any]) -> Any:
    """Log in, with the arguments of `snowflake.connector.connect`.

    Raises:
        Refused: The credentials, the account or what the session needs was refused.
        InvalidInput: An argument is missing, or names what is not there.
        Unavailable: Snowflake was not reached.
        MissingExtra: The connector is not installed.
    """
    whom = f"{arguments.get('user')} of account {arguments.get('account')}"
    with translated(f"Logging in to Snowflake as {whom} failed.", secrets_of(arguments)):
        return connector("A Snowflake connection").connect(**arguments)


def secrets_of(arguments: Mapping[str, Any]) -> list[str]:
    """The values that must not be shown."""
    return [
        value
        for name, value in arguments.items()
        if name not in _HARMLESS and isinstance(value, str)
    ]


@dataclass(slots=True)
class _Kept:
    """A connection that nobody uses, and since when."""

    connection: Any = field(repr=False)
    since_s: float


@dataclass(slots=True)
class Connections:
    """The connections of one process that wait to be lent, by the arguments they were made with.

    Safe to share between threads: each borrower has a connection alone. After a fork the child
    starts with none, since it would write into the parent's sockets and end its sessions.
    """

    clock: Clock = SYSTEM_CLOCK
    _idle: dict[str, list[_Kept]] = field(default_factory=dict[str, list[_Kept]], repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _of_the_parent: list[Any] = field(default_factory=list[Any], repr=False)

    @contextmanager
    def lent(self, arguments: Mapping[str, Any]) -> Generator[Any]:
        """A connection with these arguments, for statements that leave no trace in its session.

        Each statement commits by itself, unless it is within `BEGIN` and `COMMIT`. After an error
        the transaction is rolled back; a connection that was lost, or cannot be rolled back, is
        given up.

        Raises:
            Refused, InvalidInput, Unavailable, MissingExtra: As `connect` does.
        """
        arguments = {**arguments, **_SESSION}
        key = _key(arguments)
        connection = self._alive(key) or _own(arguments)
        try:
            yield connection
        except BaseException as error:
            if lost(error) or not _rolled_back(connection):
                _closed(connection)
            else:
                self._keep(key, connection)
            raise
        else:
            self._keep(key, connection)

    def close(self) -> None:
        """Log out of all that wait."""
        with self._lock:
            kept = [each for group in self._idle.values() for each in group]
            self._idle.clear()
        for each in kept:
            _closed(each.connection)

    def forget(self) -> None:
        """Begin anew, in a child process: the connections stay the parent's."""
        self._lock = threading.Lock()
        # Kept alive, so that nothing is said over them when they are collected.
        self._of_the_parent += [each for group in self._idle.values() for each in group]
        self._idle = {}

    def _alive(self, key: str) -> Any:
        while True:
            with self._lock:
                group = self._idle.get(key)
                kept = group.pop() if group else None
            if kept is None:
                return None
            rested_s = self.clock.monotonic() - kept.since_s
            closed = kept.connection.is_closed()
            if not closed and (rested_s <= _TRUSTED_S or kept.connection.is_valid()):
                return kept.connection
            _closed(kept.connection)

    def _keep(self, key: str, connection: Any) -> None:
        if not connection.is_closed():
            with self._lock:
                group = self._idle.setdefault(key, [])
                if len(group) < _KEPT:
                    group.append(_Kept(connection, self.clock.monotonic()))
                    return
        _closed(connection)


def _own(arguments: Mapping[str, Any]) -> Any:
    connection = connect(arguments)
    # The connector would log out at the exit of a forked child, too. We do it ourselves.
    for name in ("_close_at_exit", "_close_at_process_exit"):
        atexit.unregister(getattr(connection, name, _closed))
    return connection


def _key(arguments: Mapping[str, Any]) -> str:
    """The same for equal arguments; says nothing of them."""
    return hashlib.sha256(repr(sorted(arguments.items())).encode()).hexdigest()


def _rolled_back(connection: Any) -> bool:
    try:
        connection.rollback()
    except connector("A Snowflake connection").Error:
        return False
    return True


def _closed(connection: Any) -> None:
    """Log out, once; that a session is already gone is no error then."""
    with suppress(connector("A Snowflake connection").Error, OSError):
        connection.close(retry=False)


CONNECTIONS: Final = Connections()
"""The connections of this process."""

atexit.register(CONNECTIONS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=CONNECTIONS.forget)
