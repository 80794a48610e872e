from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest

from dagweave.notifier import Notice
from dagweave.slack import SlackNotifier, SlackResource, make_slack_on_run_failure_sensor
from dagweave.slack.client import connect
from dagweave.slack.pace import Pace
from dagweave.testing import Channel, FakeClock, Fault, SlackServer
from dagweave.testing.slack.page import page

CHANNEL = "#data-alerts"


@dg.op(config_schema={"breaks": dg.Field(bool, default_value=True)})
def load(context) -> None:
    if context.op_config["breaks"]:
        raise ValueError("no rows, password=hunter2secret <!channel>")


@dg.job
def nightly() -> None:
    load()


@dataclass
class Daemon:
    """Runs the job, and ticks a sensor on it."""

    server: SlackServer
    instance: dg.DagsterInstance
    cursor: str | None = None
    said: list[str] = field(default_factory=list)

    def run(self, *, breaks: bool = True) -> str:
        config = {"ops": {"load": {"config": {"breaks": breaks}}}}
        return nightly.execute_in_process(
            run_config=config, instance=self.instance, raise_on_error=False
        ).run_id

    def tick(self, sensor: dg.SensorDefinition) -> None:
        with dg.build_sensor_context(self.instance, cursor=self.cursor) as context:
            tick = sensor.evaluate_tick(context)
        self.cursor = tick.cursor
        self.said.append(tick.skip_message or "")

    def sensor(self, **options: Any) -> dg.SensorDefinition:
        return make_slack_on_run_failure_sensor(CHANNEL, self.server.token, **options)


@pytest.fixture
def daemon(slack_server: SlackServer) -> Iterator[Daemon]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Daemon(slack_server, instance)


def test_a_failed_run_is_posted_with_its_reason_and_calls_nobody(daemon: Daemon):
    run_id = daemon.run()

    daemon.tick(daemon.sensor(webserver_base_url="http://ui"))

    [message] = daemon.server.inbox
    assert message.text.startswith(f"Job nightly failed!\nRun ID: {run_id}\n")
    assert "load: ValueError: no rows, password=***" in message.text
    assert f"<http://ui/runs/{run_id}|View in Dagster UI>" in message.text
    assert "<!channel>" not in message.text + str(message.blocks)


def test_the_users_text_is_laid_out_as_the_official_sensor_does(daemon: Daemon):
    run_id = daemon.run()
    sensor = daemon.sensor(
        text_fn=lambda context: f"Broken: {context.dagster_run.job_name}",
        webserver_base_url="http://ui",
    )

    daemon.tick(sensor)

    [message] = daemon.server.inbox
    assert message.text.startswith("Broken: nightly")
    head, body, actions = message.blocks
    assert head["text"]["text"] == f'*Job "nightly" failed. `{run_id.split("-")[0]}`*'
    assert body["text"]["text"] == "Broken: nightly"
    assert actions["elements"][0]["url"] == f"http://ui/runs/{run_id}"


def test_a_text_of_60_000_characters_is_laid_out_and_cut(daemon: Daemon):
    daemon.run()

    daemon.tick(daemon.sensor(text_fn=lambda _: "first" + "x" * 60_000 + "last"))

    [message] = daemon.server.inbox
    assert message.blocks[1]["text"]["text"].startswith("first")
    assert message.blocks[1]["text"]["text"].endswith("last")


def test_the_users_blocks_are_posted_and_a_refused_layout_becomes_text(daemon: Daemon):
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "token=hunter2secret *so*"}}
    daemon.run()
    daemon.tick(daemon.sensor(blocks_fn=lambda _: [block]))
    daemon.run()
    daemon.tick(daemon.sensor(blocks_fn=lambda _: [block] * 200, text_fn=lambda _: "in words"))

    laid_out, bare = daemon.server.inbox
    assert laid_out.blocks[0]["text"]["text"] == "token=*** *so*"
    assert (bare.text, bare.blocks) == ("in words", ())


