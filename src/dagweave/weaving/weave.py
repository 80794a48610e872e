"""Replace dependencies on keys that nobody materializes by the assets that write their tables."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from dagster import (
    AssetCheckKey,
    AssetChecksDefinition,
    AssetDep,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    Definitions,
)

from dagweave._dagster.metadata import LOOSE_TABLE_NAME, TABLE_NAME, WOVEN
from dagweave.weaving.report import Ambiguous, Lineage, Link, Loose, shown
from dagweave.weaving.tables import Read, Tables, find_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dagweave.weaving.table_ref import TableRef

T = TypeVar("T")
logger = logging.getLogger("dagweave.weaving")


def weave(*definitions: Definitions) -> Definitions:
    """Return the definitions, merged, with their assets linked by physical table.

    A dependency on a key that nobody in `definitions` materializes (a dbt source, an argument that
    an I/O manager would load) is moved to the asset that writes the same table, if exactly one
    asset is known to. Where several could be meant, nothing is changed and a warning names them.
    No key of a materialized asset changes, and nothing is connected to.

    Which table is behind a key comes from `dagster/table_name` in the metadata of the asset or the
    dependency, or from the I/O manager that stores it. `dagweave lineage` prints what was linked,
    what was ambiguous and what stayed loose, and why.

    Example:
        ```python
        from dagster import AssetDep, AssetSpec, Definitions, asset, multi_asset
        from dagweave.weaving import weave

        @asset(metadata={"dagster/table_name": "raw.orders"})
        def ingested(): ...

        @asset(deps=[AssetDep("shop_orders", metadata={"dagster/table_name": "raw.orders"})])
        def report(): ...

        defs = weave(Definitions([ingested, report]))  # `report` now depends on `ingested`
        ```
    """
    defs = definitions[0] if len(definitions) == 1 else Definitions.merge(*definitions)
    assets = [*(defs.assets or []), *(defs.asset_checks or [])]
    lineage = find_lineage(assets, defs.resources or {})
    for found in lineage.ambiguous:
        writers = ", ".join(shown(writer) for writer in found.writers)
        logger.warning(
            "Table %s, read by %s as %s, has more than one writer: %s. Left loose; name the one "
            "that is meant as a dependency, or give the others their database in "
            "dagster/table_name.",
            found.table, shown(found.reader), shown(found.loose), writers,
        )  # fmt: skip
    links = _Links.of(lineage)
    return Definitions(
        assets=[links.relinked(asset) for asset in defs.assets or []],
        asset_checks=[links.relinked(check) for check in defs.asset_checks or []],
        schedules=defs.schedules,
        sensors=defs.sensors,
        jobs=defs.jobs,
        resources=defs.resources,
        executor=defs.executor,
        loggers=defs.loggers,
        metadata={**(defs.metadata or {}), WOVEN: lineage.to_json()},
        component_tree=defs.component_tree,
    )


def find_lineage(assets: Iterable[object], resources: Mapping[str, object]) -> Lineage:
    """Say what `weave` would link among `assets`, and what not. Changes nothing."""
    tables = find_tables(assets, resources)
    writers_by_name: dict[str, list[AssetKey]] = defaultdict(list)
    for key, table in tables.written.items():
        writers_by_name[table.name.casefold()].append(key)

    links: list[Link] = []
    ambiguous: list[Ambiguous] = []
    loose: list[Loose] = []
    parents = {key: set(found) for key, found in tables.parents.items()}
    for read in tables.reads:
        candidates = writers_by_name[read.table.name.casefold()] if read.table else []
        writers = [
            w for w in candidates if read.table and tables.written[w].same_table_as(read.table)
        ]
        usable = [w for w in writers if not _comes_after(w, read, parents, tables.one_step)]
        key, table = tuple(read.key.path), str(read.table) if read.table else None
        for reader in (tuple(reader.path) for reader in read.readers):
            if table is not None and len(usable) == 1:
                writer = tuple(usable[0].path)
                links.append(Link(reader=reader, loose=key, writer=writer, table=table))
                parents.setdefault(AssetKey(reader), set()).add(usable[0])
            elif table is not None and usable:
                paths = tuple(sorted(tuple(writer.path) for writer in usable))
                ambiguous.append(Ambiguous(reader=reader, loose=key, writers=paths, table=table))
            else:
                reason = _why_loose(read.table, writers, tables)
                loose.append(Loose(reader=reader, loose=key, table=table, reason=reason))
    return Lineage(links=tuple(links), ambiguous=tuple(ambiguous), loose=tuple(loose))


def _comes_after(
    writer: AssetKey,
    read: Read,
    parents: Mapping[AssetKey, set[AssetKey]],
    one_step: Mapping[AssetKey, frozenset[AssetKey]],
) -> bool:
    """Whether the writer itself depends on a reader, so that a link would close a circle.

    Dagster orders steps, so assets that are only ever materialized together depend on whatever one
    of them depends on. Looks upwards, since most writers are ingested and have little above them.
    """
    readers = {key for reader in read.readers for key in one_step.get(reader, (reader,))}
    if writer in readers:
        # Within a step there is no order to keep but that of the assets.
        readers, one_step = set(read.readers), dict[AssetKey, frozenset[AssetKey]]()
    seen: set[AssetKey] = set()
    waiting = [writer]
    while waiting:
        key = waiting.pop()
        if key in readers:
            return True
        if key not in seen:
            seen.add(key)
            for together in one_step.get(key, (key,)):
                waiting.extend(parents.get(together, ()))
    return False


def _why_loose(table: TableRef | None, writers: list[AssetKey], tables: Tables) -> str:
    if table is None:
        return "its table is not known"
    if writers:
        return f"{writers[0].to_user_string()} writes it, but comes after the reader"
    alike = sorted(
        f"{key.to_user_string()} ({written})"
        for key, written in tables.written.items()
        if written.name.casefold() == table.name.casefold()
    )
    if alike:
        return "nobody writes it; of the same name, but elsewhere: " + ", ".join(alike)
    return "nobody here writes it"


@dataclass(frozen=True, slots=True)
class _Links:
    """How the dependencies of each asset change."""

    writer_by_loose: Mapping[AssetKey, Mapping[AssetKey, AssetKey]]
    """Reader → loose key → writer."""
    left_loose: Mapping[AssetKey, frozenset[AssetKey]]
    """Reader → loose keys whose table is known and that nothing may be linked to."""

    @classmethod
    def of(cls, lineage: Lineage) -> _Links:
        writers: dict[AssetKey, dict[AssetKey, AssetKey]] = defaultdict(dict)
        loose: dict[AssetKey, set[AssetKey]] = defaultdict(set)
        for link in lineage.links:
            writers[AssetKey(link.reader)][AssetKey(link.loose)] = AssetKey(link.writer)
        for left in (*lineage.ambiguous, *lineage.loose):
            if left.table is not None:
                loose[AssetKey(left.reader)].add(AssetKey(left.loose))
        return cls(writers, {key: frozenset(keys) for key, keys in loose.items()})

    def relinked(self, asset: T) -> T | AssetsDefinition:
        """Return `asset` with its dependencies moved; itself if there is nothing to move."""
        if not isinstance(asset, AssetsDefinition):
            return asset
        readers = [*asset.keys, *(check.asset_key for check in asset.check_specs)]
        wanted = {
            loose: writer
            for reader in readers
            for loose, writer in self.writer_by_loose.get(reader, {}).items()
        }
        relinked = asset
        if any(key in self.left_loose for key in asset.keys):
            relinked = relinked.map_asset_specs(self._disarmed)
        if not wanted:
            return relinked
        if isinstance(asset, AssetChecksDefinition):
            return _moved_checks(asset, wanted)
        arguments = _arguments(asset)
        specs = {spec.key: _as_one(spec, arguments, wanted) for spec in relinked.specs}
        if any(specs[spec.key] is not spec for spec in relinked.specs):
            relinked = relinked.map_asset_specs(lambda spec: specs[spec.key])
        return relinked.with_attributes(asset_key_replacements=wanted)

    def _disarmed(self, spec: AssetSpec) -> AssetSpec:
        """Keep Dagster's core from linking by text what was left loose on purpose."""
        loose = self.left_loose.get(spec.key, frozenset[AssetKey]())
        deps = [_disarmed(dep) if dep.asset_key in loose else dep for dep in spec.deps]
        return spec if deps == list(spec.deps) else spec.replace_attributes(deps=deps)


