"""From a node of dbt to an asset: asks the hooks that a translator overrides, and does the rest.

A hook that is not overridden is not asked, so that the node's plain dictionary is not decoded.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    AssetDep,
    AssetKey,
    AssetSpec,
    BetaWarning,
    CodeReferencesMetadataValue,
    LocalFileCodeReference,
    MetadataValue,
)

from dagweave._dagster.metadata import (
    STORAGE_KIND,
    STORAGE_LOCATION,
    TABLE_NAME,
)
from dagweave._dagster.private import Mould
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import checks, defaults, keys
from dagweave.weaving.table_ref import canonical_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set

    from dagster import AssetCheckSpec, PartitionMapping, PartitionsDefinition

    from dagweave.dbt.manifest import Manifest, Node
    from dagweave.dbt.project import DbtProject
    from dagweave.dbt.translator import DagsterDbtTranslator

_MEMO: Final = "_dagweave_memo"
_AUTOMATION: Final = ("get_automation_condition", "get_auto_materialize_policy")
_OF_WHAT_IS_CHECKED: Final = frozenset(
    {
        *("get_asset_spec", "get_asset_key", "get_group_name", "get_owners"),
        *("get_asset_check_spec", "get_partition_mapping", "get_pool"),
    }
)
_IDENTITY: Final = (TABLE_NAME, STORAGE_KIND, STORAGE_LOCATION)


@dataclass(frozen=True, eq=False)
class Step:
    """One of the steps that a definition was split into."""

    definition: str
    """The name of the op of the whole definition."""
    along: Mapping[str, Set[str]]
    """The tests that it runs though they are no checks: each with any of the nodes named."""
    partitions_def: PartitionsDefinition[Any] | None
    """Those of the whole definition, for steps that make no asset."""


@dataclass(frozen=True)
class DbtManifestWrapper:
    """The manifest that an asset comes from, as its metadata holds it."""

    manifest: Manifest
    step: Step | None = None


class NodeSpec(AssetSpec):
    """The asset of a node. What a change of it leaves as it is, is not checked again.

    Dagster changes, for each job of a part of a definition, the specs of all the rest.
    """

    def merge_attributes(self, **more: Any) -> AssetSpec:  # pyright: ignore[reportIncompatibleMethodOverride] -- passed on
        """As `AssetSpec` has it."""
        if more.keys() == {"metadata"} and all(isinstance(name, str) for name in more["metadata"]):
            return Mould(self, "metadata")({**self.metadata, **more["metadata"]})
        return super().merge_attributes(**more)

    def replace_attributes(self, **changes: Any) -> AssetSpec:  # pyright: ignore[reportIncompatibleMethodOverride] -- passed on
        """As `AssetSpec` has it."""
        if all(getattr(self, name) is value for name, value in changes.items()):
            return self
        return super().replace_attributes(**changes)


class Memo:
    """What one translator has said of one manifest, so that it is asked once per node."""

    def __init__(self, translator: DagsterDbtTranslator, manifest: Manifest) -> None:
        self.asked = translator.overridden()
        """The hooks that the translator overrides."""
        self.settings = translator.settings
        self.adapter = manifest.adapter_type
        about: Mapping[str, Any] = manifest.get("metadata") or {}
        project_id = about.get("project_id")
        self.about_project: Mapping[str, Any] = {
            **({keys.PROJECT_ID: MetadataValue.text(project_id)} if project_id else {}),
            **({STORAGE_KIND: canonical_kind(self.adapter)} if self.adapter else {}),
        }
        self.wrapper = DbtManifestWrapper(manifest)
        self.is_plain = self.asked <= _OF_WHAT_IS_CHECKED and not (
            self.settings.enable_dbt_views_as_virtual_assets
        )
        """Whether what differs between its nodes is what we say."""
        self.moulds: dict[tuple[object, ...], Mould[AssetSpec]] = {}
        """For each group, owners and tags: what makes the specs that have them."""
        self.keys: dict[str, AssetKey] = {}
        self.specs: dict[tuple[str, DbtProject | None], AssetSpec] = {}
        self.deps: dict[str, AssetDep] = {}
        """On each node, where the dependency says nothing of who has it."""
        self.shared_source_keys: set[AssetKey] | None = None

    @classmethod
    def of(cls, translator: DagsterDbtTranslator, manifest: Manifest) -> Memo:
        """The one of a translator, which need not have called our constructor."""
        memos: dict[Manifest, Memo] = translator.__dict__.setdefault(_MEMO, {})
        known = memos.get(manifest)
        if known is None:
            known = memos[manifest] = cls(translator, manifest)
        return known


def spec_of(
    translator: DagsterDbtTranslator,
    manifest: Manifest,
    unique_id: str,
    project: DbtProject | None,
) -> AssetSpec:
    """What the translator says a node is. It is asked once per node."""
    specs = Memo.of(translator, manifest).specs
    key = (unique_id, project)
    if key not in specs:
        specs[key] = translator.get_asset_spec(manifest, unique_id, project)
    return specs[key]


def key_of(
    translator: DagsterDbtTranslator,
    manifest: Manifest,
    unique_id: str,
    project: DbtProject | None,
) -> AssetKey:
    """The asset key that the translator gives a node; builds no more of it than needed."""
    memo = Memo.of(translator, manifest)
    # What it says in the end goes before the key that its spec began with.
    if "get_asset_spec" in memo.asked:
        return spec_of(translator, manifest, unique_id, project).key
    if (known := memo.keys.get(unique_id)) is not None:
        return known
    return Translation(translator, manifest, unique_id, project).key()


def check_of(
    translator: DagsterDbtTranslator,
    manifest: Manifest,
    test: str,
    target: str,
    asset: AssetKey,
    project: DbtProject | None,
) -> AssetCheckSpec:
    """The check on `target` that a test is; it also depends on what else the test reads."""
    others = [up for up in manifest.asset_parents(test) if up != target]
    parents = [key_of(translator, manifest, up, project) for up in others] if others else ()
    return checks.check_spec(manifest.node(test), asset, parents)


def pool_of(translator: DagsterDbtTranslator, manifest: Manifest, unique_id: str) -> str | None:
    """The pool that the translator puts a node's step into, if it does."""
    if "get_pool" in translator.overridden():
        return translator.get_pool(translator.get_resource_props(manifest, unique_id))
    return defaults.pool(manifest.node(unique_id))


