"""Which table an asset is, by its key and its metadata."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from dagster import MetadataValue

from dagweave.weaving.table_ref import TableRef

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_SCHEMA = "public"


def asset_table(
    key: Sequence[str], metadata: Mapping[str, Any], *, kind: str, schema: str | None
) -> TableRef:
    """The table of an asset.

    The table that its metadata names (`dagster/table_name`) comes first. Otherwise it is called
    like the last part of its key, in the schema that its metadata names (`schema`), else the I/O
    manager's, else the part of the key before, else `public`. The database is known only from
    `dagster/table_name`.

    Raises:
        InvalidInput: `dagster/table_name` cannot be read.
    """
    chosen = text(metadata.get("schema")) or schema or (key[-2] if len(key) > 1 else DEFAULT_SCHEMA)
    named = TableRef.from_metadata(metadata)
    if named is None:
        return TableRef(key[-1], chosen, kind=kind)
    return replace(named, schema=named.schema or chosen, kind=named.kind or kind)


def op_output_table(
    name: str, metadata: Mapping[str, Any], *, kind: str, schema: str | None
) -> TableRef:
    """The table of an op's output: its metadata's `table`, else its name; `schema` likewise."""
    chosen = text(metadata.get("schema")) or schema or DEFAULT_SCHEMA
    return TableRef(text(metadata.get("table")) or name, chosen, kind=kind)


def plain(value: Any) -> Any:
    """A metadata value as it was written, whether Dagster wrapped it or not."""
    return cast("MetadataValue[Any]", value).value if isinstance(value, MetadataValue) else value


def text(value: Any) -> str | None:
    """A metadata value that is text; `None` if it is not, or is empty."""
    found = plain(value)
    return found if isinstance(found, str) and found else None
