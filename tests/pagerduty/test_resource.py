from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import jsonschema
import pytest

from dagweave._kernel.errors import InvalidInput, Refused, Unavailable
from dagweave.pagerduty import PagerDutyService, pagerduty_resource
from dagweave.pagerduty.client import BASE_URL_VARIABLE, fitting_key
from dagweave.testing import HttpFault, PagerDutyServer
from pagerduty_schema import EVENTS_V2


@pytest.fixture
def server() -> Iterator[PagerDutyServer]:
    with PagerDutyServer() as server:
        yield server


@pytest.fixture
def service(server: PagerDutyServer) -> PagerDutyService:
    return PagerDutyService(
        routing_key=server.routing_key, base_url=server.url, timeout_s=5, max_retries=1
    )


def test_an_event_arrives_with_all_that_it_says(server: PagerDutyServer, service: PagerDutyService):
    answer = service.EventV2_create(
        summary="PING OK",
        source="prod05",
        severity="error",
        event_action="trigger",
        dedup_key="foo",
        timestamp="2015-07-17T08:42:58.315+0000",
        component="mysql",
        group="prod-datapipe",
        event_class="High CPU",
        custom_details={"ping time": "1500ms", "load avg": 0.75},
        client="Dagster",
        client_url="http://ui",
        links=[{"href": "http://ui/runs/1", "text": "the run"}],
        images=[{"src": "https://charts/1.png", "alt": "a chart"}],
    )

    assert answer == {"status": "success", "message": "Event processed", "dedup_key": "foo"}
    [incident] = server.incidents
    assert incident.events == (
        {
            "event_action": "trigger",
            "dedup_key": "foo",
            "payload": {
                "summary": "PING OK",
                "source": "prod05",
                "severity": "error",
                "timestamp": "2015-07-17T08:42:58.315+0000",
                "component": "mysql",
                "group": "prod-datapipe",
                "class": "High CPU",
                "custom_details": {"ping time": "1500ms", "load avg": 0.75},
            },
            "client": "Dagster",
            "client_url": "http://ui",
            "links": [{"href": "http://ui/runs/1", "text": "the run"}],
            "images": [{"src": "https://charts/1.png", "alt": "a chart"}],
        },
    )
    jsonschema.validate({"routing_key": "k", **incident.events[0]}, EVENTS_V2)


def test_an_alert_is_acknowledged_and_resolved_by_its_key(
    server: PagerDutyServer, service: PagerDutyService
):
    key = service.EventV2_create("broken", "shop", "error")["dedup_key"]
    assert server.incidents[0].status == "triggered"
    service.acknowledge(key)
    assert server.incidents[0].status == "acknowledged"
    service.resolve(key)
    assert server.incidents[0].status == "resolved"

    service.EventV2_create("broken again", "shop", "error", dedup_key=key)

    assert [incident.status for incident in server.incidents] == ["resolved", "triggered"]


def test_the_official_way_to_resolve_works(server: PagerDutyServer, service: PagerDutyService):
    service.EventV2_create("broken", "shop", "error", dedup_key="k")
    service.EventV2_create("all is well", "shop", "info", event_action="resolve", dedup_key="k")

    assert [incident.status for incident in server.incidents] == ["resolved"]


def test_a_change_is_told_and_alarms_nobody(server: PagerDutyServer, service: PagerDutyService):
    service.change_event(
        "Deployed 4f2a",
        source="dagster",
        custom_details={"sha": "4f2a"},
        links=[{"href": "http://x"}],
    )

    assert server.incidents == []
    assert server.changes == [
        {
            "payload": {
                "summary": "Deployed 4f2a",
                "source": "dagster",
                "custom_details": {"sha": "4f2a"},
            },
            "links": [{"href": "http://x"}],
        }
    ]


@pytest.mark.parametrize(
    "fault", [HttpFault.reply_lost(), HttpFault.status(500), HttpFault.rate_limited(0)]
)
def test_an_event_is_sent_again_and_opens_one_alert(
    server: PagerDutyServer, service: PagerDutyService, fault: HttpFault
):
    server.inject(fault)

    service.EventV2_create("broken", "shop", "error")

    assert len(server.calls) == 2
    assert len(server.incidents) == 1


def test_a_pagerduty_that_stays_down_is_reported_with_its_status(
    server: PagerDutyServer, service: PagerDutyService
):
    server.inject(HttpFault.status(503), times=2)

    with pytest.raises(Unavailable, match="503"):
        service.EventV2_create("broken", "shop", "error")


