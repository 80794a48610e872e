"""Run dbt projects in Dagster: one asset per model, one asset check per test."""

from __future__ import annotations

from dagweave.dbt.assets import (
    build_dbt_asset_specs,
    dbt_assets,
    get_asset_key_for_model,
    get_asset_key_for_source,
    get_asset_keys_by_output_name_for_source,
)
from dagweave.dbt.component import DbtProjectComponent
from dagweave.dbt.defaults import (
    default_group_from_dbt_resource_props,
    default_metadata_from_dbt_resource_props,
    group_from_dbt_resource_props_fallback_to_directory,
)
from dagweave.dbt.errors import DagsterDbtCliRuntimeError, DagsterDbtError
from dagweave.dbt.events import DbtCliEventMessage
from dagweave.dbt.exposures import build_dbt_exposure_specs
from dagweave.dbt.freshness import (
    build_dbt_source_freshness_checks,
    build_freshness_checks_from_dbt_assets,
)
from dagweave.dbt.invocation import DbtCliInvocation
from dagweave.dbt.iterator import DbtEventIterator
from dagweave.dbt.partitions import partition_args
from dagweave.dbt.prepare import DagsterDbtProjectPreparer, DbtProjectPreparer
from dagweave.dbt.project import DbtProject
from dagweave.dbt.resource import DbtCliResource
from dagweave.dbt.selection import (
    DbtManifestAssetSelection,
    build_dbt_asset_selection,
    build_schedule_from_dbt_selection,
)
from dagweave.dbt.steps import split_dbt_assets
from dagweave.dbt.translator import DagsterDbtTranslator, DagsterDbtTranslatorSettings

__all__ = [
    "DagsterDbtCliRuntimeError",
    "DagsterDbtError",
    "DagsterDbtProjectPreparer",
    "DagsterDbtTranslator",
    "DagsterDbtTranslatorSettings",
    "DbtCliEventMessage",
    "DbtCliInvocation",
    "DbtCliResource",
    "DbtEventIterator",
    "DbtManifestAssetSelection",
    "DbtProject",
    "DbtProjectComponent",
    "DbtProjectPreparer",
    "build_dbt_asset_selection",
    "build_dbt_asset_specs",
    "build_dbt_exposure_specs",
    "build_dbt_source_freshness_checks",
    "build_freshness_checks_from_dbt_assets",
    "build_schedule_from_dbt_selection",
    "dbt_assets",
    "default_group_from_dbt_resource_props",
    "default_metadata_from_dbt_resource_props",
    "get_asset_key_for_model",
    "get_asset_key_for_source",
    "get_asset_keys_by_output_name_for_source",
    "group_from_dbt_resource_props_fallback_to_directory",
    "partition_args",
    "split_dbt_assets",
]
