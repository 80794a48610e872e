"""Where assets of dbt come from, as their own metadata says."""

from __future__ import annotations

from dataclasses import dataclass
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
    from dagweave.dbt.translator import DagsterDbtTranslator


@dataclass(frozen=True)
class Origin:
    """The manifest, the translator and the project that a definition was made with."""

    manifest: Manifest
    translator: DagsterDbtTranslator
    project: DbtProject | None

    @classmethod
    def of(cls, assets_def: AssetsDefinition) -> Origin | None:
        """None for a definition without an asset of dbt."""
        for spec in assets_def.specs:
            about = spec.metadata
            wrapper = about.get(keys.MANIFEST)
            if isinstance(wrapper, DbtManifestWrapper):
                return cls(wrapper.manifest, about[keys.TRANSLATOR], about.get(keys.PROJECT))
        return None

    @classmethod
    def of_the_one(cls, dbt_assets: Sequence[AssetsDefinition]) -> Origin:
        """Where the one definition in a list comes from.

        Raises:
            InvalidInput: There is not one, or it has no assets that `@dbt_assets` made.
        """
        if len(dbt_assets) != 1:
            raise InvalidInput(
                f"Give one definition of @dbt_assets, in a list; not {len(dbt_assets)}."
            )
        origin = cls.of(dbt_assets[0])
        if origin is None:
            raise InvalidInput(
                f"{dbt_assets[0]} has no assets that @dbt_assets made.",
                remedy="Give a definition of @dbt_assets whose selection matches something.",
            )
        return origin

    def key(self, unique_id: str) -> AssetKey:
        """The key that the translator gave a node."""
        return key_of(self.translator, self.manifest, unique_id, self.project)

    def key_in(self, assets_def: AssetsDefinition, unique_id: str) -> AssetKey:
        """The key by which a definition knows a node, its own or a source.

        It may have been changed since the definition was made: by a prefix, or by `weave`.
        """
        for spec in assets_def.specs:
            if spec.metadata.get(keys.UNIQUE_ID) == unique_id:
                return spec.key
        return self.sources_in(assets_def).get(unique_id) or self.key(unique_id)

    def sources_in(self, assets_def: AssetsDefinition) -> Mapping[str, AssetKey]:
        """The nodes made elsewhere that a definition reads, by the table that a dependency names.

        The table stays, whatever asset writes it.
        """
        by_table = {
            str(dep.metadata[TABLE_NAME]): dep.asset_key
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
