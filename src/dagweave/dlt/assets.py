"""Make assets of a dlt source: one per resource, loaded together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import (
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    TimeWindowPartitionsDefinition,
    multi_asset,
)

from dagweave._kernel.errors import InvalidInput
from dagweave.dlt.source import BINDING, Binding, checked_pipeline, checked_source, tables_of
from dagweave.dlt.translator import (
    DagsterDltTranslator,
    DltResourceTranslatorData,
    checked_translator,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set

    from dagster import AssetKey, HookDefinition, PartitionsDefinition, RetryPolicy
    from dlt import Pipeline
    from dlt.extract import DltSource


def dlt_assets(
    *,
    dlt_source: DltSource,
    dlt_pipeline: Pipeline,
    name: str | None = None,
    group_name: str | None = None,
    dagster_dlt_translator: DagsterDltTranslator | None = None,
    partitions_def: PartitionsDefinition[Any] | None = None,
    backfill_policy: BackfillPolicy | None = None,
    hooks: Set[HookDefinition] | None = None,
    op_tags: Mapping[str, Any] | None = None,
    pool: str | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Make an asset of each selected resource of a dlt source. Any part of them can be run alone.

    Args:
        dlt_source: What a source function returns. It is read here, and extracted from only when
            the assets are materialized.
        dlt_pipeline: Says where the data goes. Nothing connects to it here.
        name: Of the op, and the first part of the assets' keys; else the dataset's name is.
        group_name: Of all assets, if the translator sets none.
        backfill_policy: By default, a backfill of time windows is a single run.
        pool: Limits how many steps run at once. Give DuckDB's own, with a limit of 1, to all
            assets that write one file.

    Raises:
        InvalidInput: A source that was never called, a translator that gives two resources one
            key or sets a group beside `group_name`.
        MissingExtra: dlt is not installed.

    Example:
        ```python
        import dlt
        from dagster import AssetExecutionContext, Definitions
        from dagweave.dlt import DagsterDltResource, dlt_assets

        @dlt.source
        def shop():
            return dlt.resource([{"id": 1, "total": 9.5}], name="orders", primary_key="id")

        @dlt_assets(
            dlt_source=shop(),
            dlt_pipeline=dlt.pipeline("shop", destination="duckdb", dataset_name="raw_shop"),
            name="shop",
        )
        def shop_assets(context: AssetExecutionContext, dlt: DagsterDltResource):
            yield from dlt.run(context=context)

        defs = Definitions(assets=[shop_assets], resources={"dlt": DagsterDltResource()})
        ```
    """
    specs = build_dlt_asset_specs(dlt_source, dlt_pipeline, dagster_dlt_translator, name=name)
    if group_name and (grouped := [spec for spec in specs if spec.group_name]):
        raise InvalidInput(
            f"@dlt_assets got group_name={group_name!r}, and the translator sets a group as well.",
            seen=", ".join(f"{spec.key.to_user_string()}: {spec.group_name}" for spec in grouped),
            remedy="Leave one of the two out.",
        )
    if backfill_policy is None and isinstance(partitions_def, TimeWindowPartitionsDefinition):
        backfill_policy = BackfillPolicy.single_run()
    return multi_asset(
        name=name,
        specs=specs,
        can_subset=True,
        group_name=group_name,
        partitions_def=partitions_def,
        backfill_policy=backfill_policy,
        hooks=hooks,
        op_tags=op_tags,
        pool=pool,
        retry_policy=retry_policy,
    )


def build_dlt_asset_specs(
    dlt_source: DltSource,
    dlt_pipeline: Pipeline,
    dagster_dlt_translator: DagsterDltTranslator | None = None,
    *,
    name: str | None = None,
) -> Sequence[AssetSpec]:
    """The asset specs of a source's selected resources, for a multi-asset of one's own.

    `DagsterDltResource.run(context)` knows them by their metadata.

    Args:
        name: The first part of the assets' keys; else the dataset's name is.

    Raises:
        InvalidInput: as `dlt_assets` has it.
        MissingExtra: dlt is not installed.
    """
    what = "@dlt_assets"
    source = checked_source(dlt_source, what=what)
    pipeline = checked_pipeline(dlt_pipeline, what=what)
    translator = checked_translator(dagster_dlt_translator)
    tables = tables_of(source, pipeline)
    specs: list[AssetSpec] = []
    for resource in source.selected_resources.values():
        data = DltResourceTranslatorData(resource, pipeline, name, tables.get(resource.name))
        binding = Binding(resource.name, source, pipeline)
        specs.append(translator.get_asset_spec(data).merge_attributes(metadata={BINDING: binding}))
    _refuse_duplicates(specs)
    return specs


def _refuse_duplicates(specs: Sequence[AssetSpec]) -> None:
    first: dict[AssetKey, str] = {}
    for spec in specs:
        resource = spec.metadata[BINDING].resource
        if (other := first.setdefault(spec.key, resource)) != resource:
            raise InvalidInput(
                f"The translator gives two resources one key: {spec.key.to_user_string()}.",
                seen=f"Resources {other!r} and {resource!r} of source "
                f"{spec.metadata[BINDING].source.name!r}.",
                remedy="Make the resource's name a part of the key.",
            )
