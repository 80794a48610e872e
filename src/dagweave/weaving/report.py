"""What weaving found: links made, tables with several writers, dependencies left loose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from dagster import AssetKey, TextMetadataValue

from dagweave._dagster.metadata import WOVEN

if TYPE_CHECKING:
    from collections.abc import Mapping

Key = tuple[str, ...]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A dependency that was on a key that nobody materializes, and now is on the table's writer."""

    reader: Key
    loose: Key
    writer: Key
    table: str


class Ambiguous(msgspec.Struct, frozen=True, kw_only=True):
    """A dependency whose table has more than one possible writer. Left as it was."""

    reader: Key
    loose: Key
    writers: tuple[Key, ...]
    table: str


class Loose(msgspec.Struct, frozen=True, kw_only=True):
    """A dependency on a key that nobody materializes, and why it stayed so."""

    reader: Key
    loose: Key
    table: str | None
    reason: str


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What `weave` found, reader by reader. Keys are tuples of their parts."""

    links: tuple[Link, ...] = ()
    ambiguous: tuple[Ambiguous, ...] = ()
    loose: tuple[Loose, ...] = ()

    def to_json(self) -> str:
        """The report as JSON, as `dagweave lineage --json` prints it."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Lineage:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None) -> Lineage | None:
        """Read the report out of the metadata of woven definitions, or of their repository."""
        value = (metadata or {}).get(WOVEN)
        text = value.text if isinstance(value, TextMetadataValue) else value
        return cls.from_json(text) if isinstance(text, str) else None


def shown(key: Key) -> str:
    """A key as Dagster shows it: `raw/flights`."""
    return AssetKey(key).to_user_string()
