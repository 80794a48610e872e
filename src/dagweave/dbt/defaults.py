"""What a node of dbt is in Dagster, unless a translator says otherwise."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from dagster import AssetKey, TableColumn, TableSchema

from dagweave._dagster.metadata import COLUMN_SCHEMA
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import keys
from dagweave.dbt.manifest import Node
from dagweave.weaving.table_ref import TableRef

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# https://docs.dagster.io/guides/build/assets/metadata-and-tags/tags
_TAG: Final = re.compile(r"([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}")
# https://docs.dagster.io/guides/build/assets/metadata-and-tags#owners
_OWNER: Final = re.compile(r"team:\w[\w-]*|[^@\s]+@[^@\s]+\.[^@\s]+")


def asset_key(node: Node) -> AssetKey:
    """`meta.dagster.asset_key`, else `source/table`, an alias with its version, `[schema/]name`."""
    if said := node.dagster_meta.get("asset_key"):
        return AssetKey(said)
    if node.resource_type == "source":
        return AssetKey([node.source_name or "", node.name])
    if node.version is not None:
        return AssetKey([node.alias or node.name])
    return AssetKey([node.config.schema, node.name] if node.config.schema else [node.name])


def description(node: Node) -> str:
    """The node's own words, then its code as written."""
    words = node.description or f"dbt {node.resource_type} {node.name}"
    if not node.code:
        return words
    code = "    " + node.code.replace("\n", "\n    ")
    return f"{words}\n\n#### Raw SQL:\n```sql\n{code}\n```"


def metadata(node: Node, adapter_type: str | None = None) -> dict[str, Any]:
    """The table behind the node, its columns, and how dbt materializes it."""
    known: dict[str, Any] = {}
    if node.config.materialized:
        known[keys.MATERIALIZATION_TYPE] = node.config.materialized
    if node.columns:
        known[COLUMN_SCHEMA] = _columns(node)
    table = table_of(node, adapter_type)
    return known | (table.to_metadata() if table else {})


def _columns(node: Node) -> TableSchema:
    return TableSchema(
        [
            _column(name, column.data_type, column.description, column.tags or ())
            for name, column in (node.columns or {}).items()
        ]
    )


# The same columns come again and again; they are never changed.
@lru_cache(maxsize=20_000)
def _column(
    name: str, data_type: str | None, description: str | None, tags: tuple[str, ...]
) -> TableColumn:
    return TableColumn(
        name=name,
        type=data_type or "?",
        description=description or None,
        tags=_valid(tags),
    )


def table_of(node: Node, adapter_type: str | None) -> TableRef | None:
    """The physical table that dbt reads or writes for the node, if it is one."""
    if node.is_ephemeral:
        return None
    if relation := node.relation_name:
        # A file or a table function, as dbt-duckdb's external sources are, is no table.
        if any(sign in relation for sign in "'()"):
            return None
        try:
            return TableRef.parse(relation, kind=adapter_type)
        except InvalidInput:
            return None
    name = node.name if node.resource_type == "source" else node.alias
    return TableRef(name, node.schema, node.database, adapter_type) if name else None


def tags(node: Node) -> dict[str, str]:
    """The tags of dbt, each with an empty value. Those that Dagster refuses are left out."""
    # A translator may add to them.
    return dict(_valid(tuple(node.all_tags)))


# Nodes have the same tags by the hundred.
@lru_cache(maxsize=2_000)
def _valid(tags: tuple[str, ...]) -> dict[str, str]:
    return {tag: "" for tag in tags if _TAG.fullmatch(tag)}


def group_name(node: Node) -> str | None:
    """`meta.dagster.group`, else dbt's own group."""
    return node.dagster_meta.get("group") or node.config.group or None


def pool(node: Node) -> str | None:
    """`meta.dagster.pool`."""
    return node.dagster_meta.get("pool") or None


def owners(node: Node, group: Mapping[str, Any] | None = None) -> Sequence[str] | None:
    """`meta.dagster.owners`, else the e-mail addresses of the owner of dbt's group."""
    if said := node.dagster_meta.get("owners"):
        return [said] if isinstance(said, str) else said
    owner: Mapping[str, Any] = (group or {}).get("owner") or {}
    email: str | list[str] = owner.get("email") or []
    found = [email] if isinstance(email, str) else email
    return [each for each in found if _OWNER.fullmatch(each)] or None


def code_version(node: Node) -> str | None:
    """A hash of the code as written; for a seed, dbt's checksum of its file."""
    if node.code:
        return hashlib.sha1(node.code.encode(), usedforsecurity=False).hexdigest()
    return node.checksum if isinstance(node.checksum, str | None) else node.checksum.checksum


def default_metadata_from_dbt_resource_props(
    dbt_resource_props: Mapping[str, Any],
) -> Mapping[str, Any]:
    """The metadata that the default translator gives a node: its table, columns, materialization."""
    return metadata(Node.of(dbt_resource_props))


def default_group_from_dbt_resource_props(dbt_resource_props: Mapping[str, Any]) -> str | None:
    """The group that the default translator gives a node: `meta.dagster.group`, else dbt's."""
    return group_name(Node.of(dbt_resource_props))


def group_from_dbt_resource_props_fallback_to_directory(
    dbt_resource_props: Mapping[str, Any],
) -> str | None:
    """The default group; without one, the name of the folder under `models/` that the node is in."""
    node = Node.of(dbt_resource_props)
    folders = (node.fqn or [])[1:-1]
    return group_name(node) or (folders[0] if folders else None)
