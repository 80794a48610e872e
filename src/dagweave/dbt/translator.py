"""What users override to say what each node of dbt is in Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from dagweave.dbt import checks, defaults
from dagweave.dbt.manifest import Manifest, Node
from dagweave.dbt.translation import Translation, check_of, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import (
        AssetCheckSpec,
        AssetKey,
        AssetSpec,
        AutoMaterializePolicy,
        AutomationCondition,
        PartitionMapping,
        PartitionsDefinition,
    )

    from dagweave.dbt.project import DbtProject


@dataclass(frozen=True)
class DagsterDbtTranslatorSettings:
    """What of a dbt project Dagster should show.

    Args:
        enable_asset_checks: dbt tests are asset checks; else their results are observations.
        enable_duplicate_source_asset_keys: Several dbt sources may have the same asset key.
        enable_code_references: Assets link to the file that their model is in.
        enable_dbt_selection_by_name: A run of a part selects by name, not by fully qualified name.
        enable_source_tests_as_checks: Tests of sources are asset checks, too.
        enable_unit_tests_as_checks: Unit tests are asset checks, too. They run before their model
            is built: if one fails, the model is not.
        enable_source_metadata: A dependency on a source says which table it is, by which `weave`
            links it.
        enable_dbt_views_as_virtual_assets: Views are virtual assets.
    """

    enable_asset_checks: bool = True
    enable_duplicate_source_asset_keys: bool = False
    enable_code_references: bool = False
    enable_dbt_selection_by_name: bool = False
    enable_source_tests_as_checks: bool = False
    enable_source_metadata: bool = True
    enable_dbt_views_as_virtual_assets: bool = False
    enable_unit_tests_as_checks: bool = True


class DagsterDbtTranslator:
    """Says what each node of a dbt project is in Dagster. Override what should be otherwise.

    `get_asset_spec` says all of it; the other hooks a part each, from the plain dictionary of the
    node. They are called when definitions load; a run maps results back by what the assets carry.
    """

    def __init__(self, settings: DagsterDbtTranslatorSettings | None = None) -> None:
        self._settings = settings or DagsterDbtTranslatorSettings()

    @property
    def settings(self) -> DagsterDbtTranslatorSettings:
        """The settings given, or the default ones."""
        # A subclass need not call super().__init__().
        return getattr(self, "_settings", None) or DagsterDbtTranslatorSettings()

    @classmethod
    def overridden(cls) -> frozenset[str]:
        """The hooks of which a subclass says otherwise than we do, so that they have to be asked."""
        return frozenset() if cls is DagsterDbtTranslator else _overridden(cls)

    def get_resource_props(self, manifest: Mapping[str, Any], unique_id: str) -> Mapping[str, Any]:
        """The dictionary of a node, as the manifest has it."""
        return Manifest.of(manifest).props(unique_id)

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetSpec:
        """The asset of a node: model, seed, snapshot or source."""
        return Translation(self, Manifest.of(manifest), unique_id, project).spec()

    def get_asset_check_spec(
        self,
        asset_spec: AssetSpec,
        manifest: Mapping[str, Any],
        unique_id: str,
        project: DbtProject | None,
    ) -> AssetCheckSpec | None:
        """The check on `asset_spec` that a test is, if it is one."""
        if not self.settings.enable_asset_checks:
            return None
        whole = Manifest.of(manifest)
        is_unit_test = whole.node(unique_id).resource_type == "unit_test"
        if is_unit_test and not self.settings.enable_unit_tests_as_checks:
            return None
        target = checks.tested_node(whole, unique_id)
        if target is None or key_of(self, whole, target, project) != asset_spec.key:
            return None
        return check_of(self, whole, unique_id, target, asset_spec.key, project)

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        """The asset key of a node."""
        return defaults.asset_key(Node.of(dbt_resource_props))

    def get_partition_mapping(
        self,
        dbt_resource_props: Mapping[str, Any],
        dbt_parent_resource_props: Mapping[str, Any],
    ) -> PartitionMapping | None:
        """How the partitions of a node depend on those of its parent; `None` is Dagster's default."""
        del dbt_resource_props, dbt_parent_resource_props
        return None

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The description of a node, with its code."""
        return defaults.description(Node.of(dbt_resource_props))

    def get_metadata(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, Any]:
        """The metadata of a node: its table, its columns."""
        return defaults.metadata(Node.of(dbt_resource_props))

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """The tags of a node. Tags that Dagster refuses are left out."""
        return defaults.tags(Node.of(dbt_resource_props))

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The group of a node."""
        return defaults.group_name(Node.of(dbt_resource_props))

    def get_code_version(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """A value that changes when the node's code does."""
        return defaults.code_version(Node.of(dbt_resource_props))

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
        """The owners of a node. `group` is the whole dbt group here, with its owner."""
        node = Node.of(dbt_resource_props)
        return defaults.owners(node, node.group)

    def get_pool(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The pool of the step that builds a node, where `split_dbt_assets` made one for it.

        By default `meta.dagster.pool`; `None` is the pool of the whole definition, if it has one.
        """
        return defaults.pool(Node.of(dbt_resource_props))

    def get_auto_materialize_policy(
        self, dbt_resource_props: Mapping[str, Any]
    ) -> AutoMaterializePolicy | None:
        """Dagster's older way to say when a node is built by itself. `None` unless overridden."""
        del dbt_resource_props
        return None

    def get_automation_condition(
        self, dbt_resource_props: Mapping[str, Any]
    ) -> AutomationCondition[AssetKey] | None:
        """When Dagster builds a node by itself."""
        policy = self.get_auto_materialize_policy(dbt_resource_props)
        if policy is None:
            return None
        return cast("AutomationCondition[AssetKey]", policy.to_automation_condition())

    def get_partitions_def(
        self, dbt_resource_props: Mapping[str, Any]
    ) -> PartitionsDefinition[str] | None:
        """The partitions of a node, where they differ from those of the whole definition."""
        del dbt_resource_props
        return None


@cache
def _overridden(translator: type[DagsterDbtTranslator]) -> frozenset[str]:
    """The names that a class says otherwise. Who changes what hooks are given changes all of them."""
    stock = DagsterDbtTranslator
    names = [name for name in vars(stock) if name.startswith("get_")]
    changed = {name for name in names if getattr(translator, name) is not getattr(stock, name)}
    return frozenset(names if "get_resource_props" in changed else changed)
