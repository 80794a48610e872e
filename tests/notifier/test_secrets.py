"""After everything went wrong, no secret is in any log or any store."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from dagweave.notifier import WebhookNotifier, notify_on_run_failure
from dagweave.pagerduty import PagerDutyService, pagerduty_on_failure
from dagweave.slack import SlackResource, make_slack_on_run_failure_sensor, slack_on_failure
from dagweave.testing import PagerDutyServer, SlackServer

SECRETS = {
    "slack": "xoxb-1234-not-the-one-of-the-server",
    "pagerduty": "0123456789abcdef0123456789abcdef",
    "webhook": "whsec-9876-very-secret",
}


@dg.op
def breaks() -> None:
    raise ValueError("no rows")


@dg.job(hooks={slack_on_failure("#data"), pagerduty_on_failure("error")})
def nightly() -> None:
    breaks()


def test_no_secret_is_in_any_log_or_any_store(
    slack_server: SlackServer,
    pagerduty_server: PagerDutyServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
):
    webhook = WebhookNotifier(
        f"http://127.0.0.1:1/{SECRETS['webhook']}", secret=SECRETS["webhook"], max_retries=0
    )
    pagerduty = PagerDutyService(routing_key=SECRETS["pagerduty"])
    sensors = [
        make_slack_on_run_failure_sensor("#data", SECRETS["slack"]),
        notify_on_run_failure(lambda _: pagerduty.notifier(), name="pagerduty"),
        notify_on_run_failure(lambda _: webhook, name="webhook"),
    ]
    said = ""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        result = nightly.execute_in_process(
            instance=instance,
            resources={"slack": SlackResource(token=SECRETS["slack"]), "pagerduty": pagerduty},
            raise_on_error=False,
        )
        for sensor in sensors:
            with dg.build_sensor_context(instance) as context:
                tick = sensor.evaluate_tick(context)
            said += f"{tick.cursor} {tick.skip_message}"
        said += "".join(str(entry) for entry in instance.all_logs(result.run_id))

    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    captured = capfd.readouterr()
    everything = said + captured.out + captured.err + repr(webhook) + repr(pagerduty)
    # Each of them was asked, and each said no.
    assert slack_server.calls
    assert pagerduty_server.calls
    assert "invalid_auth" in everything
    assert said.count("will be tried again") == 3
    for secret in SECRETS.values():
        assert secret not in everything
        assert secret.encode() not in stored
