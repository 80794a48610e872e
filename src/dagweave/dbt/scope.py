"""What of a definition of dbt assets one step runs.

Nodes are found by the identity that their assets carry, never by asking the translator again:
keys may have been changed since, by `weave` or by a prefix.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, cast

from dagweave._dagster.metadata import TABLE_NAME
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import defaults, keys
from dagweave.dbt.select import EVERYTHING, along_with, select
from dagweave.dbt.translation import DbtManifestWrapper, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagster import (
        AssetCheckKey,
        AssetExecutionContext,
        AssetKey,
        AssetsDefinition,
        OpExecutionContext,
    )

    from dagweave.dbt.arguments import Arguments
    from dagweave.dbt.manifest import Manifest, Node
    from dagweave.dbt.project import DbtProject
    from dagweave.dbt.select import Indirect
    from dagweave.dbt.translator import DagsterDbtTranslator

INDIRECT_SELECTION: Final = "DBT_INDIRECT_SELECTION"
_NOT_IN_A_NAME: Final = re.compile(r"[\s,:+@*?\[\]]")


@dataclass(frozen=True)
class Origin:
    """Where a definition comes from, as the metadata of its assets says."""

    manifest: Manifest
    translator: DagsterDbtTranslator
    project: DbtProject | None

    @classmethod
    def of(cls, assets_def: AssetsDefinition) -> Origin | None:
        """None for a definition that `@dbt_assets` did not make, or made without an asset."""
        for spec in assets_def.specs:
            wrapper = spec.metadata.get(keys.MANIFEST)
            if isinstance(wrapper, DbtManifestWrapper):
                about = spec.metadata
                return cls(wrapper.manifest, about[keys.TRANSLATOR], about.get(keys.PROJECT))
            break
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


@dataclass(frozen=True)
class Selection:
    """What to tell dbt to run."""

    arguments: list[str]
    indirect: Indirect | None = None


@dataclass(frozen=True, eq=False)
class Scope:
    """What one step runs of a definition of dbt assets."""

    context: OpExecutionContext | AssetExecutionContext = field(repr=False)
    assets_def: AssetsDefinition
    origin: Origin

    @classmethod
    def of(cls, context: OpExecutionContext | AssetExecutionContext | None) -> Scope | None:
        """None for a step that is not one of `@dbt_assets`."""
        if context is None or not getattr(context, "has_assets_def", False):
            return None
        assets_def = context.assets_def
        origin = Origin.of(assets_def)
        return cls(context, assets_def, origin) if origin else None

    @property
    def manifest(self) -> Manifest:
        """The manifest that the definition was made from."""
        return self.origin.manifest

    @property
    def translator(self) -> DagsterDbtTranslator:
        """The translator that the definition was made with."""
        return self.origin.translator

    @property
    def project(self) -> DbtProject | None:
        """The project that the definition names, if it does."""
        return self.origin.project

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """For each node that the step should build: the output that says so."""
        return {self._id_of(key): name for name, key in self.assets_def.keys_by_output_name.items()}

    @cached_property
    def checks(self) -> Mapping[str, AssetCheckKey]:
        """For each test whose result the step should report: the check that it is."""
        selected = set(self.context.selected_asset_check_keys)
        read = {
            dep.asset_key
            for key in self.context.selected_asset_keys
            for dep in self.assets_def.get_asset_spec(key).deps
        }
        # Checks of a source are run with what reads it, and cannot be selected with it.
        sources = read.difference(self.assets_def.node_keys_by_output_name.values())
        return {
            test: key
            for test, key in self._all_checks.items()
            if key in selected or key.asset_key in sources
        }

    @cached_property
    def _all_checks(self) -> Mapping[str, AssetCheckKey]:
        return {
            str((spec.metadata or {})[keys.UNIQUE_ID]): spec.key
            for spec in self.assets_def.node_check_specs_by_output_name.values()
        }

    @cached_property
    def _keys(self) -> Mapping[str, AssetKey]:
        return {str(spec.metadata[keys.UNIQUE_ID]): spec.key for spec in self.assets_def.specs}

    def _id_of(self, key: AssetKey) -> str:
        return str(self.assets_def.get_asset_spec(key).metadata[keys.UNIQUE_ID])

    def key(self, unique_id: str) -> AssetKey | None:
        """The key by which this definition knows a node, its own or a source; if it knows it."""
        return self._keys.get(unique_id) or self._source_keys.get(unique_id)

    @cached_property
    def _source_keys(self) -> Mapping[str, AssetKey]:
        """Sources by the table that a dependency names: that stays, whatever asset writes it."""
        by_table = {
            str(dep.metadata[TABLE_NAME]): dep.asset_key
            for spec in self.assets_def.specs
            for dep in spec.deps
            if TABLE_NAME in dep.metadata
        }
        found: dict[str, AssetKey] = {}
        for source in self.manifest.ids("sources"):
            table = defaults.table_of(self.manifest.node(source), self.manifest.adapter_type)
            if table and str(table) in by_table:
                found[source] = by_table[str(table)]
        return found

    def selection(self, said: Arguments) -> Selection:
        """What to tell dbt, so that it runs what the step should, and its tests with it.

        A whole definition is told as it was written, a part of it node by node. Tests come with
        the nodes they test, as `said` or the environment wants; those that should run and would
        not come so are named.

        Raises:
            InvalidInput: `said` has a selector, beside which dbt would not see a part.
        """
        mode = cast("Indirect", said.indirect or os.environ.get(INDIRECT_SELECTION) or "eager")
        written = {
            name: str(self.assets_def.op.tags.get(f"dagster_dbt/{name}") or "")
            for name in ("select", "exclude", "selector")
        }
        if self._is_whole:
            return self._whole(written, mode)
        if said.has_selector:
            raise InvalidInput(
                "--selector cannot run a part of a definition: dbt would run all that it selects.",
                remedy="Say it where the assets are defined: @dbt_assets(selector=...)",
            )
        return self._part(written["exclude"], mode)

    @property
    def _is_whole(self) -> bool:
        of = self.assets_def
        return (
            of.keys_by_output_name == of.node_keys_by_output_name
            and of.check_specs_by_output_name == of.node_check_specs_by_output_name
        )

    def _whole(self, written: Mapping[str, str], mode: Indirect) -> Selection:
        selector = written["selector"]
        if selector:
            return Selection(["--selector", selector])
        expression, exclude = written["select"] or EVERYTHING, written["exclude"]
        coming = select(self.manifest, select=expression, exclude=exclude, indirect=mode).ids
        named = self._named(sorted(self.checks.keys() - coming))
        return Selection(_arguments([*expression.split(), *named], exclude))

    def _part(self, exclude: str, mode: Indirect) -> Selection:
        assets = list(self.outputs)
        coming = along_with(self.manifest, self.outputs.keys(), mode)
        unwanted = coming & (self._all_checks.keys() - self.checks.keys())
        chosen = self.context.selected_asset_keys
        if any(self._all_checks[test].asset_key in chosen for test in unwanted):
            named = self._named([*assets, *self.checks])
            return Selection(_arguments(named, exclude), "empty")
        named = self._named([*assets, *sorted(self.checks.keys() - coming)])
        return Selection(_arguments(named, exclude))

    def _named(self, ids: Sequence[str]) -> list[str]:
        if self.translator.settings.enable_dbt_selection_by_name:
            return [_name(self.manifest.node(id_)) for id_ in ids]
        return [self._exactly(self.manifest.node(id_)) for id_ in ids]

    def _exactly(self, node: Node) -> str:
        """The node, and no other: by its name with all its folders."""
        dotted = ".".join(node.fqn or [node.name])
        text = "fqn:" + _NOT_IN_A_NAME.sub("?", dotted)
        # A model beside a folder of its own name would be taken for all that is in it.
        return f"{text},path:{node.original_file_path}" if dotted in self._folders else text

    @cached_property
    def _folders(self) -> frozenset[str]:
        return frozenset(_folders(self.manifest))


def _folders(manifest: Manifest) -> Iterator[str]:
    for unique_id in manifest.ids():
        fqn = manifest.node(unique_id).fqn or ()
        for end in range(1, len(fqn)):
            yield ".".join(fqn[:end])


def _name(node: Node) -> str:
    if node.resource_type == "test":
        return _NOT_IN_A_NAME.sub("?", node.name)
    return PurePosixPath(node.original_file_path).stem


def _arguments(selected: Sequence[str], exclude: str) -> list[str]:
    # One argument each: a single one may not be longer than 128 KiB.
    return ["--select", *selected, *(["--exclude", *exclude.split()] if exclude.strip() else [])]
