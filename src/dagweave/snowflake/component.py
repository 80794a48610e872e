"""A connection to Snowflake as a component, for components that execute SQL.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from dagster import Component, ComponentLoadContext, Definitions, Resolvable
from dagster.components import Model
from dagster.components.lib.sql_component.sql_client import SQLClient
from pydantic import create_model

from dagweave._dagster.failures import failures
from dagweave.snowflake.resource import SnowflakeResource


class _SnowflakeConnection(Component, Resolvable, Model, SQLClient):
    """A connection to Snowflake, for the SQL of other components.

    Its settings are those of `SnowflakeResource`.

    Example:
        ```yaml
        type: dagweave.snowflake.SnowflakeConnectionComponent
        attributes:
          account: "{{ env.SNOWFLAKE_ACCOUNT }}"
          user: "{{ env.SNOWFLAKE_USER }}"
          private_key: "{{ env.SNOWFLAKE_PRIVATE_KEY }}"
          database: ANALYTICS
        ```
    """

    @cached_property
    def resource(self) -> SnowflakeResource:
        """The resource with these settings.

        Raises:
            InvalidInput: There is no way to log in among them, or more than one.
        """
        given = {
            field.alias or name: getattr(self, name)
            for name, field in type(self).model_fields.items()
        }
        return SnowflakeResource(**given)

    def connect_and_execute(self, sql: str) -> None:
        """Execute one statement, and commit."""
        with failures():
            self.resource.connect_and_execute(sql)

    def build_defs(self, context: ComponentLoadContext) -> Definitions:  # noqa: ARG002
        """No definitions: it is there to be named by others."""
        return Definitions()


_FIELDS: dict[str, Any] = {
    name: (field.annotation, field) for name, field in SnowflakeResource.model_fields.items()
}

if TYPE_CHECKING:

    class SnowflakeConnectionComponent(_SnowflakeConnection):
        """A connection to Snowflake, for the SQL of other components."""

else:
    SnowflakeConnectionComponent = create_model(
        "SnowflakeConnectionComponent",
        __base__=_SnowflakeConnection,
        __module__=__name__,
        __doc__=_SnowflakeConnection.__doc__,
        **_FIELDS,
    )
