"""Old official spellings, kept for those who still use them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dagster import InitResourceContext, resource

from dagweave.databricks.resource import DatabricksClientResource

if TYPE_CHECKING:
    from dagweave.databricks.client import DatabricksClient


@resource(config_schema=DatabricksClientResource.to_config_schema())
def databricks_client(context: InitResourceContext) -> DatabricksClient:
    """A client of a workspace, configured as a resource of old. Use `DatabricksClientResource`."""
    warnings.warn(
        "databricks_client is an old spelling: use DatabricksClientResource.",
        DeprecationWarning,
        stacklevel=2,
    )
    return DatabricksClientResource(**context.resource_config).get_client()
