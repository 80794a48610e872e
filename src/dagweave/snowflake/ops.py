"""Ops that execute SQL in Snowflake.

Without `from __future__ import annotations`: Dagster reads the annotations of the op.
"""

from collections.abc import Mapping
from typing import Any

from dagster import In, Nothing, OpDefinition, OpExecutionContext, op

from dagweave._dagster.failures import failures


def snowflake_op_for_query(sql: str, parameters: Mapping[str, Any] | None = None) -> OpDefinition:
    """Make an op that executes a query which is known when the job is defined.

    It needs the resource `snowflake`, and starts after what its input `start` is connected to.

    ```python
    from dagster import job
    from dagweave.snowflake import SnowflakeResource, snowflake_op_for_query

    vacuum = snowflake_op_for_query("DELETE FROM events WHERE day < DATEADD(year, -1, CURRENT_DATE)")

    @job
    def nightly():
        vacuum()
    ```

    Args:
        sql: The query, with placeholders such as `%(day)s`.
        parameters: The values for them, by name.
    """

    @op(
        name="snowflake_op",
        ins={"start": In(Nothing)},
        required_resource_keys={"snowflake"},
        tags={"kind": "sql", "sql": sql},
    )
    def snowflake_op(context: OpExecutionContext) -> None:
        with failures():
            context.resources.snowflake.execute_query(sql=sql, parameters=parameters)

    return snowflake_op
