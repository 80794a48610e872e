"""Select assets in Dagster by an expression in dbt's language."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dagster
from dagster import (
    AssetCheckKey,
    AssetSelection,
    DefaultScheduleStatus,
    ScheduleDefinition,
    get_dagster_logger,
)

from dagweave.dbt import checks, keys
from dagweave.dbt.listing import selected_nodes
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.origin import Origin
from dagweave.dbt.select import EVERYTHING
from dagweave.dbt.translation import key_of
from dagweave.dbt.translator import DagsterDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    from dagster import AssetKey, AssetsDefinition, RunConfig

    from dagweave.dbt.manifest import ManifestSource
    from dagweave.dbt.project import DbtProject


@dataclass(frozen=True)
class DbtManifestAssetSelection(AssetSelection):
    """The assets and checks that are the nodes that an expression in dbt's language selects.

    Assets are found by the node that they are made of, whatever keys they have been given.

    Example:
        ```python
        nightly = DbtManifestAssetSelection.build(manifest=path, select="tag:nightly")
        job = define_asset_job("nightly", selection=nightly)
        ```
    """

    manifest: Manifest
    select: str = EVERYTHING
    dagster_dbt_translator: DagsterDbtTranslator = field(default_factory=DagsterDbtTranslator)
    exclude: str = ""
    selector: str = ""
    project: DbtProject | None = None

    @classmethod
    def build(
        cls,
        manifest: ManifestSource,
        select: str = EVERYTHING,
        *,
        dagster_dbt_translator: DagsterDbtTranslator | None = None,
        exclude: str = "",
        selector: str = "",
        project: DbtProject | None = None,
    ) -> DbtManifestAssetSelection:
        """Select from a manifest: its path, or its content."""
        return cls(
            Manifest.of(manifest),
            select,
            dagster_dbt_translator or DagsterDbtTranslator(),
            exclude,
            selector,
            project,
        )

    @cached_property
    def _ids(self) -> frozenset[str]:
        found = selected_nodes(
            self.manifest,
            self.project,
            select=self.select,
            exclude=self.exclude,
            selector=self.selector,
        )
        for sentence in found.unmatched:
            get_dagster_logger().warning(f"The dbt selection {sentence}")
        return found.ids

    def resolve_inner(self, asset_graph: Any, allow_missing: bool) -> Set[AssetKey]:  # noqa: FBT001
        """The keys of the selected assets."""
        del allow_missing
        made = self._made_from_it(asset_graph)
        if not made:
            assets = (id_ for id_ in self._ids if self.manifest.node(id_).is_asset)
            return {self._key(id_) for id_ in assets}
        return {
            spec.key
            for assets_def in made
            for spec in assets_def.specs
            if spec.metadata.get(keys.UNIQUE_ID) in self._ids
        }

    def resolve_checks_inner(self, asset_graph: Any, allow_missing: bool) -> Set[AssetCheckKey]:  # noqa: FBT001
        """The keys of the selected tests that are checks."""
        del allow_missing
        if not self.dagster_dbt_translator.settings.enable_asset_checks:
            return set()
        made = self._made_from_it(asset_graph)
        if not made:
            tested = ((id_, checks.tested_node(self.manifest, id_)) for id_ in self._tests)
            return {
                AssetCheckKey(self._key(node), checks.check_name(self.manifest.node(test)))
                for test, node in tested
                if node is not None
            }
        return {
            spec.key
            for assets_def in made
            for spec in assets_def.check_specs
            if (spec.metadata or {}).get(keys.UNIQUE_ID) in self._ids
        }

    @property
    def _tests(self) -> Iterable[str]:
        """The selected nodes without unit tests where those are no checks."""
        if self.dagster_dbt_translator.settings.enable_unit_tests_as_checks:
            return self._ids
        return self._ids.difference(self.manifest.ids("unit_tests"))

    def _key(self, unique_id: str) -> AssetKey:
        return key_of(self.dagster_dbt_translator, self.manifest, unique_id, self.project)

    def _made_from_it(self, asset_graph: Any) -> Sequence[AssetsDefinition]:
        """The definitions made from our manifest; those by our translator alone, if there are any.

        There are none where Dagster knows a code location only by what it was told of it.
        """
        defs: Sequence[AssetsDefinition] = getattr(asset_graph, "assets_defs", ())
        origins = [(each, Origin.of(each)) for each in defs]
        ours = [
            (each, origin)
            for each, origin in origins
            if origin and origin.manifest is self.manifest
        ]
        by_us = [each for each, origin in ours if origin.translator is self.dagster_dbt_translator]
        return by_us or [each for each, _ in ours]


def build_dbt_asset_selection(
    dbt_assets: Sequence[AssetsDefinition],
    dbt_select: str = EVERYTHING,
    dbt_exclude: str | None = "",
    dbt_selector: str | None = "",
) -> AssetSelection:
    """The assets and checks of one definition that an expression in dbt's language selects.

    A definition that was split is given by all its steps.

    Example:
        ```python
        nightly = build_dbt_asset_selection([my_dbt_assets], dbt_select="tag:nightly")
        job = define_asset_job("nightly", selection=nightly.downstream())
        ```
    """
    if len(dbt_assets) == 1 and not dbt_assets[0].keys and not list(dbt_assets[0].check_specs):
        # Of a definition whose own selection matches nothing, nothing can be selected.
        return AssetSelection.assets()
    origin = Origin.of_the_one(dbt_assets)
    tags = dbt_assets[0].op.tags

    def built(select: str, exclude: str | None, selector: str | None) -> AssetSelection:
        return DbtManifestAssetSelection(
            origin.manifest,
            select or EVERYTHING,
            origin.translator,
            exclude or "",
            selector or "",
            origin.project,
        )

    written = (tags.get(keys.SELECT, ""), tags.get(keys.EXCLUDE), tags.get(keys.SELECTOR))
    return built(*written) & built(dbt_select, dbt_exclude, dbt_selector)


def build_schedule_from_dbt_selection(
    dbt_assets: Sequence[AssetsDefinition],
    job_name: str,
    cron_schedule: str,
    dbt_select: str = EVERYTHING,
    dbt_exclude: str | None = "",
    dbt_selector: str = "",
    schedule_name: str | None = None,
    tags: Mapping[str, object] | None = None,
    config: RunConfig | None = None,
    execution_timezone: str | None = None,
    default_status: DefaultScheduleStatus = DefaultScheduleStatus.STOPPED,
) -> ScheduleDefinition:
    """A schedule, and a job for it, that materializes what an expression in dbt's language selects.

    It does not run until somebody turns it on, unless `default_status` says otherwise.
    """
    selection = build_dbt_asset_selection(dbt_assets, dbt_select, dbt_exclude, dbt_selector)
    return ScheduleDefinition(
        name=schedule_name,
        cron_schedule=cron_schedule,
        job=dagster.define_asset_job(job_name, selection=selection, config=config, tags=tags),
        execution_timezone=execution_timezone,
        default_status=default_status,
    )
