"""The Slack resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import ConfigurableResource
from pydantic import Field

from dagweave.slack.client import connect
from dagweave.slack.notifier import SlackNotifier

if TYPE_CHECKING:
    from slack_sdk import WebClient


class SlackResource(ConfigurableResource["SlackResource"]):
    """A Slack app's access to its workspace.

    ```python
    from dagster import Definitions, EnvVar, asset
    from dagweave.slack import SlackResource

    @asset
    def greeted(slack: SlackResource) -> None:
        slack.get_client().chat_postMessage(channel="#data", text="Good morning!")

    defs = Definitions([greeted], resources={"slack": SlackResource(token=EnvVar("SLACK_BOT_TOKEN"))})
    ```
    """

    token: str = Field(
        repr=False,
        description="The app's bot token, `xoxb-...`, with the scope chat:write. Give it as an "
        "EnvVar, so that it is in no code and not shown in Dagster's UI.",
    )
    base_url: str | None = Field(
        default=None,
        description="Where the methods of the Slack API are, if not at https://slack.com/api/. "
        "Without it, the environment variable DAGWEAVE_SLACK_BASE_URL is asked.",
    )
    timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="Longest wait for a connection and for each part of an answer, in seconds.",
    )
    max_retries: int = Field(
        default=3,
        ge=0,
        description="How often a request is made again at most, after a lost connection, a 500 or "
        "503, or a 429 with a Retry-After of up to a minute, which is waited out.",
    )

    def get_client(self) -> WebClient:
        """Return a new `slack_sdk.WebClient`. Makes no request.

        Raises:
            MissingExtra: `slack_sdk` is not installed.
        """
        return connect(
            self.token,
            base_url=self.base_url,
            timeout_s=self.timeout_s,
            max_retries=self.max_retries,
        )

    def notifier(self, channel: str, *, mention_owners: bool = False) -> SlackNotifier:
        """Return what posts notices to one channel; for the sensors of `dagweave.notifier`.

        Args:
            channel: A name with or without `#`, or an id.
            mention_owners: Whether the owners of what broke are mentioned; it takes the scope
                users:read.email.

        Raises:
            MissingExtra: `slack_sdk` is not installed.
        """
        return SlackNotifier(self.get_client(), channel, mention_owners=mention_owners)
