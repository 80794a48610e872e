"""A sensor that posts to Slack when a run fails."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dagster import (
    DefaultSensorStatus,
    EnvVar,
    RunFailureSensorContext,
    build_run_status_sensor_context,
)

from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.redact import redact
from dagweave.notifier import notify_on_run_failure
from dagweave.notifier.renamed import web_address
from dagweave.notifier.text import cut, each_text
from dagweave.slack.client import connect
from dagweave.slack.notifier import SlackNotifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagster import DagsterRun, EventLogEntry, SensorDefinition, SensorEvaluationContext

    from dagweave.notifier import Notice
    from dagweave.notifier.selection import Monitored

# A tick has a minute in all, and the next one asks again: neither long waits nor retries here.
_TIMEOUT_S = 10.0
# A section takes 3,000 characters, and Slack counts some of them twice.
_LONGEST_SECTION = 2_900


def make_slack_on_run_failure_sensor(
    channel: str,
    slack_token: str | None,
    text_fn: Callable[[RunFailureSensorContext], str] | None = None,
    blocks_fn: Callable[[RunFailureSensorContext], list[dict[Any, Any]]] | None = None,
    name: str | None = None,
    dagit_base_url: str | None = None,
    minimum_interval_seconds: int | None = None,
    monitored_jobs: Sequence[Monitored] | None = None,
    job_selection: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool = False,  # noqa: FBT001, FBT002 -- the official signature
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    webserver_base_url: str | None = None,
    monitor_all_repositories: bool = False,  # noqa: FBT001, FBT002 -- the official signature
    *,
    follow_up: bool = False,
    mention_owners: bool = False,
    base_url: str | None = None,
    lookback_s: float = 600.0,
    give_up_after_s: float = 86_400.0,
) -> SensorDefinition:
    """Make a sensor that posts to `channel` whenever a run fails, for whatever reason.

    It sees what no hook does: a run whose process was killed, or that never started. A message that
    cannot be posted is tried again by each tick until it is posted or given up
    (`notify_on_run_failure`).

    ```python
    from dagster import Definitions, EnvVar
    from dagweave.slack import make_slack_on_run_failure_sensor

    tell = make_slack_on_run_failure_sensor("#data-alerts", EnvVar("SLACK_BOT_TOKEN"))
    defs = Definitions(sensors=[tell])
    ```

    Args:
        channel: A channel's name, `#data-alerts`, or its id. The bot must be in it.
        slack_token: The bot token. As an `EnvVar` it is read when the sensor ticks.
        text_fn: Writes the message in Slack's markup. Without one, it says what failed and why.
        blocks_fn: Lays the message out; `text_fn` then writes what a notification shows.
        name: The sensor's name, `slack_on_run_failure` if there is none.
        dagit_base_url: The old name of `webserver_base_url`; deprecated.
        minimum_interval_seconds: The least time between two ticks, in seconds.
        monitored_jobs: Jobs of this code location, and selectors of others'; all of this code
            location if there are none.
        job_selection: The old name of `monitored_jobs`.
        monitor_all_code_locations: Whether to watch the whole instance.
        default_status: Whether the sensor runs unless it is switched off.
        webserver_base_url: Where Dagster's UI is, for a link to the run.
        monitor_all_repositories: The old name of `monitor_all_code_locations`.
        follow_up: Whether a job that goes on failing is one message, with a thread, that says when
            the job works again. Else each failed run is a message.
        mention_owners: Whether the owners of the assets are mentioned; see the guide for the scope.
        base_url: Where the methods of the Slack API are, as in `SlackResource`.
        lookback_s: How far back the first tick looks, in seconds.
        give_up_after_s: For how long a message is tried to be posted, in seconds.
    """

    def notifier(_: SensorEvaluationContext) -> SlackNotifier:
        client = connect(
            _token(slack_token), base_url=base_url, timeout_s=_TIMEOUT_S, max_retries=0
        )
        return SlackNotifier(client, channel, mention_owners=mention_owners)

    def in_own_words(
        context: SensorEvaluationContext, notice: Notice, run: DagsterRun, entry: EventLogEntry
    ) -> Notice:
        # The functions are written for a failure; that all is well again is said in our words.
        if notice.severity == "info" or not (text_fn or blocks_fn):
            return notice
        failure = build_run_status_sensor_context(
            name or "slack_on_run_failure",
            entry.get_dagster_event(),
            context.instance,
            run,
            context=context,
        ).for_run_failure()
        text = redact(text_fn(failure)) if text_fn else f"{notice.summary}\n{notice.details}"
        blocks = blocks_fn(failure) if blocks_fn else _two_sections(run, text)
        return replace(
            notice, message=text, blocks=tuple(each_text(block, redact) for block in blocks)
        )

    return notify_on_run_failure(
        notifier,
        name=name or "slack_on_run_failure",
        monitored_jobs=monitored_jobs or job_selection,
        rewrite=in_own_words,
        monitor_all_code_locations=monitor_all_code_locations or monitor_all_repositories,
        follow_up=follow_up,
        webserver_base_url=web_address(webserver_base_url, dagit_base_url),
        lookback_s=lookback_s,
        give_up_after_s=give_up_after_s,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
    )


def _token(given: str | None) -> str:
    token = given.get_value() if isinstance(given, EnvVar) else given
    if not token:
        raise InvalidInput(
            "The sensor has no Slack token.",
            seen="slack_token is empty"
            + (f": ${given.env_var_name} is not set." if isinstance(given, EnvVar) else "."),
            remedy="Set the environment variable that it comes from, where the code location runs.",
        )
    return token


def _two_sections(run: DagsterRun, text: str) -> list[dict[str, Any]]:
    """The layout of the official sensor; a long text is cut, which Slack would refuse."""
    head = f'*Job "{run.job_name}" failed. `{run.run_id.partition("-")[0]}`*'
    return [
        {"type": "section", "text": {"type": "mrkdwn", "text": part}}
        for part in (head, cut(text, _LONGEST_SECTION))
        if part.strip()
    ]
