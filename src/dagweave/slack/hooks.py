"""Hooks that post to Slack when a step fails or succeeds."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dagweave._kernel.errors import InvalidInput
from dagweave.notifier import notify_on
from dagweave.slack.resource import SlackNotifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import HookContext, HookDefinition

    from dagweave.notifier.hooks import Outcome


def slack_on_failure(
    channel: str,
    message_fn: Callable[[HookContext], str] | None = None,
    dagit_base_url: str | None = None,
    webserver_base_url: str | None = None,
) -> HookDefinition:
    """Make a hook that posts to `channel` when a step fails. It needs the resource `slack`.

    The message says which op, job and run failed, which assets were not materialized, which checks
    did not pass, and what the error says. A message that cannot be sent is logged as an error of
    the run, and changes nothing about how the run ends.

    ```python
    from dagster import asset
    from dagweave.slack import slack_on_failure

    @asset(hooks={slack_on_failure("#data-alerts", webserver_base_url="http://localhost:3000")})
    def orders() -> None: ...
    ```

    Args:
        channel: A channel's name, `#data-alerts`, or its id. The bot must be in it.
        message_fn: Writes the whole message but the link, in Slack's markup. It may mention people
            and channels; where the error's text itself holds a mention of a whole channel, no such
            mention is kept.
        dagit_base_url: The old name of `webserver_base_url`; deprecated.
        webserver_base_url: Where Dagster's UI is, for a link to the run.
    """
    base_url = _webserver(webserver_base_url, dagit_base_url)
    return _hook("failed", "slack_on_failure", channel, message_fn, base_url)


def slack_on_success(
    channel: str,
    message_fn: Callable[[HookContext], str] | None = None,
    dagit_base_url: str | None = None,
    webserver_base_url: str | None = None,
) -> HookDefinition:
    """Make a hook that posts to `channel` when a step succeeds. It needs the resource `slack`.

    The message says which op, job and run succeeded, which assets that made, and which checks did
    not pass nevertheless. All else is as with `slack_on_failure`.
    """
    base_url = _webserver(webserver_base_url, dagit_base_url)
    return _hook("succeeded", "slack_on_success", channel, message_fn, base_url)


def _hook(
    outcome: Outcome,
    name: str,
    channel: str,
    message_fn: Callable[[HookContext], str] | None,
    webserver_base_url: str | None,
) -> HookDefinition:
    return notify_on(
        outcome,
        lambda context: SlackNotifier(context.resources.slack.get_client(), channel),
        name=name,
        required_resource_keys=frozenset({"slack"}),
        message_fn=message_fn,
        webserver_base_url=webserver_base_url,
    )


def _webserver(webserver_base_url: str | None, dagit_base_url: str | None) -> str | None:
    if dagit_base_url is None:
        return webserver_base_url
    if webserver_base_url is not None:
        raise InvalidInput(
            "Both webserver_base_url and dagit_base_url were given.",
            remedy="Give webserver_base_url alone: dagit_base_url is its old name.",
        )
    warnings.warn(
        "dagit_base_url is deprecated; write webserver_base_url instead.",
        DeprecationWarning,
        stacklevel=3,
    )
    return dagit_base_url
