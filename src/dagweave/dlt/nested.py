"""Nested tables as assets of their own: what dlt makes of lists within the rows of a resource."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dagster import AssetDep, AssetKey, AssetSpec

from dagweave._dagster.metadata import TABLE_NAME
from dagweave._kernel.errors import InvalidInput
from dagweave.dlt.source import BINDING, Binding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagweave.weaving import TableRef


def nested_specs(
    specs: Sequence[AssetSpec],
    nested_tables: Mapping[str, Sequence[str]],
    tables: Mapping[str, TableRef],
) -> Iterator[AssetSpec]:
    """The assets of nested tables: beside that of their resource, which they depend on.

    Args:
        specs: The assets of resources.
        nested_tables: By resource, the names of its nested tables.
        tables: By resource, where its own table is.

    Raises:
        InvalidInput: There is no such resource.
    """
    by_resource = {spec.metadata[BINDING].resource: spec for spec in specs}
    for resource, names in nested_tables.items():
        if resource not in by_resource:
            raise InvalidInput(
                f"nested_tables names a resource that the source does not have: {resource!r}.",
                seen=f"Its resources: {', '.join(by_resource)}.",
            )
        for name in names:
            yield _nested(by_resource[resource], name, tables.get(resource))


def _nested(parent: AssetSpec, name: str, beside: TableRef | None) -> AssetSpec:
    binding: Binding = parent.metadata[BINDING]
    # As dlt spells it, or as the destination does.
    spelled = name.upper() if beside and beside.name.isupper() else name
    table = replace(beside, name=spelled) if beside else None
    without = {key: value for key, value in parent.metadata.items() if key != TABLE_NAME}
    return parent.replace_attributes(
        key=AssetKey([*parent.key.path[:-1], name]),
        deps=[AssetDep(parent.key)],
        description=f"What is nested in {binding.resource}, in the table {name}.",
        metadata={
            **without,
            **(table.to_metadata() if table else {}),
            BINDING: binding.of_nested(name),
        },
    )
