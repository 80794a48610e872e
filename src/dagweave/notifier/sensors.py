"""Sensors that tell of what no hook can: written once, and bound to any notifier.

Each reads Dagster's event log, so it sees what nobody was there to report: a run whose process was
killed, a run that never started, a check or an asset of any run. What cannot be sent is kept and
sent by a later tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypedDict, Unpack

from dagster import (
    AssetCheckSeverity,
    DagsterEventType,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
)

from dagweave._kernel.errors import InvalidInput
from dagweave.notifier.selection import is_monitored, keys_of
from dagweave.notifier.stories import check_news, freshness_news, run_news
from dagweave.notifier.watch import News, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagster import (
        AssetSelection,
        DagsterRun,
        EventLogEntry,
    )

    from dagweave.notifier.notice import Notice
    from dagweave.notifier.selection import Monitored
    from dagweave.notifier.watch import NotifierFor, Story

    Rewrite: TypeAlias = Callable[
        [SensorEvaluationContext, Notice, DagsterRun, EventLogEntry], Notice
    ]


class SensorOptions(TypedDict, total=False):
    """What all sensors on notifiers take.

    Attributes:
        required_resource_keys: The resources that the function which makes the notifier needs.
        monitor_all_code_locations: Whether to watch the whole instance, and not only the code
            location that the sensor is in. Default: false.
        follow_up: Whether a problem is one message that is updated, and closed when it is over, as
            far as the notifier can. Else each event is told of by itself, and nothing is closed.
            Default: true.
        webserver_base_url: Where Dagster's UI is, for a link to it.
        lookback_s: How far back the first tick looks, in seconds. What is older is skipped, and the
            tick says so. Default: 600.
        give_up_after_s: For how long a notice is tried to be sent, in seconds. After that it is
            logged as lost, with the reason. Default: 86,400, a day.
        minimum_interval_seconds: The least time between two ticks, in seconds. Default: 30.
        default_status: Whether the sensor runs unless it is switched off. Default: `STOPPED`.
    """

    required_resource_keys: set[str]
    monitor_all_code_locations: bool
    follow_up: bool
    webserver_base_url: str | None
    lookback_s: float
    give_up_after_s: float
    minimum_interval_seconds: int | None
    default_status: DefaultSensorStatus


def notify_on_run_failure(
    notifier: NotifierFor,
    *,
    name: str = "notify_on_run_failure",
    monitored_jobs: Sequence[Monitored] | None = None,
    rewrite: Rewrite | None = None,
    **options: Unpack[SensorOptions],
) -> SensorDefinition:
    """Make a sensor that tells of every run that fails, for whatever reason.

    A notice that cannot be sent is tried again by each tick, before anything new, until it is sent
    or given up. A tick that is killed after it sent, and before it could note that, sends again.
    With `follow_up`, a failure is closed when the same job succeeds for the same partition.

    ```python
    from dagster import Definitions
    from dagweave.notifier import WebhookNotifier, notify_on_run_failure

    tell = notify_on_run_failure(lambda _: WebhookNotifier("https://example.org/hook", secret="..."))
    defs = Definitions(sensors=[tell])
    ```

    Args:
        notifier: Makes the notifier from the sensor's context, and the resources in it.
        monitored_jobs: Jobs of this code location, and selectors of others'; all of this code
            location if there are none.
        rewrite: Has the last word on the notice, given the run and its last event.
        options: See `SensorOptions`.

    Raises:
        InvalidInput: Both `monitored_jobs` and `monitor_all_code_locations` are given. In a tick: the
            cursor is of another sensor.
    """
    everywhere, base_url = _scope(options)
    if everywhere and monitored_jobs:
        raise InvalidInput(
            f"The sensor {name!r} cannot watch some jobs and all code locations at once.",
            remedy="Give monitored_jobs or monitor_all_code_locations, not both.",
        )

    def story(context: SensorEvaluationContext, entry: EventLogEntry) -> News | None:
        run = context.instance.get_run_by_id(entry.run_id)
        if run is None or not is_monitored(context, run, monitored_jobs, everywhere=everywhere):
            return None
        news = run_news(context.instance, run, entry, base_url)
        if rewrite is None:
            return news
        return News(rewrite(context, news.notice, run, entry), over=news.over)

    ends = (DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS)
    types = ends if options.get("follow_up", True) else ends[:1]
    return _sensor(name, "Tells of runs that fail.", types, story, notifier, options)


def notify_on_check_failure(
    notifier: NotifierFor,
    *,
    name: str = "notify_on_check_failure",
    severity: AssetCheckSeverity = AssetCheckSeverity.WARN,
    selection: AssetSelection | None = None,
    **options: Unpack[SensorOptions],
) -> SensorDefinition:
    """Make a sensor that tells of every asset check that does not pass, whatever ran it.

    With `follow_up`, a check that goes on failing is one message, closed when it passes. All else
    is as with `notify_on_run_failure`.

    ```python
    from dagster import AssetCheckSeverity, Definitions
    from dagweave.notifier import AppriseNotifier, notify_on_check_failure

    tell = notify_on_check_failure(
        lambda _: AppriseNotifier("mailto://user:password@example.org"),
        severity=AssetCheckSeverity.ERROR,
    )
    defs = Definitions(sensors=[tell])
    ```

    Args:
        notifier: Makes the notifier from the sensor's context, and the resources in it.
        severity: The least that is told of: `WARN` for all, `ERROR` for those alone.
        selection: The assets to watch; those of this code location if there is none.
        options: See `SensorOptions`.
    """
    everywhere, base_url = _scope(options)
    errors_only = severity == AssetCheckSeverity.ERROR

    def story(context: SensorEvaluationContext, entry: EventLogEntry) -> News | None:
        check = entry.get_dagster_event().asset_check_evaluation_data
        keys = keys_of(context, selection, everywhere=everywhere)
        if keys is not None and check.asset_key not in keys:
            return None
        if errors_only and not check.passed and check.severity != AssetCheckSeverity.ERROR:
            return None
        return check_news(context, entry, base_url)

    types = (DagsterEventType.ASSET_CHECK_EVALUATION,)
    told = "Tells of asset checks that do not pass."
    return _sensor(name, told, types, story, notifier, options)


def notify_on_freshness(
    notifier: NotifierFor,
    *,
    name: str = "notify_on_freshness",
    selection: AssetSelection | None = None,
    **options: Unpack[SensorOptions],
) -> SensorDefinition:
    """Make a sensor that tells of every asset that goes stale by its freshness policy.

    It reads what Dagster's freshness daemon notes, so that must run. With `follow_up`, an asset
    that gets stale and then is stale is one message, closed when it is fresh. All else is as with
    `notify_on_run_failure`.

    Args:
        notifier: Makes the notifier from the sensor's context, and the resources in it.
        selection: The assets to watch; those of this code location if there is none.
        options: See `SensorOptions`.
    """
    everywhere, base_url = _scope(options)

    def story(context: SensorEvaluationContext, entry: EventLogEntry) -> News | None:
        changed = entry.get_dagster_event().asset_freshness_state_change_data.key
        keys = keys_of(context, selection, everywhere=everywhere)
        if keys is not None and changed not in keys:
            return None
        return freshness_news(context, entry, base_url)

    types = (DagsterEventType.FRESHNESS_STATE_CHANGE,)
    return _sensor(name, "Tells of assets that go stale.", types, story, notifier, options)


def _scope(options: SensorOptions) -> tuple[bool, str | None]:
    """Whether the whole instance is watched, and where its UI is."""
    return options.get("monitor_all_code_locations", False), options.get("webserver_base_url")


def _sensor(
    name: str,
    description: str,
    event_types: tuple[DagsterEventType, ...],
    story: Story,
    notifier: NotifierFor,
    options: SensorOptions,
) -> SensorDefinition:
    watch = Watch(
        name=name,
        event_types=event_types,
        story=story,
        notifier=notifier,
        follow_up=options.get("follow_up", True),
        lookback_s=options.get("lookback_s", 600.0),
        give_up_after_s=options.get("give_up_after_s", 86_400.0),
    )

    def tick(context: SensorEvaluationContext) -> SkipReason:
        return watch.tick(context)

    return SensorDefinition(
        name=name,
        evaluation_fn=tick,
        required_resource_keys=options.get("required_resource_keys"),
        minimum_interval_seconds=options.get("minimum_interval_seconds"),
        default_status=options.get("default_status", DefaultSensorStatus.STOPPED),
        description=description,
    )
