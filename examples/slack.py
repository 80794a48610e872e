"""Be told in Slack when an asset fails, and post from an asset.

    dagster dev -f examples/slack.py

With a bot token in SLACK_BOT_TOKEN this posts to your workspace; the bot must be in #data-alerts.
Without one it posts to a local stand-in, whose address it prints: open it in a browser.
"""

import os

import dagster as dg

from dagweave.slack import SlackResource, slack_on_failure, slack_on_success
from dagweave.testing import SlackServer

CHANNEL = "#data-alerts"
UI = "http://localhost:3000"

if "SLACK_BOT_TOKEN" not in os.environ:
    stand_in = SlackServer(inbox_path="slack_inbox.json").start()
    # Runs are processes of their own, and find the way by their environment.
    os.environ["SLACK_BOT_TOKEN"] = stand_in.token
    os.environ["DAGWEAVE_SLACK_BASE_URL"] = stand_in.base_url
    print(f"Slack's stand-in shows its inbox at {stand_in.url}")


@dg.asset(hooks={slack_on_failure(CHANNEL, webserver_base_url=UI)})
def orders() -> list[float]:
    """Fails when SLACK_EXAMPLE_FAILS is set, and is reported then."""
    if os.environ.get("SLACK_EXAMPLE_FAILS"):
        raise ValueError("the shop's database has no orders of today")
    return [12_000.0, 345.67]


@dg.asset(hooks={slack_on_success(CHANNEL, webserver_base_url=UI)})
def revenue(orders: list[float]) -> float:
    """Is reported when it is done."""
    return sum(orders)


@dg.asset
def report(slack: SlackResource, revenue: float) -> None:
    """Posts the number that everyone waits for."""
    slack.get_client().chat_postMessage(
        channel=CHANNEL, text=f":moneybag: Yesterday's revenue was *{revenue:,.2f}*."
    )


defs = dg.Definitions(
    assets=[orders, revenue, report],
    jobs=[dg.define_asset_job("morning", selection="*")],
    schedules=[dg.ScheduleDefinition(job_name="morning", cron_schedule="0 6 * * *")],
    resources={"slack": SlackResource(token=dg.EnvVar("SLACK_BOT_TOKEN"))},
)
