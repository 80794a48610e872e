"""The sensors where they live: in a code location, ticked as the daemon ticks them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg

from dagweave.testing import PagerDutyServer

CODE = """
import dagster as dg
from dagweave.pagerduty import PagerDutyService, make_pagerduty_on_run_failure_sensor

@dg.op
def breaks():
    raise ValueError("no rows")

@dg.job
def nightly():
    breaks()

defs = dg.Definitions(
    jobs=[nightly],
    sensors=[make_pagerduty_on_run_failure_sensor("critical", monitor_all_code_locations=True)],
    resources={"pagerduty": PagerDutyService(routing_key=dg.EnvVar("PAGERDUTY_ROUTING_KEY"))},
)
"""


def test_a_tick_has_its_resource_and_opens_an_incident(
    pagerduty_server: PagerDutyServer, tmp_path: Path
):
    (tmp_path / "pipeline.py").write_text(CODE)
    (tmp_path / "home").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "home")) as instance:

        @dg.job
        def nightly() -> None: ...

        run = instance.create_run_for_job(nightly)
        instance.report_run_failed(run, "The process was killed.")

    dagster = Path(sys.executable).with_name("dagster")
    done = subprocess.run(
        [dagster, "sensor", "preview", "pagerduty_on_run_failure", "-f", "pipeline.py"],
        cwd=tmp_path,
        env=os.environ | {"DAGSTER_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 sent." in done.stdout + done.stderr
    [incident] = pagerduty_server.incidents
    assert incident.severity == "critical"
    assert incident.events[0]["payload"]["custom_details"]["error"] == "The process was killed."
