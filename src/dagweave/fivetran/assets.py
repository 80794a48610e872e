"""Make assets of the tables of Fivetran connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagweave.connector.assets import assets_of_connection, assets_of_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagster import AssetsDefinition

    from dagweave.fivetran.models import ConnectorSelectorFn
    from dagweave.fivetran.resource import FivetranWorkspace
    from dagweave.fivetran.translator import DagsterFivetranTranslator


def fivetran_assets(
    *,
    connector_id: str,
    workspace: FivetranWorkspace,
    name: str | None = None,
    group_name: str | None = None,
    dagster_fivetran_translator: DagsterFivetranTranslator | None = None,
    connector_selector_fn: ConnectorSelectorFn | None = None,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Make a function that syncs a connection the definition of its tables: one asset per table.

    Any of them may be selected; Fivetran syncs the connection as a whole, and all are reported.

    Args:
        connector_id: The id of the connection.
        name: The name of the op; by default the function's.
        group_name: Of all assets, if the translator sets none.

    Raises:
        InvalidInput: There is no such connection (names the nearest), the translator gives two
            tables one key, or sets a group beside `group_name`.

    Example:
        ```python
        @fivetran_assets(connector_id="shop_id", workspace=fivetran_workspace)
        def shop(context: AssetExecutionContext, fivetran: FivetranWorkspace):
            yield from fivetran.sync_and_poll(context)
        ```
    """
    return assets_of_connection(
        workspace,
        connector_id,
        name=name,
        group_name=group_name,
        translator=dagster_fivetran_translator,
        selector=connector_selector_fn,
    )


def build_fivetran_assets_definitions(
    *,
    workspace: FivetranWorkspace,
    dagster_fivetran_translator: DagsterFivetranTranslator | None = None,
    connector_selector_fn: ConnectorSelectorFn | None = None,
) -> Sequence[AssetsDefinition]:
    """A definition per connection of the account, called `fivetran_<connection>`.

    They are run by the resource `fivetran`. Connections that are broken or paused are there, too.

    Raises:
        InvalidInput: as in `fivetran_assets`.
    """
    return assets_of_workspace(
        workspace, translator=dagster_fivetran_translator, selector=connector_selector_fn
    )
