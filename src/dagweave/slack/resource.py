"""The Slack resource, and the notifier that posts with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import ConfigurableResource
from pydantic import Field

from dagweave.slack.client import connect, post
from dagweave.slack.message import render

if TYPE_CHECKING:
    from slack_sdk import WebClient

    from dagweave.notifier import Notice


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


@dataclass(frozen=True, slots=True)
class SlackNotifier:
    """Posts notices to one channel: a `dagweave.notifier.Notifier`.

    `channel` is a name with or without `#`, or an id.
    """

    client: WebClient
    channel: str

    def send(self, notice: Notice) -> None:
        """Post `notice`.

        Raises:
            Refused: Slack said no; carries its error code and what to do about it.
            Unavailable: Slack was not reached, or could not answer now.
        """
        message = render(notice)
        post(self.client, self.channel, message.text, message.blocks)
