"""The DuckDB resource: a connection for code of one's own."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource, get_dagster_logger
from pydantic import Field

from dagweave._kernel.redact import redact
from dagweave.duckdb.connections import DEFAULT_LOCK_TIMEOUT_S, Database, Patience, database_at

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from duckdb import DuckDBPyConnection

DATABASE = (
    "Path to the DuckDB file; ':memory:' for a database that lives as long as the run in this "
    "process, ':memory:name' for one that lives as long as the process; 'md:name' for MotherDuck. "
    "A relative path is relative to where the process was when the resource was made."
)
CONNECTION_CONFIG = (
    "Settings of the connection: https://duckdb.org/docs/stable/configuration/overview. "
    "access_mode=READ_ONLY opens a file for reading only."
)
LOCK_TIMEOUT_S = "Longest wait, in seconds, for a file that another process has open. The error names the process."


class DuckDBResource(ConfigurableResource[Any]):
    """Connects to a DuckDB database.

    ```python
    import dagster as dg
    from dagweave.duckdb import DuckDBResource

    @dg.asset
    def orders(duckdb: DuckDBResource) -> None:
        with duckdb.get_connection() as connection:
            connection.execute("CREATE OR REPLACE TABLE orders AS SELECT 1 AS id")

    defs = dg.Definitions(assets=[orders], resources={"duckdb": DuckDBResource(database="dev.duckdb")})
    ```
    """

    database: str = Field(description=DATABASE)
    connection_config: dict[str, Any] = Field(default={}, description=CONNECTION_CONFIG)
    lock_timeout_s: float = Field(default=DEFAULT_LOCK_TIMEOUT_S, description=LOCK_TIMEOUT_S)

    @contextmanager
    def get_connection(self) -> Generator[DuckDBPyConnection]:
        """A connection of one's own, closed when the context ends, whatever happens.

        Connections of one process to one file share it, so several may be open at a time. Other
        processes wait until the last is closed.

        Raises:
            WaitTimeout: The file stayed locked for `lock_timeout_s`; names the process.
            Refused: The file may not be opened, or is no DuckDB database.
            InvalidInput: The folder of the file does not exist.
            MissingExtra: DuckDB is not installed.
        """
        patience = patience_of(self.lock_timeout_s)
        with self._database.connection(
            self.connection_config, write=True, patience=patience
        ) as connection:
            yield connection

    @cached_property
    def _database(self) -> Database:
        return database_at(self.database)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What `repr` shows: no setting's value, and no token in a path."""
        return harmless_repr(super().__repr_args__())


def patience_of(timeout_s: float) -> Patience:
    """Wait for locks so long, and say in the step's log if it takes a while."""
    return Patience(timeout_s, tell=get_dagster_logger("dagweave.duckdb").warning)


def harmless_repr(
    arguments: Iterable[tuple[str | None, Any]],
) -> Iterable[tuple[str | None, Any]]:
    """The arguments of a `repr`, with the names of settings in place of their values."""
    for name, value in arguments:
        if name == "connection_config":
            settings: Mapping[str, Any] = value
            yield name, sorted(settings)
        elif isinstance(value, str):
            yield name, redact(value)
        else:
            yield name, value
