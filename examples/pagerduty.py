"""Open an incident when an asset fails, and resolve it when the asset works again.

    dagster dev -f examples/pagerduty.py

With an integration key in PAGERDUTY_ROUTING_KEY this opens incidents in your service. Without one
it opens them in a local stand-in, whose address it prints: open it in a browser.
"""

import os

import dagster as dg

from dagweave.pagerduty import (
    PagerDutyService,
    make_pagerduty_on_run_failure_sensor,
    pagerduty_on_failure,
    pagerduty_on_success,
)
from dagweave.testing import PagerDutyServer

UI = "http://localhost:3000"

if "PAGERDUTY_ROUTING_KEY" not in os.environ:
    stand_in = PagerDutyServer().start()
    # Runs are processes of their own, and find the way by their environment.
    os.environ["PAGERDUTY_ROUTING_KEY"] = stand_in.routing_key
    os.environ["DAGWEAVE_PAGERDUTY_BASE_URL"] = stand_in.url
    print(f"PagerDuty's stand-in shows its incidents at {stand_in.url}")


@dg.asset(hooks={pagerduty_on_failure("error", webserver_base_url=UI), pagerduty_on_success()})
def orders() -> list[float]:
    """Fails when PAGERDUTY_EXAMPLE_FAILS is set, and opens an incident then."""
    if os.environ.get("PAGERDUTY_EXAMPLE_FAILS"):
        raise ValueError("the shop's database has no orders of today")
    return [12_000.0, 345.67]


@dg.asset
def deployed(pagerduty: PagerDutyService) -> None:
    """Tells of a change, which is shown beside incidents."""
    pagerduty.change_event("The shop's pipeline was deployed", source="dagster")


defs = dg.Definitions(
    assets=[orders, deployed],
    sensors=[make_pagerduty_on_run_failure_sensor("critical", webserver_base_url=UI)],
    resources={"pagerduty": PagerDutyService(routing_key=dg.EnvVar("PAGERDUTY_ROUTING_KEY"))},
)