def test_a_pagerduty_that_hangs_is_given_up_on_in_time(server: PagerDutyServer):
    server.inject(HttpFault.slow(60))
    service = PagerDutyService(
        routing_key=server.routing_key, base_url=server.url, timeout_s=0.2, max_retries=0
    )

    with pytest.raises(Unavailable, match="did not take an event just now"):
        service.EventV2_create("broken", "shop", "error")


@pytest.mark.parametrize("key", ["f" * 32, "too-short-secret"])
def test_a_routing_key_that_is_refused_is_told_at_once_and_not_shown(
    server: PagerDutyServer, key: str
):
    service = PagerDutyService(routing_key=key, base_url=server.url)

    with pytest.raises(Refused) as caught:
        service.EventV2_create("broken", "shop", "error")

    told = str(caught.value)
    assert "PagerDuty refused an event." in told
    assert "32 characters, from the service's page" in told
    assert server.calls == ["POST /v2/enqueue"]
    assert key not in told + repr(service)


def test_a_refusal_that_repeats_the_key_does_not_show_it(server: PagerDutyServer):
    server.inject(HttpFault.status(400, {"errors": [f"no such key {server.routing_key}"]}))
    service = PagerDutyService(routing_key=server.routing_key, base_url=server.url)

    with pytest.raises(Refused) as caught:
        service.EventV2_create("broken", "shop", "error")

    assert server.routing_key not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"severity": "fatal"}, "'fatal' is no severity"),
        ({"event_action": "close"}, "'close' is no event_action"),
        ({"event_action": "resolve"}, "needs a dedup_key"),
        ({"summary": " "}, "needs a summary"),
        ({"source": ""}, "needs a source"),
        ({"custom_details": {"when": object()}}, "what JSON cannot say"),
        ({"custom_details": {"log": "x" * 600_000}}, "PagerDuty takes 524,288"),
    ],
)
def test_what_cannot_be_sent_is_said_before_it_is(
    server: PagerDutyServer, service: PagerDutyService, arguments: dict[str, Any], told: str
):
    with pytest.raises(InvalidInput, match=told):
        service.EventV2_create(
            **{"summary": "broken", "source": "shop", "severity": "error", **arguments}
        )

    assert server.calls == []


def test_a_long_summary_is_cut_and_details_that_are_no_object_become_one(
    server: PagerDutyServer, service: PagerDutyService
):
    service.EventV2_create("first " + "x" * 60_000 + "\nlast", "shop", "error", custom_details="so")

    payload = server.incidents[0].events[0]["payload"]
    assert payload["summary"].startswith("first xx")
    assert payload["summary"].endswith("xx last")
    assert len(payload["summary"]) <= 1_024
    assert payload["custom_details"] == {"details": "so"}


def test_a_key_beyond_255_characters_keeps_its_beginning_and_stays_apart_from_others(
    server: PagerDutyServer, service: PagerDutyService
):
    one, other = "job|" + "x" * 300 + "1", "job|" + "x" * 300 + "2"
    for key in (one, other, one):
        service.EventV2_create("broken", "shop", "error", dedup_key=key)
    service.resolve(other)

    assert [incident.status for incident in server.incidents] == ["triggered", "resolved"]
    assert len(fitting_key(one)) == 255
    assert fitting_key(one).startswith("job|xxx")
    assert fitting_key("k" * 255) == "k" * 255


def test_the_address_comes_from_the_argument_then_the_environment(
    server: PagerDutyServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(BASE_URL_VARIABLE, server.url + "/")
    PagerDutyService(routing_key=server.routing_key).EventV2_create("broken", "shop", "error")

    assert len(server.incidents) == 1
    with pytest.raises(InvalidInput, match="is not the address of PagerDuty"):
        PagerDutyService(routing_key="k", base_url="pagerduty").acknowledge("k")


def test_what_is_not_pagerduty_is_not_taken_for_it(server: PagerDutyServer):
    server.inject(HttpFault.status(200))
    service = PagerDutyService(routing_key=server.routing_key, base_url=server.url)

    with pytest.raises(InvalidInput, match="is not PagerDuty: the event was not sent"):
        service.EventV2_create("broken", "shop", "error")


def test_the_resource_of_old_is_configured_by_a_run(server: PagerDutyServer):
    @dg.op(required_resource_keys={"pagerduty"})
    def pages(context) -> None:
        context.resources.pagerduty.EventV2_create("alert from dagster", "localhost", "error")

    @dg.job(resource_defs={"pagerduty": pagerduty_resource})
    def job() -> None:
        pages()

    config = {"routing_key": server.routing_key, "base_url": server.url}
    assert job.execute_in_process({"resources": {"pagerduty": {"config": config}}}).success

    assert [incident.source for incident in server.incidents] == ["localhost"]
