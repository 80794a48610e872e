"""Hooks that post to Slack when a step fails or succeeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagweave.notifier import notify_on
from dagweave.notifier.renamed import web_address
from dagweave.slack.notifier import SlackNotifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import HookContext, HookDefinition

    from dagweave.notifier.hooks import Outcome


def slack_on_failure(
    channel: str,
    message_fn: Callable[[HookContext], str] | None = None,
    dagit_base_url: str | None = None,
    webserver_base_url: str | None = None,
    *,
    mention_owners: bool = False,
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
        mention_owners: Whether the owners of the assets are mentioned in the default message; it
            takes the scope users:read.email.
    """
    base_url = web_address(webserver_base_url, dagit_base_url)
    return _hook("failed", "slack_on_failure", channel, message_fn, base_url, mention_owners)


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
    base_url = web_address(webserver_base_url, dagit_base_url)
    return _hook("succeeded", "slack_on_success", channel, message_fn, base_url)


def _hook(
    outcome: Outcome,
    name: str,
    channel: str,
    message_fn: Callable[[HookContext], str] | None,
    webserver_base_url: str | None,
    mention_owners: bool = False,  # noqa: FBT001, FBT002 -- handed on
) -> HookDefinition:
    return notify_on(
        outcome,
        lambda context: SlackNotifier(
            context.resources.slack.get_client(), channel, mention_owners=mention_owners
        ),
        name=name,
        required_resource_keys=frozenset({"slack"}),
        message_fn=message_fn,
        webserver_base_url=webserver_base_url,
    )
