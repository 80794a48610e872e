"""Hooks that open an alert when a step fails, and resolve it when the step succeeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagweave.notifier import SendsOnly, Severity, notify_on
from dagweave.notifier.renamed import web_address
from dagweave.pagerduty.message import require_severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import HookContext, HookDefinition

    from dagweave.notifier import Notice
    from dagweave.pagerduty.resource import PagerDutyNotifier


def pagerduty_on_failure(
    severity: Severity,
    summary_fn: Callable[[HookContext], str] | None = None,
    dagit_base_url: str | None = None,
    webserver_base_url: str | None = None,
) -> HookDefinition:
    """Make a hook that opens an alert when a step fails. It needs the resource `pagerduty`.

    The alert's key is `job|op`, so that a step that goes on failing is one alert. Its details say
    which run, which assets and checks, and what the error says. An event that cannot be sent is
    logged as an error of the run, and changes nothing about how the run ends.

    ```python
    from dagster import asset
    from dagweave.pagerduty import pagerduty_on_failure, pagerduty_on_success

    @asset(hooks={pagerduty_on_failure("error"), pagerduty_on_success()})
    def orders() -> None: ...
    ```

    Args:
        severity: `info`, `warning`, `error` or `critical`.
        summary_fn: Writes the alert's title.
        dagit_base_url: The old name of `webserver_base_url`; deprecated.
        webserver_base_url: Where Dagster's UI is, for a link to the run.

    Raises:
        InvalidInput: There is no such severity.
    """
    require_severity(severity)
    return notify_on(
        "failed",
        lambda context: context.resources.pagerduty.notifier(severity=severity),
        name="pagerduty_on_failure",
        required_resource_keys=frozenset({"pagerduty"}),
        message_fn=summary_fn,
        webserver_base_url=web_address(webserver_base_url, dagit_base_url),
    )


def pagerduty_on_success() -> HookDefinition:
    """Make a hook that resolves what `pagerduty_on_failure` opened, once the step succeeds.

    It belongs on the same ops, assets or jobs, and needs the resource `pagerduty`, too.
    """
    return notify_on(
        "succeeded",
        lambda context: _Resolves(context.resources.pagerduty.notifier()),
        name="pagerduty_on_success",
        required_resource_keys=frozenset({"pagerduty"}),
    )


@dataclass(frozen=True, slots=True)
class _Resolves(SendsOnly):
    """To tell of a success is to resolve."""

    notifier: PagerDutyNotifier

    def send(self, notice: Notice) -> str | None:
        self.notifier.resolve(notice, None)
        return None
