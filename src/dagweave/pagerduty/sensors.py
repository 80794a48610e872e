"""A sensor that opens an alert when a run fails, and resolves it when the job works again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from dagweave.notifier import SensorOptions, Severity, notify_on_run_failure
from dagweave.pagerduty.message import require_severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import SensorDefinition

    from dagweave.notifier.selection import Monitored


def make_pagerduty_on_run_failure_sensor(
    severity: Severity = "error",
    *,
    name: str = "pagerduty_on_run_failure",
    monitored_jobs: Sequence[Monitored] | None = None,
    **options: Unpack[SensorOptions],
) -> SensorDefinition:
    """Make a sensor that opens an alert whenever a run fails. It needs the resource `pagerduty`.

    The alert is resolved when the same job succeeds for the same partition. It sees what no hook
    does, a killed process or a run that never started, and tries again what could not be sent.

    ```python
    from dagster import Definitions, EnvVar
    from dagweave.pagerduty import PagerDutyService, make_pagerduty_on_run_failure_sensor

    defs = Definitions(
        sensors=[make_pagerduty_on_run_failure_sensor("critical")],
        resources={"pagerduty": PagerDutyService(routing_key=EnvVar("PAGERDUTY_ROUTING_KEY"))},
    )
    ```

    Args:
        severity: `info`, `warning`, `error` or `critical`.
        monitored_jobs: Jobs of this code location, and selectors of others'; all of this code
            location if there are none.
        options: See `dagweave.notifier.SensorOptions`.

    Raises:
        InvalidInput: There is no such severity.
    """
    require_severity(severity)
    options["required_resource_keys"] = {"pagerduty", *options.get("required_resource_keys", ())}
    return notify_on_run_failure(
        lambda context: context.resources.pagerduty.notifier(severity=severity),
        name=name,
        monitored_jobs=monitored_jobs,
        **options,
    )
