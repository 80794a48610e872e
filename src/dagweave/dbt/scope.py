"""What of a definition of dbt assets one step runs.

Nodes are found by the identity that their assets carry, never by asking the translator again:
keys may have been changed since, by `weave` or by a prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from dagweave.dbt import checks, keys
from dagweave.dbt.origin import Origin
from dagweave.dbt.retry import Done, Earlier

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from dagster import (
        AssetCheckKey,
        AssetExecutionContext,
        AssetKey,
        AssetsDefinition,
        OpExecutionContext,
    )

    from dagweave.dbt.manifest import Manifest
    from dagweave.dbt.project import DbtProject
    from dagweave.dbt.translation import Step
    from dagweave.dbt.translator import DagsterDbtTranslator


@dataclass(frozen=True, eq=False)
class Scope:
    """What one step runs of a definition of dbt assets."""

    context: OpExecutionContext | AssetExecutionContext = field(repr=False)
    assets_def: AssetsDefinition
    origin: Origin
    takes_up: bool = False
    """Whether a retry does only what earlier attempts left."""

    @classmethod
    def of(
        cls,
        context: OpExecutionContext | AssetExecutionContext | None,
        *,
        takes_up: bool = False,
    ) -> Scope | None:
        """None for a step without an asset of dbt."""
        if context is None or not getattr(context, "has_assets_def", False):
            return None
        assets_def = context.assets_def
        origin = Origin.of(assets_def)
        return cls(context, assets_def, origin, takes_up) if origin else None

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

    @property
    def step(self) -> Step | None:
        """Which step of a split definition it is; none of a definition that is one step."""
        return self.origin.step

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """For each node that was selected in Dagster: the output that says that it was built."""
        chosen = self.assets_def.keys
        return {
            id_: name
            for name, key in self.assets_def.node_keys_by_output_name.items()
            if key in chosen and (id_ := self._ids.get(key)) is not None
        }

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
        sources = read - self._own_keys
        return {
            test: key
            for test, key in self.all_checks.items()
            if key in selected
            or (key.asset_key in sources and self._tests_what_no_step_makes(test))
        }

    def _tests_what_no_step_makes(self, test: str) -> bool:
        """Of a definition that was split, another step may make what this one reads and tests."""
        tested = checks.tested_node(self.manifest, test) if self.step else None
        return tested is None or self.manifest.node(tested).is_made_elsewhere

    @cached_property
    def all_checks(self) -> Mapping[str, AssetCheckKey]:
        """For each test that the definition knows as a check, selected or not: the check."""
        return {
            str(test): spec.key
            for spec in self.assets_def.node_check_specs_by_output_name.values()
            if (test := (spec.metadata or {}).get(keys.UNIQUE_ID)) is not None
        }

    @property
    def is_whole(self) -> bool:
        """Whether everything that the definition makes was selected in Dagster."""
        selected = set(self.context.selected_asset_check_keys)
        return self.assets_def.keys >= self._own_keys and all(
            key in selected for key in self.all_checks.values() if key.asset_key in self._own_keys
        )

    @cached_property
    def done(self) -> Done:
        """What earlier attempts of the step did; nothing in a first attempt.

        A node is built again if its code has changed since, if a test of it failed, or if something
        that it stands on is built again; a test runs again with the nodes that it tests.
        """
        earlier = Earlier.of(self.context) if self.takes_up else None
        if earlier is None:
            return Done()
        healed = {
            self._ids.get(key.asset_key) for key in self.checks.values() if earlier.failed(key)
        }
        built = {
            id_: found
            for id_, output in self.outputs.items()
            if id_ not in healed
            and (found := earlier.materialized.get(key := self._key_of_output(output)))
            and found.is_of_code(self.assets_def.get_asset_spec(key).code_version)
        }
        again = self._with_descendants(self.outputs.keys() - built.keys())
        return Done(
            {id_: found for id_, found in built.items() if id_ not in again},
            {
                test: found
                for test, key in self.checks.items()
                if (found := earlier.passed(key))
                and again.isdisjoint(self.manifest.asset_parents(test))
            },
        )

    @cached_property
    def to_build(self) -> Mapping[str, str]:
        """As `outputs`, without what an earlier attempt built."""
        return {id_: name for id_, name in self.outputs.items() if id_ not in self.done.built}

    @cached_property
    def to_check(self) -> Mapping[str, AssetCheckKey]:
        """As `checks`, without those that went well in an earlier attempt."""
        return {test: key for test, key in self.checks.items() if test not in self.done.passed}

    def key(self, unique_id: str) -> AssetKey | None:
        """The key by which this definition knows a node, its own or a source; if it knows it."""
        return self._keys.get(unique_id) or self._source_keys.get(unique_id)

    def _key_of_output(self, output: str) -> AssetKey:
        return self.assets_def.node_keys_by_output_name[output]

    @cached_property
    def _ids(self) -> Mapping[AssetKey, str]:
        """For each of the definition's assets that is a node of dbt: the node."""
        return {
            spec.key: str(spec.metadata[keys.UNIQUE_ID])
            for spec in self.assets_def.specs
            if keys.UNIQUE_ID in spec.metadata
        }

    @cached_property
    def _keys(self) -> Mapping[str, AssetKey]:
        return {id_: key for key, id_ in self._ids.items()}

    @cached_property
    def _own_keys(self) -> Set[AssetKey]:
        return set(self.assets_def.node_keys_by_output_name.values())

    @cached_property
    def _source_keys(self) -> Mapping[str, AssetKey]:
        return self.origin.sources_in([self.assets_def])

    def _with_descendants(self, ids: Set[str]) -> Set[str]:
        """The nodes, and those of this step that stand on them."""
        children: dict[str, list[str]] = {}
        for id_ in self.outputs:
            for parent in self.manifest.asset_parents(id_):
                children.setdefault(parent, []).append(id_)
        reached, waiting = set(ids), list(ids)
        while waiting:
            new = set(children.get(waiting.pop(), ())) - reached
            reached |= new
            waiting.extend(new)
        return reached
