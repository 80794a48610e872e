"""A BigQuery resource as a component.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

from functools import cached_property

from dagster import Component, ComponentLoadContext, Definitions, Resolvable
from dagster.components import Model
from pydantic import Field

from dagweave.bigquery.resource import (
    BASE_URL,
    GCP_CREDENTIALS,
    LABELS,
    LOCATION,
    PROJECT,
    BigQueryResource,
)


class BigQueryResourceComponent(Component, Resolvable, Model):
    """A `BigQueryResource` for the assets of a project.

    Example:
        ```yaml
        type: dagweave.bigquery.BigQueryResourceComponent
        attributes:
          resource_key: bigquery
          project: my-project
          gcp_credentials: "{{ env.GCP_CREDENTIALS }}"
        ```
    """

    project: str | None = Field(default=None, description=PROJECT)
    location: str | None = Field(default=None, description=LOCATION)
    gcp_credentials: str | None = Field(default=None, repr=False, description=GCP_CREDENTIALS)
    base_url: str | None = Field(default=None, description=BASE_URL)
    labels: dict[str, str] = Field(default={}, description=LABELS)
    resource_key: str | None = Field(
        default=None, description="What the resource is called; without it, there is none."
    )

    @cached_property
    def resource(self) -> BigQueryResource:
        """The resource with these settings."""
        return BigQueryResource(
            project=self.project,
            location=self.location,
            gcp_credentials=self.gcp_credentials,
            base_url=self.base_url,
            labels=self.labels,
        )

    def build_defs(self, context: ComponentLoadContext) -> Definitions:  # noqa: ARG002
        """The resource, under its key."""
        if self.resource_key is None:
            return Definitions()
        return Definitions(resources={self.resource_key: self.resource})
