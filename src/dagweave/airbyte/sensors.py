"""Watch the syncs that Airbyte runs on its own schedule, and whether connections are well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagweave.airbyte.service import COMPLETED_AT
from dagweave.airbyte.translator import place_of
from dagweave.connector.health import build_health_checks
from dagweave.connector.sensor import build_polling_sensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from dagster import AssetChecksDefinition, DefaultSensorStatus, SensorDefinition

    from dagweave.airbyte.models import ConnectionSelectorFn
    from dagweave.airbyte.resource import AirbyteCloudWorkspace, AirbyteWorkspace
    from dagweave.airbyte.translator import DagsterAirbyteTranslator
    from dagweave.connector.model import Condition, SyncedTable


def build_airbyte_polling_sensor(
    *,
    workspace: AirbyteWorkspace | AirbyteCloudWorkspace,
    dagster_airbyte_translator: DagsterAirbyteTranslator | None = None,
    connection_selector_fn: ConnectionSelectorFn | None = None,
    minimum_interval_seconds: int = 30,
    default_sensor_status: DefaultSensorStatus | None = None,
    name: str | None = None,
) -> SensorDefinition:
    """A sensor that reports syncs which Airbyte ran by itself as materializations.

    It asks for the latest jobs once per tick, back to two days. A sync that a run recorded is
    passed over; one that failed is reported as an observation of its tables.

    Args:
        default_sensor_status: Running, unless said otherwise.
        name: By default `airbyte_<workspace>__sync_status_sensor`.

    Example:
        ```python
        defs = Definitions(
            assets=load_airbyte_asset_specs(airbyte_workspace),
            sensors=[build_airbyte_polling_sensor(workspace=airbyte_workspace)],
        )
        ```
    """
    return build_polling_sensor(
        workspace,
        translator=dagster_airbyte_translator,
        selector=connection_selector_fn,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_sensor_status,
        name=name or f"airbyte_{workspace.resolved().account}__sync_status_sensor",
        completed_at_key=COMPLETED_AT,
        metadata_of=_metadata,
    )


def build_airbyte_health_checks(
    *,
    workspace: AirbyteWorkspace | AirbyteCloudWorkspace,
    dagster_airbyte_translator: DagsterAirbyteTranslator | None = None,
    connection_selector_fn: ConnectionSelectorFn | None = None,
) -> Sequence[AssetChecksDefinition]:
    """A check per connection: whether it is active, and its last sync of two days went well.

    It is a check of the first stream of the connection; a list of connections and one of jobs
    answer all that run together.
    """
    return build_health_checks(
        workspace, translator=dagster_airbyte_translator, selector=connection_selector_fn
    )


def _metadata(table: SyncedTable, condition: Condition) -> Mapping[str, Any]:
    return {**place_of(table.props), **condition.facts}
