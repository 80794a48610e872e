from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import apprise.plugins.pagerduty
import httpx2
import jsonschema
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pagerduty
from dagweave.testing import PagerDutyServer
from dagweave.testing.pagerduty.checks import alert_faults
from dagweave.testing.pagerduty.page import page
from pagerduty_schema import EVENTS_V2

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[PagerDutyServer]:
    with PagerDutyServer() as server:
        yield server


class ToThisMachine(httpx2.HTTPTransport):
    """Sends what is meant for PagerDuty to a server here: its own client takes https alone."""

    def __init__(self, server: PagerDutyServer) -> None:
        super().__init__()
        self._port = int(server.url.rpartition(":")[2])

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return super().handle_request(request)


@pytest.fixture
def client(server: PagerDutyServer) -> Iterator[pagerduty.EventsApiV2Client]:
    transport = ToThisMachine(server)
    with pagerduty.EventsApiV2Client(server.routing_key, transport=transport) as client:
        yield client


def test_the_vendors_own_client_triggers_acknowledges_and_resolves(
    server: PagerDutyServer, client: pagerduty.EventsApiV2Client
):
    before = len(server.incidents)
    key = client.trigger(
        "broken",
        "shop",
        severity="warning",
        custom_details={"rows": 3},
        links=[{"href": "http://x", "text": "x"}],
        images=[{"src": "https://x/y.png"}],
    )
    client.acknowledge(key)
    assert server.incidents[before].status == "acknowledged"
    client.resolve(key)

    [incident] = server.incidents[before:]
    assert (incident.dedup_key, incident.status) == (key, "resolved")


def test_the_vendors_own_client_sends_a_change(
    server: PagerDutyServer, client: pagerduty.EventsApiV2Client
):
    # What it makes of the present moment on its own is no ISO 8601: an offset and a Z.
    moment = datetime(2026, 1, 2, tzinfo=UTC).isoformat()
    client.submit("deployed", "shop", custom_details={"sha": "4f2a"}, timestamp=moment)

    assert server.changes[-1]["payload"]["custom_details"] == {"sha": "4f2a"}


def test_the_vendors_own_client_is_told_of_a_key_that_is_not_known(server: PagerDutyServer):
    transport = ToThisMachine(server)
    with (
        pagerduty.EventsApiV2Client("f" * 32, transport=transport) as stranger,
        pytest.raises(pagerduty.HttpError, match="Invalid routing key"),
    ):
        stranger.trigger("broken", "shop")


def test_apprise_opens_an_incident(server: PagerDutyServer, monkeypatch: pytest.MonkeyPatch):
    lookup = apprise.plugins.pagerduty.PAGERDUTY_API_LOOKUP
    monkeypatch.setitem(lookup, "us", f"{server.url}/v2/enqueue")
    before = len(server.incidents)
    notifier = apprise.Apprise(f"pagerduty://{server.routing_key}@{'a' * 20}/shop")

    assert notifier.notify(title="broken", body="no rows", notify_type=apprise.NotifyType.FAILURE)

    [incident] = server.incidents[before:]
    assert incident.source == "shop"
    assert "broken" in incident.summary


GOOD = {
    "routing_key": "r" * 32,
    "event_action": "trigger",
    "dedup_key": "k",
    "payload": {"summary": "s", "source": "h", "severity": "error"},
}
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.just({}), st.just([])
)
FIELDS = ("routing_key", "event_action", "dedup_key", "client", "links", "images", "payload")


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200, deadline=None)
@given(
    event=st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=3),
    payload=st.dictionaries(
        st.sampled_from(("summary", "source", "severity", "class", "custom_details")), ODD
    ),
)
def test_whatever_the_published_schema_does_not_take_is_refused(
    event: dict[str, Any], payload: dict[str, Any]
):
    odd = {**GOOD, "payload": {**GOOD["payload"], **payload}, **event}
    if not jsonschema.Draft202012Validator(EVENTS_V2).is_valid(odd):
        assert alert_faults(odd)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"routing_key": "short"}, "Length of 'routing_key' is incorrect"),
        ({"event_action": "close"}, "'event_action' must be one of"),
        ({"event_action": "resolve", "dedup_key": ""}, "'dedup_key' is missing or blank"),
        ({"dedup_key": "k" * 256}, "Length of 'dedup_key' is incorrect"),
        ({"payload": None}, "'payload' is missing"),
        ({"links": [{"text": "no address"}]}, "'links[0].href' is missing or blank"),
        ({"images": [{"src": "http://x/y.png"}]}, "must be served via HTTPS"),
        ({"payload": {**GOOD["payload"], "summary": "s" * 1_025}}, "Length of 'payload.summary'"),
        ({"payload": {**GOOD["payload"], "timestamp": "noon"}}, "'payload.timestamp' is not in"),
        ({"payload": {**GOOD["payload"], "severity": "fatal"}}, "'payload.severity' must be one"),
    ],
)
def test_what_is_wrong_with_an_event_is_said(change: dict[str, Any], told: str):
    assert alert_faults(GOOD) == []
    assert told in " ".join(alert_faults({**GOOD, **change}))


@pytest.mark.parametrize("path", ["/v2/enqueue", "/v2/change/enqueue"])
def test_what_is_no_event_is_refused(server: PagerDutyServer, path: str):
    answer = requests.post(server.url + path, data=b"{", timeout=10)

    assert answer.status_code == 400
    assert answer.json()["errors"] == ["JSON parse error"]


def test_an_event_that_is_too_large_is_refused(server: PagerDutyServer):
    event = {**GOOD, "payload": {**GOOD["payload"], "custom_details": {"log": "x" * 600_000}}}

    assert requests.post(f"{server.url}/v2/enqueue", json=event, timeout=10).status_code == 413


def test_the_page_shows_the_incidents_and_runs_nothing(server: PagerDutyServer):
    evil = "<script>alert(1)</script>"
    event = {
        **GOOD,
        "routing_key": server.routing_key,
        "dedup_key": evil,
        "links": [{"href": "javascript:alert(1)", "text": evil}],
        "payload": {**GOOD["payload"], "summary": evil, "custom_details": {evil: [evil]}},
    }
    assert requests.post(f"{server.url}/v2/enqueue", json=event, timeout=10).status_code == 202

    shown = requests.get(server.url, timeout=10)

    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    assert "<script" not in shown.text
    assert "javascript:" not in shown.text
    assert "&lt;script&gt;" in shown.text
    found = requests.get(f"{server.url}/incidents.json", timeout=10).json()
    assert found[-1]["summary"] == evil
    assert "All is quiet." in page([], [])