def _disarmed(dep: AssetDep) -> AssetDep:
    metadata = {
        LOOSE_TABLE_NAME if key == TABLE_NAME else key: value for key, value in dep.metadata.items()
    }
    return AssetDep(dep.asset_key, partition_mapping=dep.partition_mapping, metadata=metadata)


def _moved_checks(
    checks: AssetChecksDefinition, wanted: Mapping[AssetKey, AssetKey]
) -> AssetChecksDefinition:
    """Checks on their own, moved; `with_attributes` would make them a plain `AssetsDefinition`."""
    return AssetChecksDefinition.create(
        keys_by_input_name={
            name: wanted.get(key, key) for name, key in checks.keys_by_input_name.items()
        },
        node_def=checks.op,
        check_specs_by_output_name={
            name: spec.replace_key(
                AssetCheckKey(wanted.get(spec.asset_key, spec.asset_key), spec.name)
            )
            for name, spec in checks.check_specs_by_output_name.items()
        },
        can_subset=checks.can_subset,
        resource_defs=checks.resource_defs,
    )


def _arguments(asset: AssetsDefinition) -> frozenset[AssetKey]:
    """The keys that the function takes as arguments, rather than only depends on."""
    inputs = asset.node_def.input_dict
    return frozenset(
        key
        for name, key in asset.keys_by_input_name.items()
        if name in inputs and not inputs[name].dagster_type.is_nothing
    )


def _as_one(
    spec: AssetSpec, arguments: frozenset[AssetKey], wanted: Mapping[AssetKey, AssetKey]
) -> AssetSpec:
    """Give dependencies that will be one after linking the same partition mapping and metadata.

    Dagster takes equal dependencies on one asset for one, and refuses unequal ones. That of an
    argument counts most, then the one that was not loose to begin with.
    """
    targets = [wanted.get(dep.asset_key, dep.asset_key) for dep in spec.deps]
    if len(set(targets)) == len(targets):
        return spec
    first: dict[AssetKey, AssetDep] = {}
    for dep in sorted(
        spec.deps, key=lambda dep: (dep.asset_key not in arguments, dep.asset_key in wanted)
    ):
        first.setdefault(wanted.get(dep.asset_key, dep.asset_key), dep)
    return spec.replace_attributes(
        deps=[
            AssetDep(
                dep.asset_key,
                partition_mapping=first[target].partition_mapping,
                metadata=first[target].metadata,
            )
            for dep, target in zip(spec.deps, targets, strict=True)
        ]
    )
