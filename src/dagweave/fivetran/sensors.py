"""Watch the syncs that Fivetran runs on its own schedule, and whether connections are well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagweave.connector.health import build_health_checks
from dagweave.connector.sensor import build_polling_sensor
from dagweave.fivetran.translator import place_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from dagster import AssetChecksDefinition, DefaultSensorStatus, SensorDefinition

    from dagweave.connector.model import Condition, SyncedTable
    from dagweave.fivetran.models import ConnectorSelectorFn
    from dagweave.fivetran.resource import FivetranWorkspace
    from dagweave.fivetran.translator import DagsterFivetranTranslator


def build_fivetran_polling_sensor(
    *,
    workspace: FivetranWorkspace,
    dagster_fivetran_translator: DagsterFivetranTranslator | None = None,
    connector_selector_fn: ConnectorSelectorFn | None = None,
    minimum_interval_seconds: int = 30,
    default_sensor_status: DefaultSensorStatus | None = None,
    name: str | None = None,
) -> SensorDefinition:
    """A sensor that reports syncs which Fivetran ran by itself as materializations.

    It asks once per tick. A sync that a run recorded is passed over; one that failed is reported
    as an observation of its tables.

    Args:
        default_sensor_status: Running, unless said otherwise.
        name: By default `fivetran_<account>__sync_status_sensor`.

    Example:
        ```python
        defs = Definitions(
            assets=load_fivetran_asset_specs(fivetran_workspace),
            sensors=[build_fivetran_polling_sensor(workspace=fivetran_workspace)],
        )
        ```
    """
    return build_polling_sensor(
        workspace,
        translator=dagster_fivetran_translator,
        selector=connector_selector_fn,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_sensor_status,
        name=name or f"fivetran_{workspace.resolved().account}__sync_status_sensor",
        completed_at_key="dagster-fivetran/sync_completed_at",
        metadata_of=_metadata,
    )


def build_fivetran_health_checks(
    *,
    workspace: FivetranWorkspace,
    dagster_fivetran_translator: DagsterFivetranTranslator | None = None,
    connector_selector_fn: ConnectorSelectorFn | None = None,
) -> Sequence[AssetChecksDefinition]:
    """A check per connection: whether it is set up, not paused, and its last sync went well.

    It is a check of the first table of the connection; one request answers all that run together.
    """
    return build_health_checks(
        workspace, translator=dagster_fivetran_translator, selector=connector_selector_fn
    )


def _metadata(table: SyncedTable, condition: Condition) -> Mapping[str, Any]:
    del condition
    return place_of(table.props)
