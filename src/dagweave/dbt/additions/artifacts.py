"""What a dbt command left behind: the SQL that it ran, and where its tables are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.additions.inquiry import Columns
from dagweave.dbt.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dagweave.dbt.invocation import DbtCliInvocation


class _Result(msgspec.Struct, gc=False):
    unique_id: str = ""
    compiled_code: str | None = None
    relation_name: str | None = None


class _RunResults(msgspec.Struct, gc=False):
    results: list[_Result]


_decode_results = msgspec.json.Decoder(_RunResults).decode


class Artifacts:
    """The artifacts of a command that has ended. What is missing or strange is as if never written."""

    def __init__(self, invocation: DbtCliInvocation) -> None:
        self._invocation = invocation
        self._decoded: dict[str, Mapping[str, Any]] = {}

    @cached_property
    def manifest(self) -> Manifest | None:
        """The manifest of the target that the command ran for, which need not be the definition's."""
        written = self._invocation.target_path / "manifest.json"
        try:
            return Manifest.read(written) if written.exists() else self._invocation.known_manifest
        except InvalidInput:
            return self._invocation.known_manifest

    def sql(self, unique_id: str) -> str | None:
        """The SQL of a node as dbt ran it, without templates; none of a seed or of Python code."""
        told = self._results.get(unique_id)
        if told is not None and told.compiled_code:
            return (
                None if self._props(unique_id).get("language") == "python" else told.compiled_code
            )
        file = self._compiled_file(unique_id)
        return file.read_text("utf-8", "replace") if file and file.is_file() else None

    def is_python(self, unique_id: str) -> bool:
        """Whether a model is written in Python."""
        return self._props(unique_id).get("language") == "python"

    def stored_rows(self, test: str) -> str | None:
        """The table that dbt put the failing rows of a test into, if it did."""
        told = self._results.get(test)
        return told.relation_name if told else None

    def table(self, unique_id: str) -> Columns | None:
        """How to ask for the columns of a node's table."""
        props = self._props(unique_id)
        name = props.get("identifier") or props.get("alias") or props.get("name")
        return Columns(props.get("database"), props.get("schema"), name) if name else None

    def read_by(self, sql: str, parent: str) -> tuple[str, Columns] | None:
        """The table by which a query reads a parent: as it names it, and how to ask for it.

        With `--defer`, that may be the parent's table in another environment.
        """
        props = self._props(parent)
        deferred: Mapping[str, Any] = props.get("defer_relation") or {}
        relation, elsewhere = props.get("relation_name"), deferred.get("relation_name")
        if elsewhere and elsewhere in sql and not (relation and relation in sql):
            schema, name = (
                deferred.get("schema"),
                deferred.get("alias") or deferred.get("identifier"),
            )
            return (elsewhere, Columns(deferred.get("database"), schema, name)) if name else None
        table = self.table(parent)
        return (relation, table) if relation and table else None

    def _compiled_file(self, unique_id: str) -> Path | None:
        props = self._props(unique_id)
        path, package = props.get("original_file_path"), props.get("package_name")
        # Another file may hold several nodes.
        if (
            not path
            or not package
            or not path.endswith(".sql")
            or props.get("language") == "python"
        ):
            return None
        file = self._invocation.target_path / "compiled" / package / path
        # A file of snapshots may hold several; Fusion makes a folder of it.
        return file / f"{props.get('name')}.sql" if file.is_dir() else file

    def _props(self, unique_id: str) -> Mapping[str, Any]:
        manifest = self.manifest
        if manifest is None or not manifest.has_node(unique_id):
            return {}
        if unique_id not in self._decoded:
            self._decoded[unique_id] = manifest.props(unique_id)
        return self._decoded[unique_id]

    @cached_property
    def _results(self) -> Mapping[str, _Result]:
        file = self._invocation.target_path / "run_results.json"
        try:
            return {each.unique_id: each for each in _decode_results(file.read_bytes()).results}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}
