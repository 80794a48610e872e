"""What the blocks of docs/slack.md and docs/testing.md leave out."""

from __future__ import annotations

from typing import Any

LOCAL_SLACK = """
import os
from dagweave.testing import SlackServer

_server = SlackServer().start()
os.environ["SLACK_BOT_TOKEN"] = _server.token
os.environ["DAGWEAVE_SLACK_BASE_URL"] = _server.base_url
"""

FAILED_JOB = """
import dagster as _dg

@_dg.job
def _nightly():
    @_dg.op
    def breaks():
        raise ValueError("no rows")
    breaks()

with _dg.DagsterInstance.ephemeral() as _instance:
    _nightly.execute_in_process(instance=_instance, raise_on_error=False)
"""

SHOW_INBOX = """
for _message in _server.inbox:
    print(_message.channel, _message.text)
_server.stop()
"""

PRELUDES: dict[str, dict[str, Any]] = {
    "slack-first": {
        "code": LOCAL_SLACK,
        "after": """
import dagster as _dg

assert _dg.materialize([orders, report], resources=defs.resources).success
"""
        + SHOW_INBOX,
        "expect": "#data Orders are in.",
    },
    "slack-failing": {
        "code": LOCAL_SLACK,
        "after": """
_job = defs.resolve_job_def("nightly")
assert not _job.execute_in_process(raise_on_error=False).success
_everything = defs.resolve_job_def("__ASSET_JOB")
assert not _everything.execute_in_process(raise_on_error=False).success
_told = sorted((m.channel, m.text.splitlines()[0]) for m in _server.inbox)
assert _told == [
    ("#data-alerts", "Op orders on job __ASSET_JOB failed!"),
    ("#data-alerts", "Op orders on job nightly failed!"),
    ("#nightly", "Op customers on job nightly failed!"),
    ("#nightly", "Op orders on job nightly failed!"),
], _told
"""
        + SHOW_INBOX,
        "expect": "ValueError: no orders today",
    },
    "slack-own-words": {
        "code": LOCAL_SLACK,
        "after": """
import dagster as _dg

assert not _dg.materialize([orders], resources=defs.resources, raise_on_error=False).success
"""
        + SHOW_INBOX,
        "expect": "<!here> *orders* is broken again, <@U012AB3CD>: no orders today",
    },
    "slack-sensor": {
        "code": LOCAL_SLACK,
        "after": FAILED_JOB
        + """    for _sensor in defs.sensors:
        with _dg.build_sensor_context(_instance) as _context:
            assert _sensor.evaluate_tick(_context).skip_message == "1 sent."
"""
        + SHOW_INBOX,
        "expect": "#data-alerts Job _nightly failed!",
    },
    "slack-own-hook": {
        "code": LOCAL_SLACK,
        "after": """
assert not defs.resolve_job_def("alerting_job").execute_in_process(raise_on_error=False).success
"""
        + SHOW_INBOX,
        "expect": "`breaks` failed: it broke",
    },
    "pytest": {
        "files": {"conftest.py": 'pytest_plugins = ["dagweave.testing.fixtures"]\n'},
        "after": """
if __name__ == "__main__":
    import sys
    import pytest

    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir=.", __file__]))
""",
        "expect": "2 passed",
    },
}
