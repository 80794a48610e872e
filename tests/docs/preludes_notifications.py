"""What the blocks of docs/notifications.md, docs/pagerduty.md and docs/deployments.md leave out."""

from __future__ import annotations

from typing import Any

from docs.preludes_slack import FAILED_JOB

LOCAL_SERVERS = """
import os
from dagweave.testing import PagerDutyServer, SlackServer

_slack, _pagerduty = SlackServer().start(), PagerDutyServer().start()
os.environ["SLACK_BOT_TOKEN"] = _slack.token
os.environ["DAGWEAVE_SLACK_BASE_URL"] = _slack.base_url
os.environ["PAGERDUTY_ROUTING_KEY"] = _pagerduty.routing_key
os.environ["DAGWEAVE_PAGERDUTY_BASE_URL"] = _pagerduty.url
"""

FAIL_AND_TICK = (
    FAILED_JOB
    + """    _repository = defs.get_repository_def()
    for _sensor in _repository.sensor_defs:
        _resources = {name: defs.resources[name] for name in _sensor.required_resource_keys}
        with _dg.build_sensor_context(
            _instance, definitions=defs, resources=_resources
        ) as _context:
            print(_sensor.name, _sensor.evaluate_tick(_context).skip_message)
print([message.text.splitlines()[0] for message in _slack.inbox], _pagerduty.incidents)
_slack.stop(), _pagerduty.stop()
"""
)

PRELUDES: dict[str, dict[str, Any]] = {
    "notifications-sensors": {
        "code": LOCAL_SERVERS,
        "after": FAIL_AND_TICK,
        "expect": "['Job _nightly failed!'] []",
    },
    "notifications-apprise": {
        "env": {"ALERTS_URL": "jsons://localhost"},
        "after": "print([sensor.name for sensor in defs.sensors])",
        "expect": "notify_on_run_failure",
    },
    "notifications-own": {
        "after": """
import dagster as _dg

_dg.materialize([orders], raise_on_error=False)
""",
        "expect": "error: Op orders on job __ephemeral_asset_job__ failed! (ValueError: no orders",
    },
    "pagerduty-first": {
        "code": LOCAL_SERVERS,
        "after": """
import dagster as _dg

_dg.materialize([orders], resources=defs.resources, raise_on_error=False)
print([(each.severity, each.status) for each in _pagerduty.incidents])
_slack.stop(), _pagerduty.stop()
""",
        "expect": "[('critical', 'triggered')]",
    },
    "pagerduty-sensor": {
        "code": LOCAL_SERVERS,
        "after": FAIL_AND_TICK,
        "expect": "pagerduty_on_run_failure 1 sent.",
    },
    "pagerduty-own": {
        "code": LOCAL_SERVERS,
        "after": """
import dagster as _dg
from dagster import EnvVar as _EnvVar

_service = PagerDutyService(routing_key=_EnvVar("PAGERDUTY_ROUTING_KEY"))
assert _dg.materialize([capacity], resources={"pagerduty": _service}).success
print([each.status for each in _pagerduty.incidents], len(_pagerduty.changes))
_slack.stop(), _pagerduty.stop()
""",
        "expect": "['resolved'] 1",
    },
    "deployments-choice": {
        "after": "print(type(defs.resources['io_manager']).__name__)",
        "expect": "DuckDBPandasIOManager",
    },
    "deployments-current": {
        "env": {"DAGSTER_CLOUD_DEPLOYMENT_NAME": "prod"},
        "expect": "prod, of a branch: False",
    },
}
