"""Make assets of a dlt source: one per resource, loaded together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from dagster import (
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    TimeWindowPartitionsDefinition,
    multi_asset,
)

from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave.dlt.inventory import inventory_of, is_factory
from dagweave.dlt.nested import nested_specs
from dagweave.dlt.schema_check import schema_check
from dagweave.dlt.source import (
    BINDING,
    Binding,
    checked_pipeline,
    checked_source,
    tables_named,
    tables_of,
)
from dagweave.dlt.translator import (
    DagsterDltTranslator,
    DltResourceTranslatorData,
    checked_translator,
)
from dagweave.weaving import TableRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set

    from dagster import AssetKey, HookDefinition, PartitionsDefinition, RetryPolicy
    from dlt import Pipeline
    from dlt.extract import DltResource, DltSource

    from dagweave.dlt.outline import PipelineOutline, ResourceOutline


def dlt_assets(
    *,
    dlt_source: DltSource | Callable[[], DltSource],
    dlt_pipeline: Pipeline | Callable[[], Pipeline],
    name: str | None = None,
    group_name: str | None = None,
    dagster_dlt_translator: DagsterDltTranslator | None = None,
    partitions_def: PartitionsDefinition[Any] | None = None,
    backfill_policy: BackfillPolicy | None = None,
    hooks: Set[HookDefinition] | None = None,
    op_tags: Mapping[str, Any] | None = None,
    pool: str | None = None,
    retry_policy: RetryPolicy | None = None,
    nested_tables: Mapping[str, Sequence[str]] | None = None,
    check_schema_changes: bool = False,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Make an asset of each selected resource of a dlt source. Any part of them can be run alone.

    Args:
        dlt_source: A source function, which is then called by each run; what it has is known from
            a snapshot (`dagweave refresh`), so that definitions load without credentials or network.
            Or what it returns.
        dlt_pipeline: Says where the data goes. Nothing connects to it here. As a function, it is
            known from the same snapshot, and loading definitions imports no dlt.
        name: Of the op, and the first part of the assets' keys; else the dataset's name is.
        group_name: Of all assets, if the translator sets none.
        backfill_policy: By default, a backfill of time windows is a single run.
        nested_tables: By resource, the names of nested tables that are to be assets of their own,
            such as `{"orders": ["orders__lines"]}`.
        check_schema_changes: Whether each asset gets a check, `schema_is_unchanged`, which warns
            when a load has changed the columns of a table that was there.
        pool: Limits how many steps run at once. Give DuckDB's own, with a limit of 1, to all
            assets that write one file.

    Raises:
        InvalidInput: What is no source, a translator that raises, or gives two resources one
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
    specs = build_dlt_asset_specs(
        dlt_source,
        dlt_pipeline,
        dagster_dlt_translator,
        name=name,
        nested_tables=nested_tables,
    )
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
        check_specs=[schema_check(spec) for spec in specs] if check_schema_changes else None,
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
    dlt_source: DltSource | Callable[[], DltSource],
    dlt_pipeline: Pipeline | Callable[[], Pipeline],
    dagster_dlt_translator: DagsterDltTranslator | None = None,
    *,
    name: str | None = None,
    nested_tables: Mapping[str, Sequence[str]] | None = None,
) -> Sequence[AssetSpec]:
    """The asset specs of a source's selected resources, for a multi-asset of one's own.

    `DagsterDltResource.run(context)` knows them by their metadata.

    Args:
        name: The first part of the assets' keys; else the dataset's name is.
        nested_tables: as `dlt_assets` has it.

    Raises:
        InvalidInput: as `dlt_assets` has it.
        MissingExtra: dlt is not installed.
    """
    translator = checked_translator(dagster_dlt_translator)
    found = _found(dlt_source, dlt_pipeline, name, what="@dlt_assets")
    specs: list[AssetSpec] = []
    for resource in found.resources:
        data = DltResourceTranslatorData(
            resource, found.pipeline, name, found.tables.get(resource.name)
        )
        binding = Binding(
            resource.name,
            found.source_name,
            found.pipeline.pipeline_name,
            dlt_source,
            dlt_pipeline,
        )
        specs.append(_translated(translator, data).merge_attributes(metadata={BINDING: binding}))
    if nested_tables:
        specs += nested_specs(specs, nested_tables, found.tables)
    _refuse_duplicates(specs)
    return specs


@dataclass(frozen=True, slots=True)
class _Found:
    """What a source has, and where it goes: as dlt has it, or from an inventory."""

    source_name: str
    resources: Sequence[DltResource | ResourceOutline]
    pipeline: Pipeline | PipelineOutline
    tables: Mapping[str, TableRef]


def _found(source: object, pipeline: object, name: str | None, *, what: str) -> _Found:
    if not is_factory(source) and not is_factory(pipeline):
        made, by = checked_source(source, what=what), checked_pipeline(pipeline, what=what)
        return _Found(made.name, [*made.selected_resources.values()], by, tables_of(made, by))
    by = None if is_factory(pipeline) else checked_pipeline(pipeline, what=what)
    known = inventory_of(source, pipeline, name=name, what=what)
    if by is None:
        tables = {
            each.name: TableRef(**msgspec.structs.asdict(each.table))
            for each in known.resources
            if each.table
        }
    else:
        # Of a pipeline that is there, what it says now counts.
        tables = tables_named(
            known.source_name,
            {r.name: r.table_name for r in known.resources if not r.has_dynamic_table_name},
            by,
        )
    return _Found(known.source_name, known.resources, by or known.pipeline, tables)


def _translated(translator: DagsterDltTranslator, data: DltResourceTranslatorData) -> AssetSpec:
    """The asset of one resource; an error of the translator's names the resource."""
    try:
        return translator.get_asset_spec(data)
    except DagweaveError:
        raise
    except Exception as error:
        raise InvalidInput(
            f"{type(translator).__name__} raised for dlt resource {data.resource.name!r} of source "
            f"{data.resource.source_name!r}.",
            seen=f"{type(error).__name__}: {error}",
            remedy="The cause has its traceback. A resource of a source that is given as a function "
            "is what the inventory knows of it: name, source_name, table_name, description, parent, "
            "write_disposition, primary_key, columns.",
        ) from error


def _refuse_duplicates(specs: Sequence[AssetSpec]) -> None:
    first: dict[AssetKey, str] = {}
    for spec in specs:
        resource = spec.metadata[BINDING].nested or spec.metadata[BINDING].resource
        if (other := first.setdefault(spec.key, resource)) != resource:
            raise InvalidInput(
                f"The translator gives two resources one key: {spec.key.to_user_string()}.",
                seen=f"Resources {other!r} and {resource!r} of source "
                f"{spec.metadata[BINDING].source_name!r}.",
                remedy="Make the resource's name a part of the key.",
            )
