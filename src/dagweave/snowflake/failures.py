"""Say in our errors what Snowflake and its connector say in theirs: by number, never by text."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import (
    DagweaveError,
    InvalidInput,
    Refused,
    SchemaMismatch,
    Unavailable,
    WorkFailed,
)
from dagweave._kernel.extras import require
from dagweave._kernel.redact import redact

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

# The server's own numbers (as many as it documents) and, from 250000 on, those of the connector:
# snowflake/connector/errorcode.py, and network.py for what a login or a session is refused with.
_CREDENTIALS: Final = frozenset(
    {390100, 390144, 390303, 390318, 394300, 394301, 394302, 394303, 394304, 394305, 394306}
)
_SESSION_GONE: Final = frozenset({390103, 390104, 390110, 390111, 390112, 390114, 390115, 390195})
_NOT_REACHED: Final = frozenset(
    {250001, 250002, 250003, 250005, 250006, 250012, 251011, 251012, 252007}
)
_NO_WAREHOUSE: Final = frozenset({606, 607, 608, 609, 90073})
_NOT_THERE: Final = frozenset({2003, 2043})
_NOT_ALLOWED: Final = frozenset({3001, 3540, 390189, 390201})
_WRITTEN_WRONG: Final = frozenset(
    {251001, 251005, 251006, 251007, 251008, 904, 1003, 1007, 1011, 2002, 2049}
)
_VALUES: Final = frozenset(
    {100035, 100038, 100039, 100040, 100046, 100071, 100072, 100078, 100080, 100096, 100132, 100183}
)
_STOPPED: Final = frozenset({604, 630})
_LOCKED: Final = frozenset({625, 635})
# The connector adds the HTTP status to the first, and may add that to the first once more.
_HTTP: Final = (290000, 580000)
# What may pass: https://docs.snowflake.com/en/developer-guide/sql-api/handling-errors
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

_CHECK_ACCOUNT: Final = (
    "Check the account: its identifier is `<organization>-<account>`, without "
    "`.snowflakecomputing.com` (https://docs.snowflake.com/en/user-guide/admin-account-identifier); "
    "and that this machine can reach it."
)


def lost(error: BaseException) -> bool:
    """Whether the connection that an error came over is of no more use."""
    number = number_of(error)
    return number in _SESSION_GONE or number in _NOT_REACHED or _status(number) is not None


@contextmanager
def translated(what: str, secrets: Iterable[str] = ()) -> Generator[None]:
    """Within the context, an error of Snowflake leaves as one of ours, with the same cause.

    Args:
        what: What was not done, as a sentence.
        secrets: What must not be in the error.

    Raises:
        Refused: The credentials, the warehouse or the role do not do.
        InvalidInput: What was named is not there, or the SQL is wrong.
        SchemaMismatch: A value does not fit its column.
        Unavailable: Snowflake was not reached, or the connection was lost, or a lock was held.
        WorkFailed: Anything else, a cancelled or timed-out statement included.
    """
    try:
        yield
    except connector("A Snowflake connection").Error as error:
        raise ours(error, what, secrets) from error


def connector(what: str) -> Any:
    """Import Snowflake's connector.

    Raises:
        MissingExtra: It is not installed.
    """
    return require("snowflake.connector", extra="snowflake", what=what)


def ours(error: BaseException, what: str, secrets: Iterable[str] = ()) -> DagweaveError:
    """The error of ours that says what an error of Snowflake's connector says."""
    number = number_of(error)
    seen = _seen(error, secrets)
    refused = _refusal(number)
    if type(error).__name__ == "ForbiddenError":
        # Its number is that of any login that did not come about.
        refused = _CHECK_ACCOUNT
    if refused:
        return Refused(
            what, seen=seen, remedy=f"{refused} Not retried: the answer would be the same."
        )
    if number in _NOT_THERE:
        return InvalidInput(
            what,
            seen=seen,
            remedy="Check the spelling and the case of the database, the schema and the table, and "
            "that the role may use them: Snowflake does not tell the one from the other.",
        )
    if number in _WRITTEN_WRONG:
        return InvalidInput(what, seen=seen)
    if number in _VALUES:
        return SchemaMismatch(
            what, seen=seen, remedy="Give the column a wider type (ALTER TABLE), or mend the value."
        )
    if number in _STOPPED:
        return WorkFailed(
            what,
            seen=seen,
            remedy="Somebody cancelled the statement, or STATEMENT_TIMEOUT_IN_SECONDS of the "
            "warehouse, the user or the session is too short for it.",
        )
    return _passing(number, what, seen) or WorkFailed(what, seen=seen)


def _refusal(number: int) -> str | None:
    """What to do about a refusal; `None` if the number is none."""
    if number in _CREDENTIALS:
        return (
            "Check user and password, or the key that Snowflake knows of the user (RSA_PUBLIC_KEY)."
        )
    if number in _NO_WAREHOUSE:
        return (
            "Name a warehouse that the role may use; if it is suspended, resume it or set its "
            "AUTO_RESUME; if a resource monitor stopped it, raise the quota."
        )
    if number in _NOT_ALLOWED:
        return "Grant the role what it needs, or name another role."
    status = _status(number)
    if status is not None and status not in _PASSING:
        return _CHECK_ACCOUNT
    return None


def _passing(number: int, what: str, seen: str) -> Unavailable | None:
    if number in _LOCKED:
        return Unavailable(
            what, seen=seen, remedy="Another transaction holds the table; let it end first."
        )
    if number in _SESSION_GONE:
        return Unavailable(
            what, seen=seen, remedy="The session ended on Snowflake's side; a new one will do."
        )
    if number in _NOT_REACHED or _status(number) is not None:
        return Unavailable(what, seen=seen, remedy=_CHECK_ACCOUNT)
    return None


def number_of(error: BaseException) -> int:
    """The number of an error of Snowflake or its connector; -1 if it has none."""
    number = getattr(error, "errno", None)
    return number if isinstance(number, int) else -1


def _status(number: int) -> int | None:
    """The HTTP status that a number of the connector stands for."""
    for base in _HTTP:
        if 400 <= number - base < 600:
            return number - base
    return None


def _seen(error: BaseException, secrets: Iterable[str]) -> str:
    state = getattr(error, "sqlstate", None)
    query = getattr(error, "sfqid", None)
    raw = getattr(error, "raw_msg", None) or str(error)
    known = [f"error {number_of(error)}"] if number_of(error) > 0 else []
    known += [f"SQL state {state}"] if state and state != "n/a" else []
    known += [f"query {query}"] if query else []
    text = f"{raw}\n({', '.join(known)})" if known else str(raw)
    return redact(text, secrets)
