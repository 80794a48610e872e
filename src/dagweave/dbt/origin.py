"""Where assets of dbt come from, as their own metadata says."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from dagweave._dagster.metadata import TABLE_NAME
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import defaults, keys
from dagweave.dbt.translation import DbtManifestWrapper, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import AssetKey, AssetsDefinition

    from dagweave.dbt.manifest import Manifest
    from dagweave.dbt.project import DbtProject
    from dagweave.dbt.translation import Step
    from dagweave.dbt.translator import DagsterDbtTranslator


@dataclass(frozen=True)
class Origin:
    """The manifest, the translator and the project that a definition was made with."""

    manifest: Manifest
    translator: DagsterDbtTranslator
    project: DbtProject | None
    step: Step | None = field(default=None, compare=False)
    """Which step of a split definition it is, if it is one."""

    @classmethod
    def of(cls, assets_def: AssetsDefinition) -> Origin | None:
        """None for a definition without an asset of dbt."""
        # A step may run tests alone.
        for spec in chain(assets_def.specs, assets_def.check_specs):
            about = spec.metadata or {}
            wrapper = about.get(keys.MANIFEST)
            if isinstance(wrapper, DbtManifestWrapper):
                translator, project = about[keys.TRANSLATOR], about.get(keys.PROJECT)
                return cls(wrapper.manifest, translator, project, wrapper.step)
        return None

    @classmethod
    def of_the_one(cls, dbt_assets: Sequence[AssetsDefinition]) -> Origin:
        """Where the one definition in a list comes from, or all the steps that it was split into.

        Raises:
            InvalidInput: There is not one, or it has no assets that `@dbt_assets` made.
        """
        origins: list[Origin] = []
        for assets_def in dbt_assets:
            origin = cls.of(assets_def)
            if origin is None:
                raise InvalidInput(
                    f"{assets_def} has no assets that @dbt_assets made.",
                    remedy="Give a definition of @dbt_assets whose selection matches something.",
                )
            origins.append(origin)
        first = origins[0] if origins else None
        if first is None or not all(first.is_one_with(other) for other in origins[1:]):
            raise InvalidInput(
                f"Give one definition of @dbt_assets, in a list; not {len(dbt_assets)}.",
                remedy="Of what split_dbt_assets returned, give all.",
            )
        return first

    def is_one_with(self, other: Origin) -> bool:
        """Whether both are steps of one definition."""
        return (
            self.step is not None
            and other.step is not None
            and self.step.definition == other.step.definition
            and self == other
        )

    def key(self, unique_id: str) -> AssetKey:
        """The key that the translator gave a node."""
        return key_of(self.translator, self.manifest, unique_id, self.project)

    def key_in(self, assets_defs: Sequence[AssetsDefinition], unique_id: str) -> AssetKey:
        """The key by which definitions know a node, their own or a source.

        It may have been changed since they were made: by a prefix, or by `weave`.
        """
        for assets_def in assets_defs:
            for spec in assets_def.specs:
                if spec.metadata.get(keys.UNIQUE_ID) == unique_id:
                    return spec.key
        return self.sources_in(assets_defs).get(unique_id) or self.key(unique_id)

    def sources_in(self, assets_defs: Sequence[AssetsDefinition]) -> Mapping[str, AssetKey]:
        """The nodes made elsewhere that definitions read, by the table that a dependency names.

        The table stays, whatever asset writes it.
        """
        by_table = {
            str(dep.metadata[TABLE_NAME]): dep.asset_key
            for assets_def in assets_defs
            for spec in assets_def.specs
            for dep in spec.deps
            if TABLE_NAME in dep.metadata
        }
        found: dict[str, AssetKey] = {}
        for source in self.manifest.ids("nodes", "sources"):
            if not self.manifest.node(source).is_made_elsewhere:
                continue
            table = defaults.table_of(self.manifest.node(source), self.manifest.adapter_type)
            if table and str(table) in by_table:
                found[source] = by_table[str(table)]
        return found
