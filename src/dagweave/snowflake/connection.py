"""What `context.resources.snowflake` is: a connection to Snowflake that executes queries."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.redact import redact
from dagweave.snowflake.connections import secrets_of
from dagweave.snowflake.dialect import SNOWFLAKE
from dagweave.snowflake.failures import translated

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from logging import Logger


class _Resource(Protocol):
    def get_connection(self, raw_conn: bool = ...) -> AbstractContextManager[Any]: ...  # noqa: FBT001


class SnowflakeConnection:
    """Executes queries, each call over a connection of its own, committed at its end.

    Ops and assets that name the resource by its key have it as `context.resources.snowflake`:

    ```python
    from dagster import op

    @op(required_resource_keys={"snowflake"})
    def count(context):
        [(number,)] = context.resources.snowflake.execute_query(
            "SELECT COUNT(*) FROM orders", fetch_results=True
        )
        return number
    ```
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        log: Logger,
        snowflake_connection_resource: _Resource,
    ) -> None:
        self.snowflake_connection_resource = snowflake_connection_resource
        self.log = log
        self._secrets = secrets_of(config)

    @contextmanager
    def get_connection(self, raw_conn: bool = True) -> Generator[Any]:  # noqa: FBT001, FBT002
        """A connection of one's own: `SnowflakeResource.get_connection`."""
        with self.snowflake_connection_resource.get_connection(raw_conn=raw_conn) as connection:
            yield connection

    def execute_query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[Any, Any] | None = None,
        fetch_results: bool = False,  # noqa: FBT001, FBT002
        use_pandas_result: bool = False,  # noqa: FBT001, FBT002
    ) -> Any:
        """Execute one statement, and return its rows if `fetch_results`.

        Args:
            sql: The statement, with placeholders as `paramstyle` says: `%s` or `%(name)s` by default.
            parameters: The values for them.
            fetch_results: Whether to return the rows, as a list of tuples.
            use_pandas_result: Whether to return them as a pandas frame.

        Raises:
            DagweaveError: Why it failed, by kind: see `dagweave._kernel.errors`.
        """
        results = self.execute_queries([sql], parameters, fetch_results, use_pandas_result)
        return results[0] if results else None

    def execute_queries(
        self,
        sql_queries: Sequence[str],
        parameters: Sequence[Any] | Mapping[Any, Any] | None = None,
        fetch_results: bool = False,  # noqa: FBT001, FBT002
        use_pandas_result: bool = False,  # noqa: FBT001, FBT002
    ) -> list[Any] | None:
        """Execute statements one after the other over one connection.

        Returns:
            The rows of each if `fetch_results`, as for `execute_query`; otherwise `None`.

        Raises:
            DagweaveError: Why one failed; those after it were not executed.
        """
        if use_pandas_result and not fetch_results:
            raise InvalidInput(
                "use_pandas_result was given without fetch_results.",
                remedy="Give fetch_results=True, too.",
            )
        results: list[Any] = []
        with (
            translated("A query of Snowflake failed.", self._secrets),
            self.get_connection() as connection,
            closing(connection.cursor()) as cursor,
        ):
            for sql in sql_queries:
                self.log.info(redact(f"Executing query: {sql}", self._secrets))
                cursor.execute(sql, parameters)
                if use_pandas_result:
                    results.append(cursor.fetch_pandas_all())
                elif fetch_results:
                    results.append(cursor.fetchall())
        return results or None

    def load_table_from_local_parquet(self, src: str, table: str) -> None:
        """Replace `table` by one column, `DATA`, that holds each row of a Parquet file as a VARIANT.

        Args:
            src: The file; a `file://` before its path is allowed.
            table: The table's name, as SQL writes it: `orders`, `raw.orders`.
        """
        path = Path(src.removeprefix("file://")).absolute()
        self.execute_queries(
            [
                f"CREATE OR REPLACE TABLE {table} (data VARIANT DEFAULT NULL)",
                f"PUT {SNOWFLAKE.literal(f'file://{path}')} {_stage_of(table)} OVERWRITE = TRUE",
                f"COPY INTO {table} FROM {_stage_of(table)} FILE_FORMAT = (TYPE = PARQUET)",
            ]
        )


def _stage_of(table: str) -> str:
    """The stage that a table has: https://docs.snowflake.com/en/user-guide/data-load-local-file-system-create-stage."""
    schema, dot, name = table.rpartition(".")
    return f"@{schema}{dot}%{name}"
