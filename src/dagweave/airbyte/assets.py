"""Make assets of the streams of Airbyte connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagweave.connector.assets import assets_of_connection, assets_of_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagster import AssetsDefinition

    from dagweave.airbyte.models import ConnectionSelectorFn
    from dagweave.airbyte.resource import AirbyteCloudWorkspace, AirbyteWorkspace
    from dagweave.airbyte.translator import DagsterAirbyteTranslator


def airbyte_assets(
    *,
    connection_id: str,
    workspace: AirbyteWorkspace | AirbyteCloudWorkspace,
    name: str | None = None,
    group_name: str | None = None,
    dagster_airbyte_translator: DagsterAirbyteTranslator | None = None,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Make a function that syncs a connection the definition of its streams: one asset per stream.

    Any of them may be selected; Airbyte syncs the connection as a whole, and all are reported.

    Args:
        connection_id: The id of the connection.
        name: The name of the op; by default the function's.
        group_name: Of all assets, if the translator sets none.

    Raises:
        InvalidInput: There is no such connection (names the nearest), the translator gives two
            streams one key, or sets a group beside `group_name`.

    Example:
        ```python
        @airbyte_assets(connection_id="...", workspace=airbyte_workspace)
        def shop(context: AssetExecutionContext, airbyte: AirbyteWorkspace):
            yield from airbyte.sync_and_poll(context)
        ```
    """
    return assets_of_connection(
        workspace,
        connection_id,
        name=name,
        group_name=group_name,
        translator=dagster_airbyte_translator,
    )


def build_airbyte_assets_definitions(
    *,
    workspace: AirbyteWorkspace | AirbyteCloudWorkspace,
    dagster_airbyte_translator: DagsterAirbyteTranslator | None = None,
    connection_selector_fn: ConnectionSelectorFn | None = None,
) -> Sequence[AssetsDefinition]:
    """A definition per connection of the workspace, called `airbyte_<connection>`.

    They are run by the resource `airbyte`. Connections that are inactive are there, too.

    Raises:
        InvalidInput: as in `airbyte_assets`.
    """
    return assets_of_workspace(
        workspace, translator=dagster_airbyte_translator, selector=connection_selector_fn
    )
