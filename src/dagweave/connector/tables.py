"""Name the physical table that a sync writes, so that it can be woven."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dagster import TableColumn, TableSchema

from dagweave._dagster.metadata import STORAGE_KIND, TABLE_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN: Final = re.compile(r"[^\s.\"`\[\]]+")


def table_metadata(
    database: str | None, schema: str | None, table: str, kind: str | None
) -> Mapping[str, str]:
    """The metadata that names a table.

    A part stays as the vendor spells it, unquoted where it can be, since the vendors write names
    without quotes: the warehouse folds them, and so does who reads this. The name is left out
    where the database is not known: who reads `schema.table` could take it for another one's.
    """
    kinds = {STORAGE_KIND: kind} if kind else {}
    if not (database and schema):
        return kinds
    return {TABLE_NAME: ".".join(map(_spelled, (database, schema, table))), **kinds}


def table_schema(columns: Mapping[str, str]) -> TableSchema:
    """The columns of a table, by name, as Dagster shows them."""
    return TableSchema(columns=[TableColumn(name, type=columns[name]) for name in sorted(columns)])


def _spelled(part: str) -> str:
    return part if _PLAIN.fullmatch(part) else '"' + part.replace('"', '""') + '"'
