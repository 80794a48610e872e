"""Say of each connection whether it could sync, and whether its last sync ended well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    MetadataValue,
    multi_asset_check,
)

from dagweave._dagster.failures import failures
from dagweave.connector.model import IDENTITY, Condition, connection_of
from dagweave.connector.vendor import clean_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dagster import AssetExecutionContext, AssetKey

    from dagweave.connector.workspace import Selector, SyncWorkspace

CHECK = "connection_health"


def build_health_checks(
    workspace: SyncWorkspace,
    *,
    translator: Any = None,
    selector: Selector | None = None,
    specs: Iterable[Any] | None = None,
) -> Sequence[AssetChecksDefinition]:
    """A check per connection that has tables, on the first of them; one request for all.

    A connection that is broken, or whose last sync failed, fails the check; one that is paused,
    or that the vendor does not know any more, fails it as a warning.
    """
    keys: dict[str, AssetKey] = {}
    for spec in workspace.specs(translator, selector) if specs is None else specs:
        keys.setdefault(connection_of(spec.metadata[IDENTITY]), spec.key)
    if not keys:
        return []
    vendor = workspace.vendor

    def check(context: Any) -> Iterator[AssetCheckResult]:
        yield from _results(context, workspace, keys)

    # Dagster reads annotations, and these are texts, in which it does not find the names.
    check.__annotations__ = {}
    decorate = multi_asset_check(
        name=clean_name(f"{vendor.area}_{workspace.resolved().account}_health"),
        specs=[
            AssetCheckSpec(
                CHECK, asset=key, description=f"Whether {vendor.name} connection {id_} is well."
            )
            for id_, key in keys.items()
        ],
        can_subset=True,
    )
    return [decorate(check)]


def _results(
    context: AssetExecutionContext, workspace: SyncWorkspace, keys: Mapping[str, AssetKey]
) -> Iterator[AssetCheckResult]:
    with failures():
        service = workspace.resolved().service()
        found = {each.connection_id: each for each in service.conditions()}
    selected = {key.asset_key for key in context.selected_asset_check_keys}
    for id_, key in keys.items():
        if key not in selected:
            continue
        passed, severity, said = _verdict(found.get(id_), workspace.vendor.name)
        yield AssetCheckResult(
            check_name=CHECK,
            asset_key=key,
            passed=passed,
            severity=severity,
            description=said,
            metadata={"connection": id_, "connector_url": MetadataValue.url(service.page(id_))},
        )


def _verdict(found: Condition | None, vendor: str) -> tuple[bool, AssetCheckSeverity, str]:
    warn, error = AssetCheckSeverity.WARN, AssetCheckSeverity.ERROR
    if found is None:
        return False, warn, f"{vendor} has no such connection any more."
    if found.problem:
        return False, error, f"{found.problem} {found.message}".strip()
    if not found.succeeded:
        return False, error, f"Its last sync failed. {found.message}".strip()
    if found.paused:
        return False, warn, "It is paused."
    return True, error, "It is well."
