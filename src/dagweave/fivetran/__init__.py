"""Fivetran connections as assets: synced from Dagster, or watched while Fivetran syncs them."""

from __future__ import annotations

from dagweave.fivetran.assets import build_fivetran_assets_definitions, fivetran_assets
from dagweave.fivetran.component import FivetranAccountComponent
from dagweave.fivetran.models import (
    ConnectorSelectorFn,
    FivetranConnector,
    FivetranConnectorTableProps,
    FivetranDestination,
    FivetranOutput,
)
from dagweave.fivetran.resource import (
    FivetranSyncConfig,
    FivetranWorkspace,
    load_fivetran_asset_specs,
)
from dagweave.fivetran.sensors import build_fivetran_health_checks, build_fivetran_polling_sensor
from dagweave.fivetran.translator import DagsterFivetranTranslator, FivetranMetadataSet

__all__ = [
    "ConnectorSelectorFn",
    "DagsterFivetranTranslator",
    "FivetranAccountComponent",
    "FivetranConnector",
    "FivetranConnectorTableProps",
    "FivetranDestination",
    "FivetranMetadataSet",
    "FivetranOutput",
    "FivetranSyncConfig",
    "FivetranWorkspace",
    "build_fivetran_assets_definitions",
    "build_fivetran_health_checks",
    "build_fivetran_polling_sensor",
    "fivetran_assets",
    "load_fivetran_asset_specs",
]
