"""Airbyte connections as assets: synced from Dagster, or watched while Airbyte syncs them."""

from __future__ import annotations

from dagweave.airbyte.assets import airbyte_assets, build_airbyte_assets_definitions
from dagweave.airbyte.component import AirbyteWorkspaceComponent
from dagweave.airbyte.models import (
    AirbyteConnection,
    AirbyteConnectionTableProps,
    AirbyteDestination,
    AirbyteJobStatusType,
    AirbyteOutput,
)
from dagweave.airbyte.resource import (
    AirbyteCloudWorkspace,
    AirbyteSyncConfig,
    AirbyteWorkspace,
    load_airbyte_asset_specs,
    load_airbyte_cloud_asset_specs,
)
from dagweave.airbyte.sensors import build_airbyte_health_checks, build_airbyte_polling_sensor
from dagweave.airbyte.translator import AirbyteMetadataSet, DagsterAirbyteTranslator

__all__ = [
    "AirbyteCloudWorkspace",
    "AirbyteConnection",
    "AirbyteConnectionTableProps",
    "AirbyteDestination",
    "AirbyteJobStatusType",
    "AirbyteMetadataSet",
    "AirbyteOutput",
    "AirbyteSyncConfig",
    "AirbyteWorkspace",
    "AirbyteWorkspaceComponent",
    "DagsterAirbyteTranslator",
    "airbyte_assets",
    "build_airbyte_assets_definitions",
    "build_airbyte_health_checks",
    "build_airbyte_polling_sensor",
    "load_airbyte_asset_specs",
    "load_airbyte_cloud_asset_specs",
]
