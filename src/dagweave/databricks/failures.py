"""Say in our errors what Databricks says in its own."""

from __future__ import annotations

import re
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
    from collections.abc import Callable, Generator, Iterable
    from types import ModuleType

# https://docs.databricks.com/aws/en/error-messages/error-classes
_CLASS: Final = re.compile(r"\[([A-Z][A-Z0-9_]+)(?:\.[A-Z0-9_.]+)?\]")
_CONFLICT: Final = re.compile(
    r"DELTA_CONCURRENT_|ConcurrentAppend|ConcurrentDelete|ConcurrentTransaction|MetadataChanged"
)
_LINK: Final = re.compile(r"https?://\S*[?&](?:sig|X-Amz|Signature|token)\S*", re.IGNORECASE)

_UNCHANGED: Final = "All is as it was."
_BY_CLASS: Final[dict[str, tuple[type[DagweaveError], str]]] = {
    r"TABLE_OR_VIEW_ALREADY_EXISTS|TABLE_ALREADY_EXISTS": (
        Unavailable,
        "Another writer made the table at the same moment: try again.",
    ),
    r"NO_SUCH_CATALOG|CATALOG_NOT_FOUND": (
        InvalidInput,
        "Check the catalog of the I/O manager, and that who connects may use it.",
    ),
    r"TABLE_OR_VIEW_NOT_FOUND|SCHEMA_NOT_FOUND|UNRESOLVED_|PARSE_SYNTAX_ERROR|DATATYPE_MISMATCH"
    r"|INVALID_SCHEMA_OR_RELATION_NAME|MISSING_|AMBIGUOUS_": (InvalidInput, ""),
    r"EXPECT_TABLE_NOT_VIEW|DELTA_OPERATION_NOT_ALLOWED|VIEW_": (
        InvalidInput,
        "There may be a view of that name. Give the asset another name or schema, or drop the view.",
    ),
    r"CAST_|NUMERIC_VALUE_OUT_OF_RANGE|ARITHMETIC_OVERFLOW|DELTA_FAILED_TO_MERGE_FIELDS"
    r"|INCOMPATIBLE_DATA_FOR_TABLE|INSERT_COLUMN_ARITY": (
        SchemaMismatch,
        f"{_UNCHANGED} A value does not fit its column: mend it, or give the column a wider type.",
    ),
    r"DELTA_VIOLATE_CONSTRAINT|DELTA_NOT_NULL_CONSTRAINT|CHECK_CONSTRAINT": (
        InvalidInput,
        f"{_UNCHANGED} Make the rows meet the table's constraints.",
    ),
    r"INSUFFICIENT_PERMISSIONS|PERMISSION_DENIED|UNAUTHORIZED": (
        Refused,
        "Grant who connects what is missing (GRANT … ON …). Not retried: the answer would be the same.",
    ),
}


def sdk(module: str, what: str = "Databricks") -> ModuleType:
    """Import a part of `databricks-sdk`.

    Raises:
        MissingExtra: It is not installed.
    """
    return require(module, extra="databricks", what=what)


def is_conflict(message: str) -> bool:
    """Whether a statement failed because another one committed first: it changed nothing."""
    return _CONFLICT.search(message) is not None


def of_statement(what: str, message: str, statement_id: str) -> DagweaveError:
    """The error for a statement that ended badly.

    Args:
        what: What was not done, as a sentence.
        message: What Databricks says.
    """
    seen = f"{_LINK.sub('(a link)', message)}\n(statement {statement_id})"
    if is_conflict(message):
        return Unavailable(
            what, seen=seen, remedy="Another writer changed the same rows: try again."
        )
    found = _CLASS.search(message)
    for pattern, (kind, remedy) in _BY_CLASS.items():
        if found and re.match(pattern, found[1]):
            return kind(what, seen=seen, remedy=remedy or None)
    return WorkFailed(what, seen=seen)


@contextmanager
def translated(what: str | Callable[[], str], secrets: Iterable[str] = ()) -> Generator[None]:
    """Within the context, an error of the SDK leaves as one of ours, with the same cause.

    Args:
        what: What was not done, as a sentence.
        secrets: What is taken out of the message.
    """
    try:
        yield
    except DagweaveError:
        raise
    except Exception as error:
        ours = of_request(what if isinstance(what, str) else what(), error, secrets)
        if ours is None:
            raise
        raise ours from error


def of_request(what: str, error: Exception, secrets: Iterable[str] = ()) -> DagweaveError | None:
    """The error for a request that came to nothing; `None` if it is no error of the SDK's."""
    import requests

    errors = sdk("databricks.sdk.errors")
    cause = error
    while isinstance(cause, TimeoutError) and isinstance(cause.__cause__, Exception):
        # What the SDK makes of the last of several attempts.
        cause = cause.__cause__
    seen = redact(_LINK.sub("(a link)", str(cause)), secrets)
    if isinstance(cause, (errors.Unauthenticated, errors.PermissionDenied)):
        return Refused(
            what,
            seen=seen,
            remedy="Check the credentials, and that they are of this host. Not retried: the answer "
            "would be the same.",
        )
    if isinstance(cause, (errors.NotFound, errors.BadRequest)):
        return InvalidInput(what, seen=seen)
    transient = (errors.TooManyRequests, errors.InternalError, errors.TemporarilyUnavailable)
    if isinstance(cause, (*transient, errors.DeadlineExceeded, requests.RequestException)):
        return Unavailable(what, seen=seen, remedy="Check that the host can be reached; try again.")
    if isinstance(cause, errors.DatabricksError):
        return WorkFailed(what, seen=seen)
    if isinstance(cause, TimeoutError):
        return Unavailable(what, seen=seen)
    return None


def is_missing(error: Exception) -> bool:
    """Whether what was asked for is not there."""
    found: Any = sdk("databricks.sdk.errors").NotFound
    return isinstance(error, found)
