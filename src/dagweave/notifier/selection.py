"""Which runs and assets a sensor is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from dagster import CodeLocationSelector, JobSelector, RepositorySelector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from dagster import AssetKey, AssetSelection, DagsterRun, SensorEvaluationContext

    class Named(Protocol):
        """A job or a graph, however it is defined."""

        @property
        def name(self) -> str:
            """Its name."""
            ...

    Monitored: TypeAlias = Named | JobSelector | RepositorySelector | CodeLocationSelector

_REPOSITORY = "__repository__"


def is_monitored(
    context: SensorEvaluationContext,
    run: DagsterRun,
    monitored_jobs: Sequence[Monitored] | None,
    *,
    everywhere: bool,
) -> bool:
    """Whether a sensor is for `run`, by the rules of Dagster's own run status sensors.

    It is for the runs of its own repository, those of some of its jobs if it names any, and for
    those that it selects in others; or for all.
    """
    if everywhere:
        return True
    chosen = monitored_jobs or ()
    if _is_own(context, run):
        named = [
            each.name
            for each in chosen
            if not isinstance(each, JobSelector | RepositorySelector | CodeLocationSelector)
        ]
        if not chosen or run.job_name in named:
            return True
    origin = run.remote_job_origin
    if origin is None:
        return False
    repository = origin.repository_origin
    location, name = repository.code_location_origin.location_name, repository.repository_name
    return any(_selects(each, location, name, run.job_name) for each in chosen)


def keys_of(
    context: SensorEvaluationContext, selection: AssetSelection | None, *, everywhere: bool
) -> frozenset[AssetKey] | None:
    """The assets that a sensor is for; `None` for all that there are."""
    repository = context.repository_def
    if repository is None or (everywhere and selection is None):
        return None
    graph = repository.asset_graph
    return frozenset(selection.resolve(graph) if selection else graph.get_all_asset_keys())


def _is_own(context: SensorEvaluationContext, run: DagsterRun) -> bool:
    """Whether `run` is of the sensor's repository; in a test, neither is of any code location."""
    location, origin = context.code_location_origin, run.remote_job_origin
    if location is None or origin is None:
        return location is None and origin is None
    theirs = origin.repository_origin
    return (
        location.location_name == theirs.code_location_origin.location_name
        and context.repository_name == theirs.repository_name
    )


def _selects(chosen: Monitored, location: str | None, repository: str, job_name: str) -> bool:
    if isinstance(chosen, CodeLocationSelector):
        return (location, repository) == (chosen.location_name, _REPOSITORY)
    if isinstance(chosen, RepositorySelector):
        return (location, repository) == (chosen.location_name, chosen.repository_name)
    return isinstance(chosen, JobSelector) and (location, repository, job_name) == (
        chosen.location_name,
        # Without a repository, a job is looked for in the one that a location has as a rule.
        chosen.repository_name or _REPOSITORY,
        chosen.job_name,
    )
