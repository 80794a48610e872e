"""What stands on a dbt project, as its exposures say: dashboards, notebooks, applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import AssetKey, AssetSpec, MetadataValue

from dagweave.dbt import defaults, keys
from dagweave.dbt.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import AssetsDefinition


def build_dbt_exposure_specs(dbt_assets: Sequence[AssetsDefinition]) -> Sequence[AssetSpec]:
    """The exposures of a project as assets that nobody materializes, downstream of its models.

    Each has its type and `exposure` as kinds, its description, its owner's e-mail address, its
    tags, and its URL in the metadata.

    Args:
        dbt_assets: One definition of `@dbt_assets`, in a list; or the steps that it was split into.

    Example:
        ```python
        defs = Definitions([shop, *build_dbt_exposure_specs([shop])])
        ```
    """
    origin = Origin.of_the_one(dbt_assets)
    return [_spec(dbt_assets, origin, each) for each in origin.manifest.ids("exposures")]


def _spec(dbt_assets: Sequence[AssetsDefinition], origin: Origin, exposure: str) -> AssetSpec:
    manifest = origin.manifest
    node, props = manifest.node(exposure), manifest.props(exposure)
    owner: Mapping[str, Any] = props.get("owner") or {}
    url = props.get("url")
    said = node.dagster_meta.get("asset_key")
    return AssetSpec(
        key=AssetKey(said or ["exposures", node.name]),
        deps=[origin.key_in(dbt_assets, parent) for parent in manifest.asset_parents(exposure)],
        description=node.description or props.get("label") or f"dbt exposure {node.name}",
        metadata={keys.UNIQUE_ID: exposure, **({"url": MetadataValue.url(url)} if url else {})},
        group_name=node.dagster_meta.get("group"),
        owners=defaults.owners(node, {"owner": owner}),
        tags=defaults.tags(node),
        kinds={"exposure", *([str(props["type"])] if props.get("type") else [])},
    )
