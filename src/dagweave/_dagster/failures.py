"""Turn our errors into Dagster's `Failure`, the only place that does.

`allow_retries` is set from whether the same step can succeed with nothing changed, so that a retry
policy does not spend an hour on a wrong password.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from dagster import Failure

from dagweave._kernel.errors import DagweaveError, WorkFailed

if TYPE_CHECKING:
    from collections.abc import Generator

F = TypeVar("F", bound=Failure)


def as_failure(error: DagweaveError, kind: type[F] = Failure) -> F:
    """Return `error` as a Dagster failure of the given `kind`, to be raised `from` it.

    Work that failed may be retried by the user's own policy (a flaky test, a deadlock); what was
    refused, mistyped or not installed may not.
    """
    return kind(
        description=f"{type(error).__name__}: {error}",
        allow_retries=error.retryable or isinstance(error, WorkFailed),
    )


@contextmanager
def failures(kind: type[Failure] = Failure) -> Generator[None]:
    """Within the block, an error of ours leaves as a Dagster failure of the given `kind`."""
    try:
        yield
    except DagweaveError as error:
        raise as_failure(error, kind) from error
