"""Bring a stream into Snowflake: Parquet files into the stage of a temporary table, then COPY.

What is on disk at a time is one file. A temporary table needs no privilege of its own, and ends
with the session if the process is killed.
"""

from __future__ import annotations

import secrets
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import DagweaveError, WorkFailed
from dagweave.snowflake.dialect import SNOWFLAKE
from dagweave.snowflake.failures import connector
from dagweave.snowflake.types import spelt
from dagweave.warehouse.arrow import pyarrow

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from dagweave.warehouse.arrow import Schema, Stream
    from dagweave.weaving.table_ref import TableRef

# https://docs.snowflake.com/en/user-guide/data-load-considerations-prepare recommends 100 to 250 MB
# compressed; Parquet takes a half to a third of Arrow.
_FILE_BYTES: Final = 256_000_000

_FORMAT: Final = "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE)"


@contextmanager
def staged(stream: Stream, table: TableRef, run: Callable[[str], Any]) -> Generator[str]:
    """The rows of a stream as a query in brackets, until the context ends.

    Args:
        table: Beside which the rows lie meanwhile.
        run: Runs a statement.
    """
    where = replace(table, name=f"DAGWEAVE_ROWS_{secrets.token_hex(6).upper()}")
    target = SNOWFLAKE.table(where)
    # Names of our own: no file format knows dots and quotes in a name.
    names = [f"C{at}" for at, _ in enumerate(stream.schema.names)]
    columns = ", ".join(f"{c} {spelt(f)}" for c, f in zip(names, stream.schema, strict=True))
    run(f"CREATE TEMPORARY TABLE {target} ({columns})")
    try:
        stage = target.removesuffix(f".{SNOWFLAKE.quote(where.name)}") + f".%{where.name}"
        if _put(stream, names, stage, run):
            run(
                f"COPY INTO {target} FROM @{stage} {_FORMAT} MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"
            )
        called = ", ".join(
            f"{c} AS {SNOWFLAKE.quote(name)}"
            for c, name in zip(names, stream.schema.names, strict=True)
        )
        yield f"(SELECT {called} FROM {target}) AS staged"  # noqa: S608 -- quoted
    finally:
        _dropped(target, run)


def _dropped(target: str, run: Callable[[str], Any]) -> None:
    try:
        run(f"DROP TABLE IF EXISTS {target}")
    except connector("A Snowflake table").Error:
        # The session is lost, and with it the table; whatever lost it has been told.
        return


def _put(stream: Stream, names: list[str], stage: str, run: Callable[[str], Any]) -> int:
    """Upload the rows; return how many files that took."""
    pa = pyarrow()
    schema = pa.schema([(n, f.type) for n, f in zip(names, stream.schema, strict=True)])
    batches = _Batches(iter(stream))
    count = 0
    with tempfile.TemporaryDirectory(prefix="dagweave-") as folder:
        while (first := batches.next()) is not None:
            path = Path(folder) / f"{count}.parquet"
            _write(path, schema, first, batches)
            at = SNOWFLAKE.literal(f"file://{path}")
            run(f"PUT {at} @{stage} AUTO_COMPRESS = FALSE OVERWRITE = TRUE")
            path.unlink()
            count += 1
    return count


def _write(path: Path, schema: Schema, first: Any, batches: _Batches) -> None:
    """Write batches to one file until it is large enough, or there are no more."""
    from pyarrow import parquet

    of: Any = parquet
    size = 0
    with of.ParquetWriter(path, schema) as writer:
        batch = first
        while batch is not None:
            writer.write_batch(batch.rename_columns(schema.names))
            size += batch.nbytes
            batch = batches.next() if size < _FILE_BYTES else None


@dataclass(slots=True)
class _Batches:
    """The batches of a user's stream that have rows."""

    left: Iterator[Any]

    def next(self) -> Any:
        """The next one; `None` after the last.

        Raises:
            WorkFailed: The stream broke off.
        """
        try:
            return next((batch for batch in self.left if batch.num_rows), None)
        except DagweaveError:
            raise
        except Exception as error:  # whatever the user's stream raises
            raise WorkFailed(
                "The rows could not be read to their end.",
                seen=f"{type(error).__name__}: {error}",
                remedy="All is as it was. Mend what produces them.",
            ) from error
