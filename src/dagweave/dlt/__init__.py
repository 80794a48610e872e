"""dlt sources as Dagster assets: one per resource, loaded together, woven by table.

Importing this imports no dlt.
"""

from __future__ import annotations

from dagweave.dlt.assets import build_dlt_asset_specs, dlt_assets
from dagweave.dlt.component import DltLoadCollectionComponent
from dagweave.dlt.events import DltEventIterator
from dagweave.dlt.resource import DagsterDltResource
from dagweave.dlt.translator import (
    DagsterDltTranslator,
    DltResourceTranslatorData,
    OfficialKeysDltTranslator,
)

__all__ = [
    "DagsterDltResource",
    "DagsterDltTranslator",
    "DltEventIterator",
    "DltLoadCollectionComponent",
    "DltResourceTranslatorData",
    "OfficialKeysDltTranslator",
    "build_dlt_asset_specs",
    "dlt_assets",
]
