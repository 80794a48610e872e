"""Old spellings of the official package, kept for those who come from it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dagster import resource

from dagweave._dagster.private import LazyConfigSchema
from dagweave.snowflake.resource import SnowflakeResource

if TYPE_CHECKING:
    from dagster import InitResourceContext

    from dagweave.snowflake.connection import SnowflakeConnection


@resource(config_schema=LazyConfigSchema(SnowflakeResource.to_config_schema))
def snowflake_resource(context: InitResourceContext) -> SnowflakeConnection:
    """Yields a `SnowflakeConnection`. Deprecated: use `SnowflakeResource`."""
    warnings.warn(
        "snowflake_resource is deprecated; use SnowflakeResource, which gives the same in "
        "context.resources.",
        DeprecationWarning,
        stacklevel=2,
    )
    return SnowflakeResource.from_resource_context(context).get_object_to_set_on_execution_context()
