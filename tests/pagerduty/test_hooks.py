from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import jsonschema
import pytest

from dagweave._kernel.errors import InvalidInput
from dagweave.pagerduty import (
    PagerDutyService,
    make_pagerduty_on_run_failure_sensor,
    pagerduty_on_failure,
    pagerduty_on_success,
)
from dagweave.testing import HttpFault, PagerDutyServer
from pagerduty_schema import EVENTS_V2


@dg.op(config_schema={"breaks": dg.Field(bool, default_value=True)})
def load(context) -> None:
    if context.op_config["breaks"]:
        raise ValueError("no rows, password=hunter2secret")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def job_of(*hooks: dg.HookDefinition) -> dg.JobDefinition:
    @dg.job(hooks=set(hooks), name="nightly")
    def nightly() -> None:
        load()

    return nightly


def run(job: dg.JobDefinition, instance: dg.DagsterInstance, *, breaks: bool = True):
    return job.execute_in_process(
        run_config={"ops": {"load": {"config": {"breaks": breaks}}}},
        instance=instance,
        resources={
            "pagerduty": PagerDutyService(
                routing_key=dg.EnvVar("PAGERDUTY_ROUTING_KEY"), max_retries=0
            )
        },
        raise_on_error=False,
    )


def test_a_failed_step_opens_an_alert_as_the_official_hook_does(
    pagerduty_server: PagerDutyServer, instance: dg.DagsterInstance
):
    hook = pagerduty_on_failure("critical", webserver_base_url="http://ui/")

    result = run(job_of(hook), instance)

    [incident] = pagerduty_server.incidents
    assert incident.dedup_key == "nightly|load"
    assert (incident.source, incident.severity) == ("nightly", "critical")
    assert incident.summary == "Op load on job nightly failed!"
    details = incident.events[0]["payload"]["custom_details"]
    assert details["webserver url"] == f"http://ui/runs/{result.run_id}"
    assert details["error"] == "ValueError: no rows, password=***"
    assert "Traceback" in details["traceback"]
    assert "hunter2secret" not in str(incident)
    jsonschema.validate({"routing_key": "k", **incident.events[0]}, EVENTS_V2)


def test_the_alert_is_resolved_when_the_step_succeeds(
    pagerduty_server: PagerDutyServer, instance: dg.DagsterInstance
):
    job = job_of(pagerduty_on_failure("error"), pagerduty_on_success())
    for breaks in (True, True, False):
        run(job, instance, breaks=breaks)

    [incident] = pagerduty_server.incidents
    assert incident.status == "resolved"
    actions = [event["event_action"] for event in incident.events]
    assert actions == ["trigger", "trigger", "resolve"]


def test_a_summary_is_written_in_the_users_own_words(
    pagerduty_server: PagerDutyServer, instance: dg.DagsterInstance
):
    run(job_of(pagerduty_on_failure("info", lambda context: f"{context.op.name}!")), instance)

    assert [incident.summary for incident in pagerduty_server.incidents] == ["load!"]


@pytest.mark.parametrize("fault", [HttpFault.status(500), HttpFault.status(400)])
def test_an_alert_that_cannot_be_opened_leaves_the_run_as_it_is(
    pagerduty_server: PagerDutyServer, instance: dg.DagsterInstance, fault: HttpFault
):
    pagerduty_server.inject(fault)

    result = run(job_of(pagerduty_on_success()), instance, breaks=False)

    assert result.success
    errors = [entry for entry in instance.all_logs(result.run_id) if entry.level >= 40]
    [told] = [entry.user_message for entry in errors]
    assert told.startswith("pagerduty_on_success could not send its message")
    logs = "".join(str(entry) for entry in instance.all_logs(result.run_id))
    assert pagerduty_server.routing_key not in logs


@pytest.mark.parametrize("letter", ["x", "я", "\N{FIRE}", '"'])
def test_an_error_of_any_language_fits_into_an_event(
    letter: str, pagerduty_server: PagerDutyServer, instance: dg.DagsterInstance
):
    @dg.op
    def breaks() -> None:
        raise ValueError(letter * 300_000)

    @dg.job(hooks={pagerduty_on_failure("critical")})
    def nightly() -> None:
        breaks()

    service = PagerDutyService(routing_key=dg.EnvVar("PAGERDUTY_ROUTING_KEY"), max_retries=0)
    nightly.execute_in_process(
        instance=instance, resources={"pagerduty": service}, raise_on_error=False
    )

    assert len(pagerduty_server.incidents) == 1


def test_a_severity_that_there_is_not_is_refused_where_it_is_written():
    with pytest.raises(InvalidInput, match="'fatal' is no severity"):
        make_pagerduty_on_run_failure_sensor("fatal")
    with pytest.raises(InvalidInput, match="'fatal' is no severity"):
        PagerDutyService(routing_key="R" * 32).notifier(severity="fatal")
    with pytest.raises(InvalidInput, match="'fatal' is no severity"):
        pagerduty_on_failure("fatal")  # pyright: ignore[reportArgumentType] -- on purpose


def test_the_old_name_of_the_base_url_works_with_a_warning():
    with pytest.warns(DeprecationWarning, match="write webserver_base_url instead"):
        pagerduty_on_failure("error", dagit_base_url="http://ui")


def test_a_failed_run_opens_an_alert_and_a_good_one_resolves_it(
    pagerduty_server: PagerDutyServer, instance: dg.DagsterInstance
):
    sensor = make_pagerduty_on_run_failure_sensor("critical")
    service = PagerDutyService(routing_key=pagerduty_server.routing_key)
    job, cursor = job_of(), None
    for breaks in (True, False):
        job.execute_in_process(
            run_config={"ops": {"load": {"config": {"breaks": breaks}}}},
            instance=instance,
            raise_on_error=False,
        )
        with dg.build_sensor_context(
            instance, cursor=cursor, resources={"pagerduty": service}
        ) as context:
            cursor = sensor.evaluate_tick(context).cursor

    [incident] = pagerduty_server.incidents
    assert (incident.status, incident.severity) == ("resolved", "critical")
    assert incident.summary == "Job nightly failed!"
    assert "hunter2secret" not in str(incident)
