"""Checks that data is fresh: of dbt's sources by dbt itself, of its models by Dagster's record."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetsDefinition,
    MetadataValue,
    TimeWindowPartitionsDefinition,
    build_last_update_freshness_checks,
    build_time_partition_freshness_checks,
    multi_asset_check,
)

from dagweave._dagster.failures import failures
from dagweave._kernel.errors import InvalidInput, WorkFailed
from dagweave.dbt import keys
from dagweave.dbt.errors import DagsterDbtCliRuntimeError
from dagweave.dbt.origin import Origin
from dagweave.dbt.resource import DbtCliResource
from dagweave.dbt.telling import exactly

FRESHNESS: Final = "freshness"
"""The name of the check on a source."""


def build_dbt_source_freshness_checks(
    dbt_assets: Sequence[AssetsDefinition], *, name: str | None = None, resource_key: str = "dbt"
) -> AssetChecksDefinition:
    """Checks that run `dbt source freshness`: one on each source that the project says how fresh.

    A source that is older than `warn_after` warns, one older than `error_after` fails. They run on
    their own, so give them a schedule: freshness says nothing right after a load.

    Args:
        dbt_assets: One definition of `@dbt_assets`, in a list; or the steps that it was split into.
        name: The name of the op that runs dbt; by default the definition's, with `_freshness`.
        resource_key: The key of the `DbtCliResource`.

    Raises:
        InvalidInput: No source of the project says how fresh it should be.

    Example:
        ```python
        fresh = build_dbt_source_freshness_checks([shop])
        every_hour = ScheduleDefinition(
            job=define_asset_job("fresh", AssetSelection.checks(fresh)), cron_schedule="0 * * * *"
        )
        ```
    """
    origin = Origin.of_the_one(dbt_assets)
    sources = _watched(dbt_assets, origin)
    whole = origin.step.definition if origin.step else dbt_assets[0].op.name
    if not sources:
        raise InvalidInput(
            f"No source of {origin.manifest} says how fresh it should be.",
            remedy="Give it loaded_at_field and freshness in the project's YAML: "
            "https://docs.getdbt.com/reference/resource-properties/freshness",
        )
    specs = [
        AssetCheckSpec(
            FRESHNESS,
            asset=key,
            description=f"dbt source freshness of {source}",
            metadata={keys.UNIQUE_ID: source},
        )
        for source, key in sources.items()
    ]

    @multi_asset_check(
        name=name or f"{whole}_freshness",
        specs=specs,
        can_subset=True,
        required_resource_keys={resource_key},
    )
    def check_freshness(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        chosen = context.selected_asset_check_keys
        wanted = {
            source: key
            for source, key in sources.items()
            if AssetCheckKey(key, FRESHNESS) in chosen
        }
        dbt: DbtCliResource = getattr(context.resources, resource_key)
        yield from _checked(dbt, origin, wanted)

    return check_freshness


def _watched(dbt_assets: Sequence[AssetsDefinition], origin: Origin) -> dict[str, AssetKey]:
    """The sources that say how fresh they should be, and the assets that they are."""
    found: dict[str, AssetKey] = {}
    for source in origin.manifest.ids("sources"):
        said: Mapping[str, Mapping[str, Any] | None]
        said = origin.manifest.props(source).get("freshness") or {}
        limits = (said.get("warn_after"), said.get("error_after"))
        if any(limit and limit.get("count") for limit in limits):
            found[source] = origin.key_in(dbt_assets, source)
    return found


def _checked(
    dbt: DbtCliResource, origin: Origin, sources: Mapping[str, AssetKey]
) -> Iterator[AssetCheckResult]:
    selected = [exactly(origin.manifest.node(source)) for source in sources]
    invocation = dbt.cli(
        ["source", "freshness", "--select", *selected],
        raise_on_error=False,
        manifest=origin.manifest,
        dagster_dbt_translator=origin.translator,
    )
    error = invocation.get_error()
    written = (invocation.target_path / "sources.json").exists()
    if error is not None and not written:
        raise error
    told = invocation.get_artifact("sources.json")["results"]
    results = {str(result["unique_id"]): result for result in told}
    for source, key in sources.items():
        if source in results:
            yield _result(key, results[source])
        elif error is not None:
            # dbt leaves a source that it cannot query out of its artifact.
            yield _failed(key, source, error)
    missing = sorted(sources.keys() - results.keys())
    if missing and error is None:
        with failures(DagsterDbtCliRuntimeError):
            raise WorkFailed(
                f"dbt source freshness has no result for {len(missing)} of {len(sources)} sources.",
                seen="\n".join(missing[:20]),
                remedy=f"Command: {invocation.dbt_process.short_command}",
            )


def _failed(key: AssetKey, source: str, error: Exception) -> AssetCheckResult:
    return AssetCheckResult(
        asset_key=key,
        check_name=FRESHNESS,
        passed=False,
        severity=AssetCheckSeverity.ERROR,
        description=str(error),
        metadata={"unique_id": source, "status": "error"},
    )


def _result(key: AssetKey, result: Mapping[str, Any]) -> AssetCheckResult:
    status = str(result["status"])
    age = result.get("max_loaded_at_time_ago_in_s")
    metadata: dict[str, Any] = {"unique_id": result["unique_id"], "status": status}
    if age is not None:
        metadata |= {"age_s": float(age), "max_loaded_at": str(result["max_loaded_at"])}
    if criteria := cast("Mapping[str, Any] | None", result.get("criteria")):
        metadata["criteria"] = MetadataValue.json(dict(criteria))
    return AssetCheckResult(
        asset_key=key,
        check_name=FRESHNESS,
        passed=status == "pass",
        severity=AssetCheckSeverity.WARN if status == "warn" else AssetCheckSeverity.ERROR,
        description=str(result["error"]) if result.get("error") else None,
        metadata=metadata,
    )


def build_freshness_checks_from_dbt_assets(
    *, dbt_assets: Sequence[AssetsDefinition]
) -> Sequence[AssetChecksDefinition]:
    """Checks on models that say in `meta: dagster: freshness_check:` how fresh they should be.

    They compare with Dagster's record of when a model was last materialized. `deadline_cron` and
    `severity` (`WARN` by default) are optional; a model without time partitions also needs
    `lower_bound_delta_seconds`. Dagster's newer way is a `FreshnessPolicy` on the spec.

    Raises:
        InvalidInput: A model does not say it as a whole number of seconds, or names a severity
            that there is not.
    """
    found: list[AssetChecksDefinition] = []
    by_key: dict[AssetKey, Mapping[str, Any]] = {}
    partitioned: defaultdict[bool, list[AssetKey]] = defaultdict(list)
    for assets_def in dbt_assets:
        origin = Origin.of_the_one([assets_def])
        in_time = isinstance(assets_def.partitions_def, TimeWindowPartitionsDefinition)
        for spec in assets_def.specs:
            node = origin.manifest.node(str(spec.metadata[keys.UNIQUE_ID]))
            if said := node.dagster_meta.get("freshness_check"):
                by_key[spec.key] = said
                partitioned[in_time].append(spec.key)
    for key in partitioned[True]:
        found += build_time_partition_freshness_checks(
            assets=[key],
            deadline_cron=by_key[key].get("deadline_cron") or "0 0 * * *",
            severity=_severity(key, by_key[key]),
        )
    for key in partitioned[False]:
        found += build_last_update_freshness_checks(
            assets=[key],
            deadline_cron=by_key[key].get("deadline_cron"),
            lower_bound_delta=_lower_bound(key, by_key[key]),
            severity=_severity(key, by_key[key]),
        )
    return found


def _severity(key: AssetKey, said: Mapping[str, Any]) -> AssetCheckSeverity:
    name = str(said.get("severity") or "WARN").upper()
    if name not in AssetCheckSeverity.__members__:
        raise InvalidInput(
            f"The freshness_check of {key.to_user_string()!r} has a severity that there is not: "
            f"{name}.",
            remedy=f"Say one of {', '.join(AssetCheckSeverity.__members__)}.",
        )
    return AssetCheckSeverity[name]


def _lower_bound(key: AssetKey, said: Mapping[str, Any]) -> timedelta:
    try:
        return timedelta(seconds=int(said["lower_bound_delta_seconds"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"The freshness_check of {key.to_user_string()!r} has no lower_bound_delta_seconds that "
            "is a whole number.",
            seen=str(dict(said)),
            remedy="Say it in the model's meta.dagster.freshness_check.",
        ) from error
