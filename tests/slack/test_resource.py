from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from pydantic import ValidationError
from slack_sdk import WebClient

from dagweave._kernel.errors import Refused
from dagweave.notifier import Notice, Notifier
from dagweave.slack import SlackNotifier, SlackResource
from dagweave.testing import SlackServer

TOKEN = "xoxb-4242424242-a-secret-to-look-for"


def test_an_asset_posts_with_the_client_that_the_resource_gives(slack_server: SlackServer):
    @dg.asset
    def monitored(slack: SlackResource) -> None:
        slack.get_client().chat_postMessage(channel="#data-alerts", text="12 rows loaded")

    slack = SlackResource(token=dg.EnvVar("SLACK_BOT_TOKEN"))
    assert dg.materialize([monitored], resources={"slack": slack}).success

    assert [(m.channel, m.text) for m in slack_server.inbox] == [("#data-alerts", "12 rows loaded")]


def test_the_client_is_slacks_own():
    client = SlackResource(token=TOKEN, timeout_s=7).get_client()

    assert isinstance(client, WebClient)
    assert (client.token, client.timeout) == (TOKEN, 7)


def test_the_field_wins_over_the_environment(
    slack_server: SlackServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGWEAVE_SLACK_BASE_URL", "http://127.0.0.1:1/api/")
    slack = SlackResource(token=slack_server.token, base_url=slack_server.base_url)

    assert slack.get_client().auth_test()["ok"]


def test_the_resource_can_be_configured_in_the_launchpad(slack_server: SlackServer):
    @dg.asset
    def monitored(slack: SlackResource) -> None:
        slack.get_client().auth_test()

    config = {"resources": {"slack": {"config": {"token": slack_server.token, "timeout_s": 3}}}}
    resources = {"slack": SlackResource.configure_at_launch()}
    assert dg.materialize([monitored], resources=resources, run_config=config).success

    assert slack_server.calls == ["auth.test"]


@pytest.mark.parametrize("field", [{"timeout_s": 0}, {"max_retries": -1}])
def test_a_field_that_makes_no_sense_is_refused_without_the_token(field: dict[str, int]):
    with pytest.raises(ValidationError) as caught:
        SlackResource(token=TOKEN, **field)  # pyright: ignore[reportArgumentType]

    assert TOKEN not in str(caught.value)


def test_the_token_is_in_no_repr():
    resource = SlackResource(token=TOKEN)
    notifier = SlackNotifier(resource.get_client(), "#data")

    for shown in (repr(resource), str(resource), repr(notifier), repr({"slack": resource})):
        assert TOKEN not in shown


def test_the_notifier_is_a_notifier(slack_server: SlackServer):
    client = SlackResource(token=slack_server.token).get_client()
    notifier: Notifier = SlackNotifier(client, "#data")
    notice = Notice(
        summary="Something!",
        severity="critical",
        dedup_key="k",
        job_name="j",
        op_name="o",
        run_id="r",
    )

    notifier.send(notice)

    assert slack_server.inbox[0].text == "Something!\nRun ID: r"


def test_the_notifier_says_why_it_could_not_send(slack_server: SlackServer):
    slack_server.add_channel("old", archived=True)
    client = SlackResource(token=slack_server.token).get_client()
    notice = Notice(
        summary="Something!", severity="info", dedup_key="k", job_name="j", op_name="o", run_id="r"
    )

    with pytest.raises(Refused, match="is_archived"):
        SlackNotifier(client, "#old").send(notice)


DEFINITIONS = """
import dagster as dg
from dagweave.slack import SlackResource, slack_on_failure

@dg.asset(hooks={slack_on_failure("#nowhere"), slack_on_failure("#data", lambda c: 1 / 0)})
def fails(context, slack: SlackResource):
    context.log.info(f"with {slack} and {slack.get_client()}")
    print(slack)
    context.add_output_metadata({"slack": repr(slack)})
    try:
        slack.get_client().chat_postMessage(channel="#nowhere", text="hello")
    except Exception as error:
        context.log.warning(error)
    raise ValueError(f"failed with {slack}")

defs = dg.Definitions([fails], resources={"slack": SlackResource(token=dg.EnvVar("SLACK_BOT_TOKEN"))})
"""


def test_the_token_is_in_no_file_that_a_failed_run_leaves_behind(tmp_path: Path):
    (tmp_path / "definitions.py").write_text(DEFINITIONS)
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(json.dumps({"telemetry": {"enabled": False}}))

    with SlackServer(channels=["#data"]) as server:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("dagster"),
                *("asset", "materialize", "-f", "definitions.py", "--select", "*"),
            ],
            cwd=tmp_path,
            env=os.environ
            | {
                "DAGSTER_HOME": str(home),
                "DAGWEAVE_SLACK_BASE_URL": server.base_url,
                "SLACK_BOT_TOKEN": TOKEN,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    files = [path for path in home.rglob("*") if path.is_file()]
    holding = {
        word: [path for path in files if word.encode() in path.read_bytes()]
        for word in ("invalid_auth", "ZeroDivisionError", TOKEN)
    }
    assert done.returncode != 0
    # What the hooks had to say is there to be found, and so would the token be.
    assert holding["invalid_auth"]
    assert holding["ZeroDivisionError"]
    assert any(path.suffix in {".err", ".out"} for path in files)
    assert holding[TOKEN] == []
    assert TOKEN not in done.stdout + done.stderr
