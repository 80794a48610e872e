"""Say in our errors what BigQuery and Google's client say in theirs: by status and reason."""

from __future__ import annotations

import concurrent.futures
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import (
    DagweaveError,
    InvalidInput,
    Refused,
    SchemaMismatch,
    Unavailable,
    WaitTimeout,
    WorkFailed,
)
from dagweave._kernel.extras import require
from dagweave._kernel.redact import redact

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

# https://cloud.google.com/bigquery/docs/error-messages
_PASSING: Final = frozenset(
    {"backendError", "internalError", "jobBackendError", "jobInternalError", "jobRateLimitExceeded",
     "rateLimitExceeded", "tableUnavailable"}
)  # fmt: skip
_QUOTA: Final = frozenset(
    {"quotaExceeded", "billingNotEnabled", "blocked", "billingTierLimitExceeded"}
)
_STOPPED: Final = frozenset({"stopped", "timeout"})
_TOO_MUCH: Final = frozenset({"resourcesExceeded", "responseTooLarge"})
# BigQuery has one reason for a mistake in a query and for two queries that are in each other's way.
_IN_THE_WAY: Final = ("concurrent update", "Could not serialize access")
_VALUES: Final = ("Error while reading data", "Bad value", "Value out of range", "out of range")
_PASSING_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@contextmanager
def translated(what: str, secrets: Iterable[str] = ()) -> Generator[None]:
    """Within the context, an error of Google's client leaves as one of ours, with the same cause.

    Args:
        what: What was not done, as a sentence.
        secrets: What may not be shown.
    """
    named = tuple(secrets)
    try:
        yield
    except DagweaveError:
        raise
    except Exception as error:
        found = ours(error, what, named)
        if found is None:
            raise
        raise found from (error if redact(str(error), named) == str(error) else None)


@contextmanager
def logged_in(what: str, secrets: Iterable[str] = ()) -> Generator[None]:
    """Within the context, that credentials are refused leaves as our error; all else as it is."""
    named = tuple(secrets)
    try:
        yield
    except _class("google.auth.exceptions", "GoogleAuthError") as error:
        found = ours(error, what, named) or error
        raise found from (error if redact(str(error), named) == str(error) else None)


BigQueryError = DagweaveError
"""What the official package calls its error: all of ours are one."""


def ours(error: BaseException, what: str, secrets: Iterable[str] = ()) -> DagweaveError | None:
    """What an error of Google's client means; `None` if it is none of its."""
    seen = redact(_said(error), secrets)
    if isinstance(error, concurrent.futures.TimeoutError):
        return WaitTimeout(
            what, seen="The job took longer than it may, and was cancelled.",
            remedy="Give it longer: timeout, in seconds.",
        )  # fmt: skip
    if isinstance(error, _class("google.auth.exceptions", "TransportError")):
        return _not_reached(what, seen)
    if isinstance(error, _class("google.auth.exceptions", "GoogleAuthError")):
        return _no_login(what, seen)
    if is_lost(error):
        return _not_reached(what, seen)
    if isinstance(error, _class("google.api_core.exceptions", "GoogleAPICallError")):
        return _answered(error, what, seen)
    return None


def is_lost(error: BaseException) -> bool:
    """Whether it is not known if what was asked for was done: no answer came, or none that tells."""
    exceptions = _module("google.api_core.exceptions")
    lost = (
        _module("requests.exceptions").RequestException,
        exceptions.RetryError,
        ConnectionError,
    )
    return isinstance(error, lost) or _status(error) in _PASSING_STATUS - {429}


def passes(error: BaseException) -> bool:
    """Whether a job that ended so may be begun again, as another one."""
    if _reason(error) in _PASSING or _status(error) == 429:
        return True
    return any(sign in str(error) for sign in _IN_THE_WAY)


def is_missing(error: BaseException) -> bool:
    """Whether BigQuery says that there is no such thing."""
    return _status(error) == 404


def is_there(error: BaseException) -> bool:
    """Whether BigQuery says that there is one already."""
    return _status(error) == 409


def is_refused(error: BaseException) -> bool:
    """Whether BigQuery says that it may not be, or that it cannot be."""
    return _status(error) in {400, 401, 403, 404, 501}


def _answered(error: Any, what: str, seen: str) -> DagweaveError:
    status, reason = _status(error), _reason(error)
    if passes(error) or status in _PASSING_STATUS:
        return Unavailable(what, seen=seen, remedy="Try again later; nothing was changed.")
    if status == 401:
        return _no_login(what, seen)
    if reason in _QUOTA:
        return Refused(what, seen=seen, remedy="Look at the quotas and the billing of the project.")
    if status == 403:
        return Refused(
            what,
            seen=seen,
            remedy="Give who comes the roles that it takes: BigQuery Job User on the project, "
            "BigQuery Data Editor (to read: Data Viewer) on the dataset.",
        )
    if status == 404:
        return InvalidInput(
            what,
            seen=seen,
            remedy="Check project, dataset and table; and the location, which must be that of the "
            "dataset.",
        )
    if status == 409:
        return InvalidInput(what, seen=seen)
    if reason in _STOPPED:
        return WorkFailed(what, seen=seen, remedy="Somebody cancelled the job, or it ran too long.")
    if reason in _TOO_MUCH:
        return WorkFailed(what, seen=seen, remedy="Let the query read or sort less at a time.")
    if any(sign in seen for sign in _VALUES):
        return SchemaMismatch(
            what, seen=seen, remedy="All is as it was. A value does not fit its column: mend it."
        )
    return InvalidInput(what, seen=seen) if status == 400 else WorkFailed(what, seen=seen)


def _no_login(what: str, seen: str) -> Refused:
    return Refused(
        what,
        seen=f"Google refused the credentials: {seen}",
        remedy="Check gcp_credentials: that the key was neither deleted nor disabled, and that it is "
        "whole. Without it, the credentials of the environment are used.",
    )


def _not_reached(what: str, seen: str) -> Unavailable:
    return Unavailable(
        what,
        seen=f"BigQuery did not answer: {seen}",
        remedy="Check that this machine can reach it, and base_url, if it is set; then try again.",
    )


def _said(error: BaseException) -> str:
    # The client adds where and under which name a job ran; we say so ourselves.
    message = getattr(error, "message", None)
    return str(message or error).partition("\n\nLocation: ")[0].strip() or type(error).__name__


def _status(error: BaseException) -> int | None:
    code: Any = getattr(error, "code", None)
    return int(code) if isinstance(code, int) else None


def _reason(error: BaseException) -> str | None:
    errors: Any = getattr(error, "errors", None)
    first: Any = errors[0] if errors else None
    return first.get("reason") if isinstance(first, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


def _class(module: str, name: str) -> type[BaseException]:
    return getattr(_module(module), name)


def _module(name: str) -> Any:
    return require(name, extra="bigquery", what="BigQuery")
