"""The columns of what dbt built, as the warehouse has them, and where each comes from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dagster import TableColumnDep, TableColumnLineage

from dagweave._dagster.metadata import COLUMN_LINEAGE
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import defaults
from dagweave.dbt.additions.lineage import STAR, Query, normal
from dagweave.dbt.additions.lineage_cache import LineageCache
from dagweave.dbt.manifest import Column, Node
from dagweave.dbt.trouble import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagster import AssetKey

    from dagweave.dbt.additions.artifacts import Artifacts
    from dagweave.dbt.additions.inquiry import Answers, Columns
    from dagweave.dbt.invocation import DbtCliInvocation
    from dagweave.dbt.manifest import Manifest

_MOST_NAMED: Final = 5


@dataclass(frozen=True)
class _Table:
    """The table of a node that was built, and its parents' by the names that its SQL has for them."""

    node: str
    own: Columns
    sql: str | None = None
    parents: tuple[tuple[str, str, Columns], ...] = ()
    """For each: the node, its table as the SQL names it, and how to ask for its columns."""


class ColumnMetadata:
    """What is known of the columns of some nodes, once dbt has said which columns there are."""

    def __init__(
        self,
        invocation: DbtCliInvocation,
        artifacts: Artifacts,
        nodes: Sequence[str],
        *,
        with_lineage: bool,
    ) -> None:
        self._invocation = invocation
        self._artifacts = artifacts
        self._with_lineage = with_lineage
        self._tables = [table for node in nodes if (table := self._table(node))]
        self._problems: dict[str, str] = {}

    @property
    def questions(self) -> Iterator[Columns]:
        """Which tables to ask for: those that were built first, then those that they read."""
        yield from (table.own for table in self._tables)
        yield from (asked for table in self._tables for _, _, asked in table.parents)

    def metadata(self, answers: Answers) -> Iterator[tuple[str, dict[str, Any]]]:
        """For each node whose columns dbt knows: its metadata.

        Raises:
            MissingExtra: Lineage is wanted, and sqlglot is not installed; the schemas come first.
        """
        known = [table for table in self._tables if answers.columns.get(table.own)]
        for table in known:
            yield table.node, self._schema(table.node, answers.columns[table.own])
        if not self._with_lineage:
            return
        cache = self._cache()
        try:
            for table in known:
                if (lineage := self._lineage(table, answers, cache)) is not None:
                    yield table.node, {COLUMN_LINEAGE: lineage}
        finally:
            cache.save()

    @property
    def complaint(self) -> str | None:
        """Which nodes have no lineage, and why; bounded."""
        if not self._problems:
            return None
        what = (
            f"{len(self._problems)} of {len(self._tables)} tables that dbt built have no column "
            "lineage: their code could not be read."
        )
        shown = [f"  {node}: {why}" for node, why in list(self._problems.items())[:_MOST_NAMED]]
        more = len(self._problems) - _MOST_NAMED
        return "\n".join(
            [
                what,
                *(shortened(line, 300) for line in shown),
                *([f"  ... and {more} more."] if more > 0 else []),
            ]
        )

    @cached_property
    def _manifest(self) -> Manifest | None:
        return self._artifacts.manifest

    def _table(self, node: str) -> _Table | None:
        own = self._artifacts.table(node)
        manifest = self._manifest
        if own is None or manifest is None:
            return None
        sql = self._artifacts.sql(node) if self._with_lineage else None
        if sql is None:
            return _Table(node, own)
        read = [
            (parent, *found)
            for parent in manifest.asset_parents(node)
            if (found := self._artifacts.read_by(sql, parent))
        ]
        # An incremental model may read what it has built before.
        itself = self._artifacts.read_by(sql, node)
        if itself and itself[0] in sql:
            read.append((node, *itself))
        return _Table(node, own, sql, tuple(read))

    def _schema(self, node: str, columns: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The columns that there are, with what the project's YAML says of them."""
        declared: Mapping[str, Column] = {}
        if self._manifest and self._manifest.has_node(node):
            declared = {
                name.lower(): column
                for name, column in (self._manifest.node(node).columns or {}).items()
            }
        found: dict[str, Column] = {}
        for name, data_type in columns:
            said = declared.get(name.lower())
            found[name] = Column(
                name, data_type, said.description if said else None, said.tags if said else None
            )
        return defaults.metadata(Node(columns=found))

    def _lineage(
        self, table: _Table, answers: Answers, cache: LineageCache
    ) -> TableColumnLineage | None:
        if table.sql is None:
            if self._artifacts.is_python(table.node):
                self._problems[table.node] = "it is written in Python"
            return None
        adapter_type = self._manifest.adapter_type if self._manifest else None
        read = {name: answers.columns.get(asked, []) for _, name, asked in table.parents}
        own_name = self._invocation.relation(table.node) or table.node
        entry = cache.lineage(own_name, Query(table.sql, adapter_type, read))
        if entry.traced is None:
            self._problems[table.node] = entry.problem
            return None
        # Of two parents that are one table, the first stands for it; the table itself is no parent.
        keys = {
            name: self._key(parent)
            for parent, name, _ in reversed(table.parents)
            if parent != table.node
        }
        deps: dict[str, Sequence[TableColumnDep]] = {}
        for column, _ in answers.columns[table.own]:
            sources = entry.traced.get(normal(column, adapter_type))
            # Through a `*` that could not be resolved, it may come from anywhere.
            if sources is None and STAR in entry.traced:
                continue
            deps[column] = [
                TableColumnDep(key, source)
                for name, source in sources or ()
                if (key := keys.get(name))
            ]
        return TableColumnLineage(deps)

    def _key(self, parent: str) -> AssetKey | None:
        """The key by which this definition knows a parent."""
        scope, origin = self._invocation.scope, self._invocation.origin
        if scope and (key := scope.key(parent)):
            return key
        try:
            return origin.key(parent) if origin else None
        except InvalidInput:
            return None

    def _cache(self) -> LineageCache:
        project = self._invocation.scope.project if self._invocation.scope else None
        base = project.target_path if project else os.environ.get("DBT_TARGET_PATH") or "target"
        name = (self._manifest.project_name if self._manifest else None) or "project"
        return LineageCache.of(name, self._invocation.project_dir / Path(base))
