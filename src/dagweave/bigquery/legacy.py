"""Old spellings of the official package, kept for those who come from it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from dagster import Field, StringSource, resource

from dagweave.bigquery.resource import BigQueryResource

if TYPE_CHECKING:
    from collections.abc import Generator

    from dagster import InitResourceContext


_OPTIONAL = Field(StringSource, is_required=False)


@resource(
    config_schema={
        "project": _OPTIONAL,
        "location": _OPTIONAL,
        "gcp_credentials": _OPTIONAL,
        "base_url": _OPTIONAL,
    }
)
def bigquery_resource(context: InitResourceContext) -> Generator[Any]:
    """Yields Google's client. Deprecated: use `BigQueryResource`."""
    warnings.warn(
        "bigquery_resource is deprecated; use BigQueryResource, which gives the same in "
        "context.resources.",
        DeprecationWarning,
        stacklevel=2,
    )
    with BigQueryResource(**context.resource_config).get_client() as client:
        yield client
