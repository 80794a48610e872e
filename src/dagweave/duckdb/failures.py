"""Say in our errors what DuckDB says in its own."""

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
from dagweave.duckdb.connections import duckdb_module
from dagweave.duckdb.dialect import without_secrets

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

# As 2.x and 1.x say it of a replace, 1.1 of the same, and all of a delete.
_A_VIEW = ("is of type View", "is not an table", "base table")
_NO_TIME = ("timestamp field", "date field", "Could not parse string")
_DUCKDB_SAYS: Final = re.compile(r"[A-Z][A-Za-z ]+ Error: ")
_DISK_FULL = ("No space left on device", "File too large", "Disk quota exceeded")


@contextmanager
def translated(what: str, config: Mapping[str, Any]) -> Generator[None]:
    """Within the context, an error of DuckDB leaves as one of ours, with the same cause.

    Args:
        what: What was not done, as a sentence.
        config: The connection's settings, whose secrets are taken out.
    """
    try:
        yield
    except (duckdb_module().Error, OSError) as error:
        if isinstance(error, OSError) and not _is_of_a_stream(error):
            raise
        raise _ours(error, what, without_secrets(str(error), config)) from error


def _is_of_a_stream(error: OSError) -> bool:
    """Whether DuckDB failed while its rows were taken as Arrow, which loses the class of the error."""
    return type(error) is OSError and _DUCKDB_SAYS.match(str(error)) is not None


def _ours(error: Exception, what: str, seen: str) -> DagweaveError:
    duckdb = duckdb_module()
    if any(sign in seen for sign in _DISK_FULL):
        return WorkFailed(
            what, seen=seen, remedy="Free some disk space. All is as it was before the write."
        )
    if "read-only mode" in seen:
        return Refused(
            what, seen=seen, remedy="Take access_mode=READ_ONLY from connection_config to write."
        )
    if any(sign in seen for sign in _A_VIEW):
        return InvalidInput(
            what,
            seen=seen,
            remedy="There is a view of that name; a dbt model may have made it. Give the asset "
            "another name or schema, or drop the view.",
        )
    if isinstance(error, duckdb.TransactionException) and "onflict" in seen:
        return Unavailable(
            what, seen=seen, remedy="Another thread changed the table at the same moment."
        )
    if any(sign in seen for sign in _NO_TIME):
        return InvalidInput(
            what,
            seen=seen,
            remedy="All is as it was. A text that tells partitions apart is no date or time. Say "
            "how to read it: partition_expr=\"strptime(column, '%Y-%m-%d-%H:%M')\".",
        )
    if isinstance(error, (duckdb.ConversionException, duckdb.OutOfRangeException)):
        return SchemaMismatch(
            what,
            seen=seen,
            remedy="All is as it was. A value does not fit its column: give the column a wider "
            "type (ALTER TABLE), or mend the value.",
        )
    if isinstance(error, duckdb.ConstraintException):
        return InvalidInput(
            what,
            seen=seen,
            remedy="All is as it was. Make the rows meet the table's constraints. DuckDB 1.1 also "
            "refuses a key that was there before: update it.",
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return WorkFailed(
            what,
            seen=seen,
            remedy="Raise memory_limit in connection_config, or pass the rows in batches: a "
            "pyarrow.RecordBatchReader.",
        )
    return WorkFailed(what, seen=seen)
