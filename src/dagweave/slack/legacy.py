"""Old spellings of the official package, kept for those who come from it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dagster import resource

from dagweave.slack.resource import SlackResource

if TYPE_CHECKING:
    from dagster import InitResourceContext
    from slack_sdk import WebClient


@resource(config_schema=SlackResource.to_config_schema())
def slack_resource(context: InitResourceContext) -> WebClient:
    """Yields a `slack_sdk.WebClient`. Deprecated: use `SlackResource` and its `get_client()`."""
    warnings.warn(
        "slack_resource is deprecated; use SlackResource, whose get_client() returns the same.",
        DeprecationWarning,
        stacklevel=2,
    )
    return SlackResource.from_resource_context(context).get_client()
