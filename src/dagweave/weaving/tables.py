"""Find out which table each asset writes and each dependency reads.

An asset says so in its metadata, or its I/O manager knows, since it names tables after keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from dagster import AssetKey, AssetsDefinition, AssetSpec, SourceAsset

from dagweave._dagster.metadata import TABLE_NAME
from dagweave.weaving.table_ref import TableRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DEFAULT_IO_MANAGER = "io_manager"


@runtime_checkable
class NamesTables(Protocol):
    """An I/O manager that can tell the table of an asset without connecting to anything."""

    def table_of(self, asset_key: AssetKey, metadata: Mapping[str, Any]) -> TableRef | None:
        """The table that the asset is stored in; `None` if this cannot be told yet."""
        ...


@dataclass(frozen=True, slots=True)
class Read:
    """A dependency on `key` by assets of one definition, and the table behind it, if known.

    Assets of one definition share an input, so they are linked together or not at all.
    """

    readers: tuple[AssetKey, ...]
    key: AssetKey
    table: TableRef | None


@dataclass(frozen=True, slots=True)
class Tables:
    """Who writes which table, who reads what, and what depends on what."""

    written: Mapping[AssetKey, TableRef]
    materialized: frozenset[AssetKey]
    reads: tuple[Read, ...]
    """Only those of a key that nobody materializes."""
    parents: Mapping[AssetKey, frozenset[AssetKey]] = field(repr=False)
    one_step: Mapping[AssetKey, frozenset[AssetKey]] = field(repr=False)
    """Of an asset that is never materialized alone: those that come with it, and itself."""


def find_tables(assets: Iterable[object], resources: Mapping[str, object]) -> Tables:
    """Look through `assets` for tables written and read. Nothing is connected to."""
    definitions: list[AssetsDefinition] = []
    external: dict[AssetKey, Mapping[str, Any]] = {}
    for asset in assets:
        if isinstance(asset, AssetsDefinition) and asset.is_executable:
            definitions.append(asset)
        elif isinstance(asset, AssetsDefinition):
            external.update({spec.key: spec.metadata for spec in asset.specs})
        elif isinstance(asset, AssetSpec | SourceAsset):
            external[asset.key] = asset.metadata

    materialized = frozenset(key for asset in definitions for key in asset.keys)
    written: dict[AssetKey, TableRef] = {}
    for asset in definitions:
        written.update(_tables_written(asset, resources))
    reads = tuple(
        Read(tuple(readers), key, table or TableRef.from_metadata(external.get(key, {})))
        for asset in definitions
        for key, (readers, table) in _tables_read(asset, resources).items()
        if key not in materialized
    )
    parents = {
        spec.key: frozenset(dep.asset_key for dep in spec.deps)
        for asset in definitions
        for spec in asset.specs
    }
    one_step = {
        key: frozenset(asset.keys)
        for asset in definitions
        if not asset.can_subset
        for key in asset.keys
    }
    return Tables(written, materialized, reads, parents, one_step)


def _tables_written(
    asset: AssetsDefinition, resources: Mapping[str, object]
) -> Iterator[tuple[AssetKey, TableRef]]:
    outputs = {key: name for name, key in asset.keys_by_output_name.items()}
    for spec in asset.specs:
        if table := TableRef.from_metadata(spec.metadata):
            yield spec.key, table
            continue
        output = asset.node_def.output_def_named(outputs[spec.key])
        if output.dagster_type.is_nothing:
            continue
        io_manager = resources.get(output.io_manager_key)
        if isinstance(io_manager, NamesTables) and (
            table := io_manager.table_of(spec.key, spec.metadata)
        ):
            yield spec.key, table


def _tables_read(
    asset: AssetsDefinition, resources: Mapping[str, object]
) -> dict[AssetKey, tuple[list[AssetKey], TableRef | None]]:
    found: dict[AssetKey, tuple[list[AssetKey], TableRef | None]] = {}
    by_argument = _tables_of_arguments(asset, resources)

    def add(reader: AssetKey, key: AssetKey, metadata: Mapping[str, Any]) -> None:
        readers, table = found.get(key, ([], by_argument.get(key)))
        found[key] = ([*readers, reader], table or TableRef.from_metadata(metadata))

    for spec in asset.specs:
        for dep in spec.deps:
            add(spec.key, dep.asset_key, dep.metadata)
    for check in asset.check_specs:
        # A check of a table that another asset writes: the check moves with the table.
        if check.asset_key not in asset.keys:
            add(check.asset_key, check.asset_key, check.metadata or {})
    return found


def _tables_of_arguments(
    asset: AssetsDefinition, resources: Mapping[str, object]
) -> dict[AssetKey, TableRef | None]:
    tables: dict[AssetKey, TableRef | None] = {}
    inputs = asset.node_def.input_dict
    for name, key in asset.keys_by_input_name.items():
        argument = inputs.get(name)
        if argument is None or argument.dagster_type.is_nothing:
            continue
        metadata: Mapping[str, Any] = argument.metadata or {}
        if TABLE_NAME in metadata:
            tables[key] = TableRef.from_metadata(metadata)
            continue
        io_manager = resources.get(argument.input_manager_key or DEFAULT_IO_MANAGER)
        if isinstance(io_manager, NamesTables):
            tables[key] = io_manager.table_of(key, metadata)
    return tables