class Translation:
    """One node on its way to becoming an asset."""

    def __init__(
        self,
        translator: DagsterDbtTranslator,
        manifest: Manifest,
        unique_id: str,
        project: DbtProject | None,
    ) -> None:
        self._translator = translator
        self._manifest = manifest
        self._id = unique_id
        self._project = project
        self._node = manifest.node(unique_id)
        self._memo = Memo.of(translator, manifest)
        self._decoded: Mapping[str, Any] | None = None

    def spec(self) -> AssetSpec:
        """The whole asset."""
        differing = {
            "key": self.key(),
            "deps": self._deps(),
            "description": self._ask("get_description", defaults.description),
            "metadata": self.metadata(),
            "code_version": self._ask("get_code_version", defaults.code_version),
        }
        group, owners = self._ask("get_group_name", defaults.group_name), self._owners()
        tags = self._ask("get_tags", defaults.tags)
        if self._memo.is_plain:
            # What Dagster has to check of a node is what many have in common.
            # What is no sequence or has no hash, Dagster will refuse.
            with suppress(TypeError):
                kind = (group, *(owners or ()), None, *tags)
                mould = self._memo.moulds.get(kind)
                if mould is None:
                    pattern = self._checked(differing, group, owners, tags)
                    mould = self._memo.moulds[kind] = Mould(pattern, *differing)
                return mould(*differing.values())
        return self._checked(differing, group, owners, tags)

    def _checked(
        self,
        differing: Mapping[str, Any],
        group: str | None,
        owners: Sequence[str] | None,
        tags: Mapping[str, str],
    ) -> AssetSpec:
        is_virtual = (
            self._memo.settings.enable_dbt_views_as_virtual_assets
            and self._node.config.materialized == "view"
        )
        kinds = {"dbt", self._memo.adapter or "dbt"} | ({"view"} if is_virtual else set[str]())
        # Dagster 1.12 knows no virtual assets.
        virtual: dict[str, Any] = {"is_virtual": True} if is_virtual else {}
        return NodeSpec(
            **differing,
            skippable=True,
            group_name=group,
            owners=owners,
            tags=tags,
            kinds=kinds,
            automation_condition=self._automation_condition(),
            partitions_def=self._ask("get_partitions_def", lambda _: None),
            **virtual,
        )

    def key(self) -> AssetKey:
        """Its key alone."""
        key = self._memo.keys.get(self._id)
        if key is None:
            said = self._ask("get_asset_key", defaults.asset_key)
            key = self._memo.keys[self._id] = AssetKey.from_coercible(said)
        return key

    @property
    def _props(self) -> Mapping[str, Any]:
        """The node's plain dictionary, decoded when the first hook wants it."""
        if self._decoded is None:
            self._decoded = self._translator.get_resource_props(self._manifest, self._id)
        return self._decoded

    def _ask(self, hook: str, default: Callable[[Node], Any]) -> Any:
        if hook in self._memo.asked:
            return getattr(self._translator, hook)(self._props)
        return default(self._node)

    def _automation_condition(self) -> Any:
        if self._memo.asked.isdisjoint(_AUTOMATION):
            return None
        return self._translator.get_automation_condition(self._props)

    def _owners(self) -> Sequence[str] | None:
        group = self._manifest.group(self._node)
        if "get_owners" in self._memo.asked:
            return self._translator.get_owners(
                {**self._props, **({"group": group} if group else {})}
            )
        return defaults.owners(self._node, group)

    def metadata(self) -> dict[str, Any]:
        """Its metadata alone."""
        said: Mapping[str, Any] = (
            self._translator.get_metadata(self._props)
            if "get_metadata" in self._memo.asked
            else defaults.metadata(self._node, self._memo.adapter)
        )
        return {
            **said,
            **self.identity(),
            **self._memo.about_project,
            **self._code_references(),
        }

    def identity(self) -> dict[str, Any]:
        """The metadata by which a run finds its way back to the node."""
        found: dict[str, Any] = {
            keys.MANIFEST: self._memo.wrapper,
            keys.TRANSLATOR: self._translator,
            keys.UNIQUE_ID: self._id,
        }
        if self._project:
            found[keys.PROJECT] = self._project
        return found

    def _code_references(self) -> Mapping[str, Any]:
        if not self._memo.settings.enable_code_references:
            return {}
        if self._project is None:
            raise InvalidInput(
                "Code references need to know where the dbt project is.",
                remedy="Give the project: @dbt_assets(manifest=..., project=my_project)",
            )
        file = self._project.project_dir / self._node.original_file_path
        with warnings.catch_warnings():
            # Who turned the setting on need not hear for each asset that Dagster may change it.
            warnings.simplefilter("ignore", BetaWarning)
            reference = LocalFileCodeReference(file_path=str(file.resolve()))
            references = CodeReferencesMetadataValue(code_references=[reference])
        return {keys.CODE_REFERENCES: references}

    def _deps(self) -> Sequence[AssetDep]:
        found: dict[AssetKey, AssetDep] = {}
        for parent in self._manifest.asset_parents(self._id):
            dep = self._dep(parent)
            found.setdefault(dep.asset_key, dep)
        itself = self._partition_mapping(self._id)
        deps = list(found.values())
        if itself and self._node.dagster_meta.get("has_self_dependency"):
            deps.append(AssetDep(self.key(), partition_mapping=itself))
        return deps

    def _dep(self, parent: str) -> AssetDep:
        dep = self._memo.deps.get(parent)
        if dep is None:
            key = key_of(self._translator, self._manifest, parent, self._project)
            dep = self._memo.deps[parent] = _DEP(key, self._table(parent, key) or {})
        mapping = self._partition_mapping(parent)
        if mapping is None:
            return dep
        return AssetDep(dep.asset_key, partition_mapping=mapping, metadata=dep.metadata)

    def _partition_mapping(self, parent: str) -> PartitionMapping | None:
        if "get_partition_mapping" not in self._memo.asked:
            return None
        parent_props = self._translator.get_resource_props(self._manifest, parent)
        return self._translator.get_partition_mapping(self._props, parent_props)

    def _table(self, parent: str, key: AssetKey) -> Mapping[str, Any] | None:
        """Which table a node made elsewhere is: only what no two projects can say differently."""
        settings = self._memo.settings
        node = self._manifest.node(parent)
        if not node.is_made_elsewhere or not settings.enable_source_metadata:
            return None
        if settings.enable_duplicate_source_asset_keys and key in self._shared_source_keys():
            return None
        if "get_asset_spec" in self._memo.asked:
            said = spec_of(self._translator, self._manifest, parent, self._project).metadata
        elif "get_metadata" in self._memo.asked:
            said = Translation(self._translator, self._manifest, parent, self._project).metadata()
        else:
            table = defaults.table_of(node, self._manifest.adapter_type)
            return table.to_metadata() if table else None
        return {name: said[name] for name in _IDENTITY if name in said}

    def _shared_source_keys(self) -> set[AssetKey]:
        """The keys that several sources share, so that none of them says which table it is."""
        if self._memo.shared_source_keys is None:
            seen: set[AssetKey] = set()
            shared = self._memo.shared_source_keys = set()
            for source in self._manifest.ids("sources"):
                key = key_of(self._translator, self._manifest, source, self._project)
                (shared if key in seen else seen).add(key)
        return self._memo.shared_source_keys


_DEP: Final = Mould(AssetDep(AssetKey("any")), "asset_key", "metadata")
