"""What a snapshot keeps of a dlt source and its pipeline: enough to define assets without dlt.

Each has the attributes that dlt's own object has under the same name, as far as a translator needs
them. Names and hints only: no configuration, and so no secret. Knows nothing of Dagster.
"""

from __future__ import annotations

import msgspec

FORMAT = 1
"""Counts up with each change of these classes that older snapshots do not have."""


class TableOutline(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A physical table, as its warehouse spells it."""

    name: str
    schema: str | None = None
    database: str | None = None
    kind: str | None = None
    location: str | None = None


class ResourceOutline(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A resource of a source. `parent` and `origin` are where a transformer's data comes from."""

    name: str
    source_name: str
    table_name: str
    has_dynamic_table_name: bool = False
    description: str | None = None
    parent: str | None = None
    origin: str = ""
    write_disposition: str | None = None
    primary_key: list[str] = []
    merge_key: list[str] = []
    columns: dict[str, str | None] = {}
    """Declared columns, with their types."""
    table: TableOutline | None = None

    @property
    def is_transformer(self) -> bool:
        """Whether its data comes from another resource."""
        return self.parent is not None

    @property
    def selected(self) -> bool:
        """Always: what is not selected is no part of an inventory."""
        return True


class DestinationOutline(msgspec.Struct, frozen=True, kw_only=True):
    """The destination of a pipeline."""

    destination_name: str
    destination_type: str


class PipelineOutline(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pipeline."""

    pipeline_name: str
    dataset_name: str | None = None
    destination: DestinationOutline | None = None
    dev_mode: bool = False


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """A source's selected resources, and the pipeline that loads them."""

    source_name: str
    pipeline: PipelineOutline
    resources: list[ResourceOutline]