def test_what_slack_does_not_take_now_is_posted_later(daemon: Daemon):
    sensor = daemon.sensor()
    daemon.tick(sensor)
    daemon.run()
    daemon.server.inject(Fault.rate_limited())
    for _ in range(3):
        daemon.tick(sensor)

    assert len(daemon.server.inbox) == 1
    assert "1 could not be sent and will be tried again" in daemon.said[1]
    assert daemon.said[2:] == ["1 sent.", "0 sent."]


def test_a_channel_that_is_put_right_gets_what_waited_for_it(daemon: Daemon):
    daemon.server.add_channel(CHANNEL, bot_is_member=False)
    sensor = daemon.sensor()
    daemon.run()
    daemon.tick(sensor)
    daemon.server.add_channel(CHANNEL)
    daemon.tick(sensor)

    assert "Slack refused a message to #data-alerts" in daemon.said[0]
    assert len(daemon.server.inbox) == 1


def test_a_problem_is_one_message_with_a_thread_that_says_when_it_is_over(daemon: Daemon):
    sensor = daemon.sensor(follow_up=True)
    for breaks in (True, True, False):
        daemon.run(breaks=breaks)
        daemon.tick(sensor)

    root, again, over = daemon.server.inbox
    assert root.edited
    assert "Job nightly works again." in root.text
    assert "It failed 2 times since <!date^" in root.text
    assert "load: ValueError: no rows" in root.text
    assert (again.thread_ts, over.thread_ts) == (root.ts, root.ts)
    assert "Job nightly failed!" in again.text
    assert "Job nightly works again." in over.text
    shown = page(daemon.server.inbox)
    assert shown.index("It failed 2 times") < shown.index("Job nightly failed!")


def test_without_a_token_the_tick_says_so_and_nothing_is_lost(daemon: Daemon):
    daemon.run()
    unset = make_slack_on_run_failure_sensor(CHANNEL, dg.EnvVar("NO_SUCH_TOKEN"))
    daemon.tick(unset)
    daemon.tick(daemon.sensor())

    assert "The sensor has no Slack token." in daemon.said[0]
    assert len(daemon.server.inbox) == 1


NOTICE = Notice(summary="Job nightly failed!", severity="error", dedup_key="nightly")


@pytest.fixture
def notifier(slack_server: SlackServer) -> SlackNotifier:
    return SlackResource(token=slack_server.token, max_retries=0).notifier(CHANNEL)


def test_a_message_that_was_deleted_meanwhile_is_posted_anew(
    slack_server: SlackServer, notifier: SlackNotifier
):
    handle = notifier.send(NOTICE)
    slack_server.inject(Fault.refused("message_not_found"), method="chat.update")

    again = notifier.update(NOTICE, handle)

    assert [message.thread_ts for message in slack_server.inbox] == [None, None]
    assert again != handle


@pytest.mark.parametrize("handle", [None, "", "{}", "no handle"])
def test_a_handle_that_cannot_be_read_is_no_reason_not_to_tell(
    slack_server: SlackServer, notifier: SlackNotifier, handle: str | None
):
    notifier.update(NOTICE, handle)
    notifier.resolve(NOTICE, handle)

    assert len(slack_server.inbox) == 2


def test_messages_to_one_channel_wait_for_their_turn():
    clock = FakeClock()
    pace = Pace(clock)

    for _ in range(8):
        pace.take_turn("http://slack/", "#data")
    pace.take_turn("http://slack/", "#other")

    assert clock.slept == [1.0, 1.0, 1.0]


def test_nobody_waits_for_more_than_ten_seconds():
    clock = FakeClock()
    pace = Pace(clock)
    # As threads, which all ask before the first of them has waited.
    clock_of_others = [pace] * 40
    for each in clock_of_others:
        each.take_turn("http://slack/", "data")

    assert max(clock.slept) <= 10


def test_an_archived_or_unknown_channel_is_named(slack_server: SlackServer):
    with SlackServer(channels=[Channel("old", archived=True)]) as server:
        client = connect(server.token, base_url=server.base_url, max_retries=0)
        for channel, code in (("#old", "is_archived"), ("#none", "channel_not_found")):
            with pytest.raises(Exception, match=code):
                SlackNotifier(client, channel).send(NOTICE)
