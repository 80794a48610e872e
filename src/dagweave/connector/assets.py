"""Make definitions of connections: one step syncs one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import get_dagster_logger, multi_asset

from dagweave._kernel.errors import InvalidInput
from dagweave.connector.model import IDENTITY, connection_of
from dagweave.connector.vendor import clean_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dagster import AssetExecutionContext, AssetsDefinition, AssetSpec

    from dagweave.connector.workspace import Selector, SyncWorkspace

    Execute = Callable[[AssetExecutionContext], Iterator[Any]]


def assets_of_connection(
    workspace: SyncWorkspace,
    connection_id: str,
    *,
    name: str | None,
    group_name: str | None,
    translator: Any,
    selector: Selector | None = None,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Make a function that syncs a connection the definition of its tables.

    Raises:
        InvalidInput: There is no such connection, the translator gives two tables one key, or sets
            groups where `group_name` is given as well.
    """
    specs = workspace.connection_specs(connection_id, translator, selector)
    if group_name and (grouped := [spec for spec in specs if spec.group_name]):
        raise InvalidInput(
            f"group_name={group_name!r} is given for {workspace.vendor.name} connection "
            f"{connection_id!r}, and the translator sets a group as well.",
            seen=f"{grouped[0].key.to_user_string()}: {grouped[0].group_name}",
            remedy="Leave group_name out, or let the translator return "
            "spec.replace_attributes(group_name=None).",
        )
    return multi_asset(name=name, group_name=group_name, can_subset=True, specs=specs)


def assets_of_workspace(
    workspace: SyncWorkspace,
    *,
    translator: Any,
    selector: Selector | None,
    execute: Execute | None = None,
) -> Sequence[AssetsDefinition]:
    """A definition for each connection that has tables.

    Args:
        execute: Syncs; without it, the resource called as the vendor does.
    """
    area = workspace.vendor.area
    grouped: dict[str, list[AssetSpec]] = {}
    for spec in workspace.specs(translator, selector):
        grouped.setdefault(connection_of(spec.metadata[IDENTITY]), []).append(spec)
    names = _op_names(workspace, list(grouped))

    def by_the_resource(context: AssetExecutionContext) -> Iterator[Any]:
        yield from getattr(context.resources, area).sync_and_poll(context=context)

    return [
        multi_asset(
            name=names[id_],
            can_subset=True,
            specs=specs,
            required_resource_keys=set() if execute else {area},
        )(_step(execute or by_the_resource))
        for id_, specs in grouped.items()
    ]


def _step(execute: Execute) -> Callable[..., Any]:
    def sync(context: Any) -> Iterator[Any]:
        yield from execute(context)

    # Dagster reads annotations, and these are texts, in which it does not find the names.
    sync.__annotations__ = {}
    return sync


def _op_names(workspace: SyncWorkspace, ids: Sequence[str]) -> Mapping[str, str]:
    """The op of each connection; those whose names would be one have their ids in it."""
    vendor = workspace.vendor
    known = vendor.connections(workspace.data())
    plain = {id_: f"{vendor.area}_{clean_name(known[id_].name)}" for id_ in ids}
    counts: dict[str, list[str]] = {}
    for id_, name in plain.items():
        counts.setdefault(name, []).append(id_)
    for name, several in counts.items():
        if len(several) > 1:
            get_dagster_logger().warning(
                f"{len(several)} {vendor.name} connections would be called {name}: "
                f"{', '.join(several)}. Their ids are added to the names of their ops."
            )
            plain |= {id_: f"{name}_{clean_name(id_)}" for id_ in several}
    return plain
