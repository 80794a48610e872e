"""From a selection of dbt's nodes to assets and checks."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from dagster import AssetCheckKey

from dagweave._dagster.private import as_stored_by
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import checks, keys
from dagweave.dbt.manifest import paused_gc
from dagweave.dbt.translation import Translation, check_of, key_of, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Set

    from dagster import AssetCheckSpec, AssetKey, AssetSpec

    from dagweave.dbt.manifest import Manifest
    from dagweave.dbt.project import DbtProject
    from dagweave.dbt.translator import DagsterDbtTranslator


class SpecBuilder:
    """The assets and checks of one selection of one manifest, as one translator sees them."""

    def __init__(
        self,
        translator: DagsterDbtTranslator,
        manifest: Manifest,
        project: DbtProject | None,
        selected: Set[str],
        excluded: Set[str] = frozenset(),
    ) -> None:
        self._translator = translator
        self._manifest = manifest
        self._project = project
        self._selected = selected
        self._excluded = excluded
        self._is_asked = "get_asset_check_spec" in translator.overridden()
        self._wants_unit_tests = translator.settings.enable_unit_tests_as_checks

    def build(self, io_manager_key: str | None) -> tuple[list[AssetSpec], list[AssetCheckSpec]]:
        """All of them.

        Raises:
            InvalidInput: Two nodes have the same asset key; names both.
        """
        with paused_gc():
            by_id = {id_: self._spec(id_) for id_ in self._in_order()}
            self._refuse_shared_keys(by_id)
            found = list(self._checks(by_id))
            names = {spec.key: spec.key.to_python_identifier() for spec in by_id.values()}
            taken = set(names.values())
            unique = [_uniquely_named(check, names, taken) for check in found]
            specs: Iterable[AssetSpec] = by_id.values()
            if io_manager_key is not None:
                specs = (as_stored_by(spec, io_manager_key) for spec in specs)
            return list(specs), unique

    def _spec(self, unique_id: str) -> AssetSpec:
        of = (self._translator, self._manifest, unique_id, self._project)
        try:
            spec = spec_of(*of)
        except Exception as error:
            # Neither Dagster nor a user's hook says which of thousands it was.
            error.add_note(f"It was in making an asset of dbt's {self._located([unique_id])[0]}.")
            raise
        if keys.UNIQUE_ID in spec.metadata:
            return spec
        # A translator may have put metadata of its own in place of ours.
        return spec.merge_attributes(metadata=Translation(*of).identity())

    def _in_order(self) -> Iterator[str]:
        """The selected assets, parents first.

        So a translator that asks for them never digs deep, and a retry tells Dagster what was built
        before in the order that it asks for.
        """
        manifest = self._manifest
        assets = [id_ for id_ in manifest.assets if id_ in self._selected]
        selected = frozenset(assets)
        waiting = assets[::-1]
        opened: set[str] = set()
        given: set[str] = set()
        while waiting:
            id_ = waiting[-1]
            if id_ in opened:
                waiting.pop()
                if id_ not in given:
                    given.add(id_)
                    yield id_
                continue
            opened.add(id_)
            for up in manifest.asset_parents(id_):
                if up in selected and up not in opened:
                    waiting.append(up)

    def _checks(self, by_id: dict[str, AssetSpec]) -> Iterator[AssetCheckSpec]:
        settings = self._translator.settings
        if not settings.enable_asset_checks:
            return
        tested = dict(by_id)
        sources: set[str] = set()
        if settings.enable_source_tests_as_checks:
            ups = (up for id_ in by_id for up in self._manifest.asset_parents(id_))
            sources = {up for up in ups if self._manifest.node(up).resource_type == "source"}
            for source in sources:
                tested[source] = spec_of(self._translator, self._manifest, source, self._project)
        for test, parents in self._tests():
            for parent in parents:
                of_source = parent in sources and test not in self._excluded
                if of_source or (parent in by_id and test in self._selected):
                    check = self._check(test, parent, tested[parent])
                    if check is not None:
                        yield check

    def _tests(self) -> Iterator[tuple[str, Sequence[str]]]:
        """The tests, each with the nodes that it may be a check on."""
        manifest = self._manifest
        for test in manifest.ids("nodes", "unit_tests"):
            node = manifest.node(test)
            if node.resource_type not in checks.TEST_TYPES:
                continue
            if self._is_asked:
                yield test, node.parents
            elif self._wants_unit_tests or node.resource_type != "unit_test":
                target = checks.tested_node(manifest, test)
                if target is not None and target in node.parents:
                    yield test, (target,)

    def _check(self, test: str, parent: str, spec: AssetSpec) -> AssetCheckSpec | None:
        if not self._is_asked:
            return check_of(self._translator, self._manifest, test, parent, spec.key, self._project)
        check = self._translator.get_asset_check_spec(spec, self._manifest, test, self._project)
        if check is None:
            return None
        metadata = check.metadata or {}
        if keys.UNIQUE_ID in metadata:
            return check
        # A translator's own.
        return check.with_metadata({**metadata, keys.UNIQUE_ID: test})

    def _refuse_shared_keys(self, by_id: dict[str, AssetSpec]) -> None:
        ids: defaultdict[AssetKey, list[str]] = defaultdict(list)
        for id_, spec in by_id.items():
            ids[spec.key].append(id_)
        parents = {up for id_ in by_id for up in self._manifest.asset_parents(id_)}
        for parent in parents - by_id.keys():
            ids[key_of(self._translator, self._manifest, parent, self._project)].append(parent)
        shared = {key: nodes for key, nodes in ids.items() if len(nodes) > 1}
        if self._translator.settings.enable_duplicate_source_asset_keys:
            shared = {key: nodes for key, nodes in shared.items() if not self._all_sources(nodes)}
        if shared:
            raise InvalidInput(
                f"{len(shared)} asset key(s) are shared by several nodes of dbt.",
                seen="\n".join(
                    f"{key.to_user_string()}: {', '.join(self._located(nodes))}"
                    for key, nodes in list(shared.items())[:20]
                ),
                remedy="Give each a key of its own: meta.dagster.asset_key in the project's YAML, or "
                "get_asset_key in a translator.",
            )

    def _all_sources(self, nodes: Iterable[str]) -> bool:
        return all(self._manifest.node(id_).resource_type == "source" for id_ in nodes)

    def _located(self, nodes: Iterable[str]) -> Sequence[str]:
        return [f"{id_} ({self._manifest.node(id_).original_file_path})" for id_ in sorted(nodes)]


def _uniquely_named(
    check: AssetCheckSpec, names: dict[AssetKey, str], taken: set[str]
) -> AssetCheckSpec:
    """Two tests may differ by no more than a sign that Dagster does not allow in a name.

    `names` are those of the assets' outputs; a check's is made of its asset's and its own.
    """
    key = check.asset_key
    asset = names.get(key) or names.setdefault(key, key.to_python_identifier())
    if f"{asset}_{check.name}" in taken:
        test_id = str((check.metadata or {}).get(keys.UNIQUE_ID))
        suffix = hashlib.sha1(test_id.encode(), usedforsecurity=False).hexdigest()[:8]
        check = check.replace_key(AssetCheckKey(key, f"{check.name}_{suffix}"))
    taken.add(f"{asset}_{check.name}")
    return check
