"""Fixtures for pytest: `pytest_plugins = ["dagweave.testing.fixtures"]` in your `conftest.py`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from dagweave.testing.airbyte import AirbyteServer
from dagweave.testing.clock import FakeClock
from dagweave.testing.fivetran import FivetranServer
from dagweave.testing.pagerduty import PagerDutyServer
from dagweave.testing.slack import SlackServer
from dagweave.testing.slack.proxies import past_proxies

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def slack_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    """A running `SlackServer`, at which every `SlackResource` of the test ends up.

    Its address is in `DAGWEAVE_SLACK_BASE_URL`, its token in `SLACK_BOT_TOKEN`; `NO_PROXY` and
    `no_proxy` exempt this machine, besides what they exempt already.
    """
    with SlackServer() as server:
        monkeypatch.setenv("DAGWEAVE_SLACK_BASE_URL", server.base_url)
        monkeypatch.setenv("SLACK_BOT_TOKEN", server.token)
        _past_proxies(monkeypatch)
        yield server


@pytest.fixture
def fivetran_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FivetranServer]:
    """A running `FivetranServer`, at which every `FivetranWorkspace` of the test ends up.

    Its address is in `DAGWEAVE_FIVETRAN_BASE_URL`, its key in `FIVETRAN_API_KEY` and
    `FIVETRAN_API_SECRET`.
    """
    with FivetranServer() as server:
        monkeypatch.setenv("DAGWEAVE_FIVETRAN_BASE_URL", server.url)
        monkeypatch.setenv("FIVETRAN_API_KEY", server.api_key)
        monkeypatch.setenv("FIVETRAN_API_SECRET", server.api_secret)
        _past_proxies(monkeypatch)
        yield server


@pytest.fixture
def pagerduty_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PagerDutyServer]:
    """A running `PagerDutyServer`, at which every `PagerDutyService` of the test ends up.

    Its address is in `DAGWEAVE_PAGERDUTY_BASE_URL`, its key in `PAGERDUTY_ROUTING_KEY`; `NO_PROXY`
    and `no_proxy` exempt this machine.
    """
    with PagerDutyServer() as server:
        monkeypatch.setenv("DAGWEAVE_PAGERDUTY_BASE_URL", server.url)
        monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", server.routing_key)
        _past_proxies(monkeypatch)
        yield server


@pytest.fixture
def airbyte_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AirbyteServer]:
    """A running `AirbyteServer`, at which every Airbyte workspace of the test ends up.

    Its address is in `DAGWEAVE_AIRBYTE_BASE_URL`, its credentials in `AIRBYTE_CLIENT_ID` and
    `AIRBYTE_CLIENT_SECRET`, its workspace in `AIRBYTE_WORKSPACE_ID`.
    """
    with AirbyteServer() as server:
        monkeypatch.setenv("DAGWEAVE_AIRBYTE_BASE_URL", server.url)
        monkeypatch.setenv("AIRBYTE_CLIENT_ID", server.client_id)
        monkeypatch.setenv("AIRBYTE_CLIENT_SECRET", server.client_secret)
        monkeypatch.setenv("AIRBYTE_WORKSPACE_ID", server.workspace_id)
        _past_proxies(monkeypatch)
        yield server


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock on which sleeping takes no time."""
    return FakeClock()


def _past_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a proxy leads out, it does not lead to this machine."""
    for name, value in past_proxies(os.environ).items():
        monkeypatch.setenv(name, value)
